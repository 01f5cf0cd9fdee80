"""What a setting may be: paths, URLs, lists and pairs written with commas, rates."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
)

PREFIX = "ALMANAC_"
HERE = Path(__file__).resolve().parents[1]  # the application


def comma_separated(value: Any) -> Any:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


def named_values(value: Any) -> Any:
    """'world=data/world.db,sales=/data/sales.db' as a mapping; whatever is no text stays as it is."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for number, part in enumerate(comma_separated(value), 1):
        name, _, path = (piece.strip() for piece in part.partition("="))
        if not (name and path):
            raise ValueError(f"each entry is name=value; entry {number} is not")
        if name in found:
            raise ValueError(f"entry {number} has a name that is taken")
        found[name] = path
    return found


def _absolute(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("a path holds no NUL character")
    try:
        return HERE / path.expanduser()  # a client starts us in any directory, so never relative to that
    except RuntimeError:
        raise ValueError("there is no such user's home") from None


def writable(path: Path) -> Path:
    try:
        return _absolute(path)
    except ValueError:  # a user without a home, as in many containers: nothing can be made below a device
        return Path(os.devnull) / "almanac"


def _without_slash(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        whole = False
    if not whole:
        raise ValueError("a URL is http:// or https:// and a host")
    return url.rstrip("/")


def _shared(url: SecretStr) -> SecretStr:
    """Valkey speaks Redis's protocol, and clients know it by Redis's schemes alone."""
    plain = re.sub(r"\Avalkey(?=s?://)", "redis", url.get_secret_value())
    try:
        parts = urlsplit(plain)
        whole = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole and not plain.startswith("unix:///"):
        raise ValueError("it is redis://, rediss://, valkey:// or valkeys:// and a host")
    return SecretStr(plain)


def kept_here(local_only: bool, info: ValidationInfo) -> bool:
    out = [name for name in info.data.get("providers", ()) if name in ("deepl", "google", "mymemory")]
    if local_only and out:
        raise ValueError(f"the providers name {out[0]}, which sends texts out")
    return local_only


def on_loopback(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own, told without asking anybody."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Names = Annotated[tuple[str, ...], BeforeValidator(comma_separated)]
Location = Annotated[Path, AfterValidator(_absolute)]
Url = Annotated[str, AfterValidator(_without_slash)]
SharedUrl = Annotated[SecretStr, AfterValidator(_shared)]
Domain = Literal["translate", "weather", "sql", "files"]
Tag = Literal[Domain, "hub", "read", "write", "local", "network"]
Tags = Annotated[tuple[Tag, ...], BeforeValidator(comma_separated)]
Seconds = Annotated[float, Field(gt=0, le=600)]
CountedName = Annotated[str, Field(pattern=rf"^({'|'.join(get_args(Domain))}|status)(_[a-z_]+)?$")]
Credits = Annotated[int, Field(ge=0, le=1_000_000)]
DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
