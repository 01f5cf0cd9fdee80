"""Reads the settings: environment first, then the .env file, then the defaults of `config/`.

A name that does not exist or a value that does not parse stops the start, naming the variable and what
it takes and never what it held: the wrong variable may hold a key.
"""

import difflib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import ValidationError

from config import HERE, PREFIX, Settings
from config.variables import Variable, variables


class ConfigurationError(Exception):
    """A setting is wrong; the text names the variable and what it takes, a line for each."""


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings.

    Args:
        environ: Variables and their values; `ALMANAC_ENV_FILE` in it names the file with weaker ones.

    Raises:
        ConfigurationError: An unknown name, or a value that a variable does not take.
    """
    env_file = Path(environ.get(PREFIX + "ENV_FILE") or HERE / ".env")
    nothing = env_file == Path(os.devnull)  # to say that no file is to be read
    if PREFIX + "ENV_FILE" in environ and not nothing and not env_file.is_file():
        raise ConfigurationError(f"{PREFIX}ENV_FILE names no file that can be read.")
    found = {**_in_file(env_file), **environ}
    known = {variable.name: variable for variable in variables()}
    given = {name.upper(): value for name, value in found.items() if name.upper().startswith(PREFIX)}
    given.pop(PREFIX + "ENV_FILE", None)

    problems = [_unknown(name, known) for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, variable in known.items():
        if given.get(name):  # set but empty means not set, as compose files write it
            *sections, field = variable.path
            target = values
            for section in sections:
                target = target.setdefault(section, {})
            target[field] = given[name]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        by_path = {variable.path: variable for variable in known.values()}
        for detail in error.errors(include_input=False, include_url=False):
            # The location may go on past the field, into an item of a list or a key of a mapping.
            path = tuple(str(part) for part in detail["loc"])
            variable = next(by_path[path[:n]] for n in range(len(path), 0, -1) if path[:n] in by_path)
            message = f"{detail['msg']}." if not variable.secret else "This value is not accepted."
            problems.append(f"{variable.name}: {message} It takes: {variable.description}")
        raise ConfigurationError("\n".join(problems)) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return settings


def _in_file(path: Path) -> dict[str, str]:
    """The variables of a .env file; unlike python-dotenv alone, a line that is none stops the start."""
    if not path.is_file():
        return {}
    try:
        bindings = list(parse_stream(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeError):
        raise ConfigurationError("The .env file cannot be read as UTF-8 text.") from None
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            raise ConfigurationError(f"Line {binding.original.line} of the .env file is not NAME=value.")
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}


def _unknown(name: str, known: Mapping[str, Variable]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f"{name}: there is no such setting. The nearest is {near[0]}."
