"""The settings of each domain."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
)

from config.kinds import (
    HERE,
    DatabaseName,
    Location,
    Names,
    Seconds,
    Section,
    Url,
    comma_separated,
    kept_here,
    named_values,
)

TranslationProvider = Literal["auto", "deepl", "libretranslate", "google", "mymemory", "apertium"]


class TranslateSettings(Section):
    """Translation: which engines, in which order, where they are, and what may leave the machine."""

    providers: Annotated[tuple[TranslationProvider, ...], BeforeValidator(comma_separated)] = Field(
        ("auto",),
        min_length=1,
        description="Engines to try, best first: deepl, libretranslate, google, mymemory, apertium; `auto` "
        "stands for those of them that are configured, in this order. `apertium` runs here, the others send "
        "the text out.",
    )
    local_only: Annotated[bool, AfterValidator(kept_here)] = Field(
        False,
        description="Whether every text stays on this machine: only Apertium, and a LibreTranslate on "
        "loopback, are used.",
    )
    deepl_key: SecretStr | None = Field(None, description="DeepL API key, of the free or the paid plan.")
    deepl_url: Url | None = Field(
        None, description="Where DeepL is asked, if not where its key belongs (a proxy of your own)."
    )
    libretranslate_url: Url | None = Field(
        None, description="A LibreTranslate server, such as http://127.0.0.1:5000."
    )
    libretranslate_key: SecretStr | None = Field(
        None, description="API key of that LibreTranslate server, if it wants one."
    )
    google_url: Url = Field(
        "https://translate.google.com/m", description="Where deep-translator's Google engine asks."
    )
    mymemory_url: Url = Field(
        "https://api.mymemory.translated.net/get", description="Where deep-translator's MyMemory engine asks."
    )
    apertium_modes: Location = Field(
        Path("/usr/share/apertium/modes"), description="Directory of Apertium's installed modes."
    )
    apertium_pairs: int = Field(
        3, ge=1, le=32, description="Most Apertium pairs kept running at once, 100 to 170 MB each."
    )
    apertium_idle: Seconds = Field(300, description="Seconds after which an Apertium pair unused is closed.")
    timeout: Seconds = Field(20, description="Seconds one translation may take over all engines.")
    max_chars: int = Field(50_000, ge=1, le=1_000_000, description="Characters one call may translate.")
    document_timeout: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600, description="Seconds one document of the sandbox may take."
    )
    max_document: int = Field(
        10_000_000, ge=1, le=1_000_000_000, description="Bytes one document of the sandbox may hold."
    )
    cache: Literal["on", "hash-only", "off"] = Field(
        "on",
        description="What is remembered of translations, by a hash of the text: on keeps the translation in "
        "clear, hash-only keeps it so that only who has the text can read it, off keeps nothing.",
    )


class WeatherSettings(Section):
    """Weather: whom to ask, where each API is, and who is asking."""

    providers: Annotated[
        tuple[Literal["open_meteo", "met_norway", "nws"], ...], BeforeValidator(comma_separated)
    ] = Field(
        ("open_meteo", "met_norway", "nws"),
        min_length=1,
        description="Forecast services to try, best first; `nws` covers the United States only.",
    )
    open_meteo_url: Url = Field("https://api.open-meteo.com", description="Open-Meteo's forecast API.")
    geocoding_url: Url = Field(
        "https://geocoding-api.open-meteo.com",
        description="Open-Meteo's geocoder, for places world.db lacks.",
    )
    archive_url: Url = Field("https://archive-api.open-meteo.com", description="Open-Meteo's archive API.")
    air_quality_url: Url = Field(
        "https://air-quality-api.open-meteo.com", description="Open-Meteo's air quality API."
    )
    met_norway_url: Url = Field("https://api.met.no", description="MET Norway's API.")
    nws_url: Url = Field("https://api.weather.gov", description="US National Weather Service's API.")
    open_meteo_key: SecretStr | None = Field(None, description="Open-Meteo API key, for its customer- hosts.")
    contact: str = Field(
        "almanac-mcp-server", description="Who is asking (a site or e-mail), sent in the User-Agent."
    )
    places: Location = Field(
        HERE / "data/world.db", description="Database in which places are found offline."
    )
    timeout: Seconds = Field(12, description="Seconds one weather call may take, retries included.")


class SqlSettings(Section):
    """SQL: which databases, and how much one query may take."""

    databases: Annotated[dict[DatabaseName, Location], BeforeValidator(named_values)] = Field(
        {"world": HERE / "data/world.db"},
        min_length=1,
        description="Databases as name=path, comma-separated; the first is the default one.",
    )
    timeout: Seconds = Field(5, description="Seconds one query may run.")
    export_timeout: Seconds = Field(300, description="Seconds one export of a query into a file may run.")
    max_rows: int = Field(10_000, ge=1, le=1_000_000, description="Most rows one call may ask for.")
    max_bytes: int = Field(
        2_000_000, ge=10_000, le=100_000_000, description="Most bytes one result may hold."
    )
    max_memory: int = Field(
        64_000_000,
        ge=16_000_000,
        le=8_000_000_000,
        description="Most bytes one query may hold in memory while it sorts, groups and joins.",
    )
    connections: int = Field(
        4, ge=1, le=32, description="Most queries that run at once on one database, each in its own process."
    )


# What a served directory must not give away by accident: secrets, keys, version control's internals.
# fmt: off
HIDDEN = (
    ".env*", "!.env.example", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "id_rsa*",
    "id_dsa*", "id_ecdsa*", "id_ed25519*", ".git/", ".hg/", ".svn/", ".ssh/", ".gnupg/", ".aws/", ".azure/",
    ".kube/", ".docker/", ".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".git-credentials", ".htpasswd",
    "*.ppk", ".my.cnf", ".dockercfg", ".vault-token", "credentials.json", ".almanac-*.part",
)
# fmt: on


class FilesSettings(Section):
    """Files: the one directory that is served, and how much one call may read."""

    root: Location = Field(
        HERE / "data/files", description="The directory that is served; nothing outside it is."
    )
    deny: Annotated[Names, AfterValidator(lambda given: (*HIDDEN, *given))] = Field(
        HIDDEN,
        description="What is never listed, found, searched or read, in .gitignore syntax. Yours comes on top "
        "of the default; `!*.pem` takes one back.",
    )
    max_bytes: int = Field(
        5_000_000, ge=1_000, le=100_000_000, description="Most bytes one call may return, media included."
    )
    timeout: Seconds = Field(10, description="Seconds one list, find or search may take.")
    hardlinks: Literal["allow", "refuse"] = Field(
        "allow",
        description="Whether files with several names (hard links) are opened: one may lie outside the root.",
    )
    ripgrep: bool = Field(
        True, description="Whether ripgrep, where it is installed, helps to search large trees."
    )
    write: bool = Field(
        False, description="Whether files may be written; the tools that write are absent otherwise."
    )
    max_written: int = Field(
        1_000_000_000,
        ge=1_000,
        le=1_000_000_000_000,
        description="Most bytes written until the server is restarted.",
    )
    max_files: int = Field(
        10_000,
        ge=1,
        le=100_000_000,
        description="Most files and directories made until the server is restarted.",
    )
    confirm: Literal["ask", "never"] = Field(
        "ask",
        description="Whether the user is asked before anything is deleted, overwritten or moved: `ask`, "
        "which refuses clients that cannot ask, or `never`.",
    )
