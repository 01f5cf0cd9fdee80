"""Texts that a provider wrote, made fit to be shown: no control characters, no surrogates, never long."""

from typing import Annotated

from pydantic import AfterValidator, Field


def cleaned(text: str, most: int) -> str:
    """Its lines without what cannot be printed, ending in … if it is cut."""
    clean = "".join(c for c in text if c.isprintable() or c == "\n").strip()
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def one_line(text: str, most: int = 100) -> str:
    """The same on one line."""
    return cleaned(" ".join("".join(c for c in text if c.isprintable() or c.isspace()).split()), most)


Line = Annotated[str, AfterValidator(one_line)]
Timezone = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]*\z", max_length=64)]  # as IANA names them
