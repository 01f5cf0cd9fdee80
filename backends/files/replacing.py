"""Texts and copies in files of their own: new ones, or with the user's word in the place of another."""

import os
import stat
from contextlib import closing

from backends import Result
from backends.files.beneath import Opened
from backends.files.foreseen import Change, exactly, proof_of
from backends.files.held import Place, changed
from backends.files.paths import written
from backends.files.reading import moment
from backends.files.sandbox import Root
from backends.files.writing import Quota, write_whole
from errors import Forbidden, quote


class Written(Result):
    """A file as it is now, and whether another one had its name."""

    path: str
    size: int
    replaced: bool = False


def in_utf8(text: str) -> bytes:
    """Raises Forbidden for text that no file can hold."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Forbidden(
            f"The text holds half a character (U+{ord(text[error.start]):04X}) at position {error.start:,}; "
            "no UTF-8 file does."
        ) from error


def foresee_writing(root: Root, path: str, size: int) -> Change:
    """What writing so many bytes would replace."""
    real, status = _there(root, path)
    return _writing_of(path, real, status, size)


def write_text(root: Root, path: str, data: bytes, proof: str, quota: Quota) -> Written:
    """Write a whole file; `proof` allows it to replace what was foreseen, "" nothing."""
    real, status = _there(root, path)
    if status is not None and proof and _writing_of(path, real, status, len(data)).proof != proof:
        raise changed(path)
    replaces = bool(proof)
    if replaces and status is None:
        raise changed(path)
    if status is not None and stat.S_ISREG(status.st_mode) and not replaces:
        raise Forbidden(f"{quote(path)} is there already. Pick another name, or pass overwrite=true.")
    write_whole(root, path, data, quota, status if replaces else None)
    return Written(path=written(real), size=len(data), replaced=replaces)


def unchanged(opened: Opened, path: str) -> None:
    """See that a file that was read is the one that was opened."""
    now = os.fstat(opened.handle)
    if (now.st_size, now.st_mtime_ns) != (opened.status.st_size, opened.status.st_mtime_ns):
        raise changed(path)


def _there(root: Root, path: str) -> tuple[tuple[str, ...], os.stat_result | None]:
    with closing(Place(root, path)) as place:
        return place.real, place.status()


def _writing_of(path: str, real: tuple[str, ...], status: os.stat_result | None, size: int) -> Change:
    if status is None:
        return Change("", "")
    if not stat.S_ISREG(status.st_mode):
        raise Forbidden(f"{quote(path)} is no regular file; nothing else is replaced.")
    question = (
        f"Replace the file {exactly(written(real))} ({status.st_size:,} bytes, last changed "
        f"{moment(status.st_mtime)}) by a text of {size:,} bytes? What it holds now is lost."
    )
    return Change(question, proof_of("write", real, status))
