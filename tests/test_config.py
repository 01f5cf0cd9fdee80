"""Settings: read once, strictest first, and a wrong one stops the start with its name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config import HERE, Settings
from config.variables import variables
from environment import ConfigurationError, load


def test_nothing_needs_setting_to_start() -> None:
    assert load({}) == Settings()


def test_a_variable_reaches_the_field_of_its_section() -> None:
    settings = load({"ALMANAC_SQL_MAX_ROWS": "7", "ALMANAC_SERVERS": "sql, files", "ALMANAC_PORT": "81"})
    assert settings.sql.max_rows == 7
    assert settings.servers == ("sql", "files")
    assert settings.port == 81


def test_the_environment_is_stronger_than_the_file_that_is_named(tmp_path: Path) -> None:
    env_file = tmp_path / "other.env"
    env_file.write_text("ALMANAC_PORT=9001\nALMANAC_HOST=::1\n")
    settings = load({"ALMANAC_ENV_FILE": str(env_file), "ALMANAC_PORT": "9002"})
    assert (settings.port, settings.host) == (9002, "::1")


def test_the_file_of_the_working_directory_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ALMANAC_PORT=9001\n")
    monkeypatch.chdir(tmp_path)
    assert load({}).port == 8000


def test_a_named_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="ALMANAC_ENV_FILE"):
        load({"ALMANAC_ENV_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "content",
    [
        b"ALMANAC_FILES_ROOT='/tmp/x\n",
        b"ALMANAC_FILES_ROOT /tmp/x\n",
        b"ALMANAC_FILES_ROOT\n",
        b"\xff\xfe=1\n",
    ],
)
def test_a_line_of_the_file_that_is_no_setting_stops_the_start(tmp_path: Path, content: bytes) -> None:
    env_file = tmp_path / "x.env"
    env_file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"\.env file"):
        load({"ALMANAC_ENV_FILE": str(env_file)})


def test_an_unknown_name_stops_the_start_with_the_nearest_real_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"ALMANAC_SQL_MAX_ROW": "7"})
    assert "ALMANAC_SQL_MAX_ROW: there is no such setting" in str(caught.value)
    assert "ALMANAC_SQL_MAX_ROWS" in str(caught.value)


def test_an_unknown_name_in_the_file_stops_the_start_too(tmp_path: Path) -> None:
    env_file = tmp_path / "x.env"
    env_file.write_text("ALMANAC_PROT=1\n")
    with pytest.raises(ConfigurationError, match="ALMANAC_PORT"):
        load({"ALMANAC_ENV_FILE": str(env_file)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALMANAC_PORT", "eighty"),
        ("ALMANAC_PORT", "70000"),
        ("ALMANAC_STATE_URL", "nonsense"),
        ("ALMANAC_STATE_URL", "http://host"),
        ("ALMANAC_TRANSPORT", "carrier-pigeon"),
        ("ALMANAC_SERVERS", "sql,horoscopes"),
        ("ALMANAC_SERVERS", " , "),
        ("ALMANAC_EXCLUDE_TAGS", "netwrok"),
        ("ALMANAC_SQL_DATABASES", "no-path"),
        ("ALMANAC_SQL_DATABASES", "bad name=x.db"),
        ("ALMANAC_SQL_TIMEOUT", "-1"),
        ("ALMANAC_SQL_TIMEOUT", "nan"),
        ("ALMANAC_WEATHER_NWS_URL", "api.weather.gov"),
        ("ALMANAC_WEATHER_NWS_URL", "http://["),
        ("ALMANAC_WEATHER_NWS_URL", "http://"),
        ("ALMANAC_WEATHER_NWS_URL", "http://host:port"),
        ("ALMANAC_SQL_DATABASES", "a=/x.db,a=/y.db"),
        ("ALMANAC_FILES_ROOT", "~no-such-user-here/x"),
    ],
)
def test_a_value_that_does_not_parse_names_its_variable_and_what_it_takes(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({name: value})
    described = next(variable.description for variable in variables() if variable.name == name)
    assert str(caught.value).startswith(f"{name}: ")
    assert described in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize("name", [variable.name for variable in variables()])
def test_a_wrong_value_is_never_echoed(name: str) -> None:
    secret = "sk-1234567890"
    told = ""
    try:
        load({name: secret})
    except ConfigurationError as error:
        told = str(error)
    assert secret not in told


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load({"ALMANAC_PORT": "x", "ALMANAC_SQL_MAX_ROWS": "0", "ALMANAC_NOPE": "1"})
    assert len(str(caught.value).splitlines()) == 3


def test_a_variable_that_is_set_but_empty_is_not_set() -> None:
    assert load({"ALMANAC_PORT": ""}).port == 8000


def test_relative_paths_start_at_the_checkout_not_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({"ALMANAC_FILES_ROOT": "somewhere"}).files.root == HERE / "somewhere"
    assert load({"ALMANAC_SQL_DATABASES": "a=x.db"}).sql.databases == {"a": HERE / "x.db"}


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValidationError):
        setattr(load({}), "port", 1)  # noqa: B010 - the checker knows it is frozen and would refuse the plain form


def test_every_setting_is_described() -> None:
    assert [variable.name for variable in variables() if len(variable.description) < 10] == []


def test_secrets_are_shown_as_stars() -> None:
    settings = load({"ALMANAC_WEATHER_OPEN_METEO_KEY": "sk-1234567890"})
    assert "sk-1234567890" not in repr(settings)
    assert "sk-1234567890" not in settings.model_dump_json()


def test_the_state_of_valkey_is_reached_as_redis() -> None:
    for given, known in (("valkey://h:1/2", "redis://h:1/2"), ("valkeys://u:p@h", "rediss://u:p@h")):
        url = load({"ALMANAC_STATE_URL": given}).state_url
        assert url is not None
        assert url.get_secret_value() == known
