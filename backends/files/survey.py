"""What lies in a directory, counted and identified before it is moved or deleted."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from backends.files.beneath import Opened
from backends.files.foreseen import identity
from backends.files.paths import Parts, written
from backends.files.sandbox import Root
from backends.files.unfinished import is_ours
from backends.files.work import Work
from errors import Forbidden, TooMuch, quote

MOST = (
    10_000  # entries changed by one call: what a thread removes in half a second, and a user may answer for
)
_DEEPEST = 64  # directories held open at once


@dataclass
class Survey:
    """Everything below one directory; `proof` changes with any of it."""

    files: int = 0
    directories: int = 0
    links: int = 0
    size: int = 0
    looked_at: int = 0  # hidden ones too, which the counts leave out
    proof: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def entries(self) -> int:
        return self.files + self.directories + self.links

    def words(self) -> str:
        """ "3 files, 1 directory, 2 links, 1,234 bytes" """
        kinds = ((self.files, "file"), (self.directories, "directory"), (self.links, "link"))
        told = [f"{n:,} {name if n == 1 else _PLURAL[name]}" for n, name in kinds if n]
        return ", ".join([*told, f"{self.size:,} bytes"])


_PLURAL = {"file": "files", "directory": "directories", "link": "links"}


def survey(root: Root, work: Work, parts: Parts, top: Opened, towards: Parts | None = None) -> Survey:
    """Count all that lies below a directory; `towards` is where it is to be moved, None if it is to go.

    Raises:
        Forbidden: Something in it is not ours to move or delete.
        TooMuch: It is too large for one call.
    """
    found = Survey()
    stack: list[tuple[Parts, Opened, Iterator[os.DirEntry[str]]]] = [(parts, top, _sorted(top))]
    try:
        while stack:
            here, opened, entries = stack[-1]
            entry = next(entries, None)
            if entry is None:
                stack.pop()
                if stack:
                    opened.close()
                continue
            if is_ours(entry.name):  # what a crash left goes with its directory
                continue
            below = (*here, entry.name)
            status = entry.stat(follow_symlinks=False)
            directory = stat.S_ISDIR(status.st_mode)
            hidden = root.hides(below)
            _allowed(root, parts, below, towards, hidden)
            if directory and status.st_dev != top.status.st_dev:
                raise Forbidden(f"{quote(written(below))} is another disk; it stays where it is.")
            _count(found, below, status, hidden)
            if work.late():
                raise TooMuch(f"{quote(written(parts))} holds too much to be looked through in time.")
            if directory and not hidden:
                if len(stack) == _DEEPEST:
                    raise TooMuch(f"{quote(written(below))} is nested deeper than {_DEEPEST} directories.")
                child = opened.child(entry.name)
                stack.append((below, child, iter(())))  # it is closed whatever comes
                stack[-1] = (below, child, _sorted(child))
    finally:
        for _, opened, _entries in stack[1:]:
            opened.close()
    return found


def _sorted(opened: Opened) -> Iterator[os.DirEntry[str]]:
    entries = []
    for entry in opened.entries():
        entries.append(entry)
        if len(entries) > MOST:
            break  # refused as soon as they are counted
    return iter(sorted(entries, key=lambda entry: entry.name))


def _allowed(root: Root, top: Parts, below: Parts, towards: Parts | None, hidden: bool) -> None:
    if towards is None:
        if hidden:
            raise Forbidden(
                f"{quote(written(top))} holds what is hidden here, which is never deleted. Delete the "
                "files in it that files_find shows."
            )
    elif hidden != root.hides((*towards, *below[len(top) :])):
        raise Forbidden(
            f"{quote(written(top))} stays where it is: there, something in it would be hidden that is not "
            "now, or the other way round."
        )


def _count(found: Survey, below: Parts, status: os.stat_result, hidden: bool) -> None:
    found.looked_at += 1
    if found.looked_at > MOST:
        raise TooMuch(f"A call moves or deletes at most {MOST:,} entries. Take its directories one by one.")
    found.proof.update(repr((below, identity(status))).encode("utf-8", "surrogatepass"))
    if hidden:
        return
    if stat.S_ISREG(status.st_mode):
        found.files += 1
        found.size += status.st_size
    elif stat.S_ISDIR(status.st_mode):
        found.directories += 1
    elif stat.S_ISLNK(status.st_mode):
        found.links += 1
    else:
        raise Forbidden(
            f"{quote(written(below))} is a pipe, a socket or a device; those are neither moved nor deleted."
        )
