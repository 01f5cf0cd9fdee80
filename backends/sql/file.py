"""The file of a database: which one it is, whether somebody writes to it, and what is wrong with it."""

import sqlite3
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import Unavailable, quote

_IMMUTABLE = (
    "Its directory cannot be written, so it is open as immutable: changes made elsewhere show once the file "
    "itself has changed"
)
# SQLite's primary result codes that speak of the file, not of the statement.
_TROUBLE = {
    sqlite3.SQLITE_BUSY: "is locked by a program that is writing to it; try again in a moment",
    sqlite3.SQLITE_LOCKED: "is locked by a program that is writing to it; try again in a moment",
    sqlite3.SQLITE_CORRUPT: "is damaged; whoever runs this server has to restore it",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; whoever runs this server has to correct that",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; whoever runs this server has to look at its permissions",
    sqlite3.SQLITE_PERM: "cannot be opened; whoever runs this server has to look at its permissions",
    sqlite3.SQLITE_READONLY: "was left in the middle of a write; a program that writes has to open it once",
    sqlite3.SQLITE_NOMEM: "has a schema too large for the memory of a query; whoever runs this server has to "
    "allow more",
    sqlite3.SQLITE_IOERR: "could not be read from its disk; try again in a moment",
}
_UNKNOWN = "cannot be read; whoever runs this server has to look at the file"
MISSING = "is not there; whoever runs this server has to put the file in its place"


class DatabaseFile:
    """One file; `immutable` is how it is to be opened, `trouble` what it last had."""

    def __init__(self, name: str, path: Path, others: Sequence[str]) -> None:
        self.name, self._path, self._others = name, path, others
        self.immutable, self._unwritable = False, False
        self.trouble = ""

    @property
    def uri(self) -> str:
        return self._path.as_uri() + ("?immutable=1" if self.immutable else "?mode=ro")

    @property
    def note(self) -> str:
        """What an operator should know of how it is read."""
        return _IMMUTABLE if self.immutable and self._unwritable else ""

    def decide(self) -> tuple[int, ...]:
        """Choose how to open it; returns its identity.

        A WAL database that nobody has open has no file beside it. Opened as any other one, it would get two
        of them from us; as immutable it gets none, and a writer's are seen when they appear.
        """
        self.immutable = self._is_wal() and not self._written_to()
        return self.identity()

    def give_in(self, code: int) -> bool:
        """Whether to open it as immutable now that it could not be opened.

        To read a WAL database SQLite writes beside it; where it cannot, it must be told that nobody does.
        """
        refused = code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not refused or self.immutable or not self._is_wal():
            return False
        self.immutable = self._unwritable = True
        return True

    def identity(self) -> tuple[int, ...]:
        """What changes when another file takes the name, a writer comes or goes, or an immutable one changes.

        Raises:
            Unavailable: There is no such file.
        """
        try:
            found = self._path.stat()
        except OSError as error:
            raise self.unavailable(None) from error
        if not stat.S_ISREG(found.st_mode):
            raise self.unavailable(sqlite3.SQLITE_NOTADB)
        changes = (found.st_mtime_ns, found.st_size) if self.immutable else ()
        return (found.st_dev, found.st_ino, self._written_to(), *changes)

    def _written_to(self) -> bool:
        """Whether a program has the database open to write in WAL mode."""
        return self._path.with_name(self._path.name + "-wal").exists()

    def _is_wal(self) -> bool:
        try:
            with self._path.open("rb") as file:
                return file.read(20)[18:] == b"\2\2"
        except OSError:
            return False

    def unavailable(self, code: int | None) -> Unavailable:
        """The refusal for a result code that speaks of the file, None for a file that is not there."""
        self.trouble = MISSING if code is None else _TROUBLE.get(code, _UNKNOWN)
        others = ", ".join(map(quote, self._others))
        serving = f" Other databases: {others}." if others else ""
        return Unavailable(f"The database {quote(self.name)} {self.trouble}.{serving}")


def of_the_file(reply: Mapping[str, Any]) -> bool:
    """Whether the file went wrong. A plain SQLITE_READONLY is the statement's: it tried to write."""
    code = reply.get("code", 0)
    return code != sqlite3.SQLITE_READONLY and code & 0xFF in _TROUBLE
