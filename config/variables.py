"""Settings as they are told: the variable of each, and its value without what is secret."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import SecretStr

from config import PREFIX, Section, Settings


class Variable(NamedTuple):
    """One environment variable: where its value goes, and what it takes."""

    name: str
    path: tuple[str, ...]
    description: str
    default: Any
    secret: bool

    def of(self, settings: Settings) -> Any:
        """The value it has in `settings`."""
        return functools.reduce(getattr, self.path, settings)


def shown(value: Any, whole_paths: bool = False) -> Any:
    """A setting's value fit to be shown: no key, nothing in a URL but scheme, host and path."""
    match value:
        case SecretStr():
            return str(value)
        case Path():
            return str(value) if whole_paths else value.name
        case dict():
            return {name: shown(item, whole_paths) for name, item in value.items()}
        case tuple():
            return ",".join(str(shown(item, whole_paths)) for item in value)
        case str() if value.startswith(("http://", "https://")):
            parts = urlsplit(value)
            _, secret, host = parts.netloc.rpartition("@")
            return parts._replace(
                netloc=f"***@{host}" if secret else host, query="***" if parts.query else "", fragment=""
            ).geturl()
    return value


def variables(section: type[Section] = Settings, path: tuple[str, ...] = ()) -> Iterator[Variable]:
    """Every variable there is, in the order of the sections; docs, .env.example and errors use it."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from variables(field.annotation, (*path, name))
        else:
            yield Variable(
                PREFIX + "_".join((*path, name)).upper(),
                (*path, name),
                field.description or "",
                field.default,
                "SecretStr" in str(field.annotation),
            )
