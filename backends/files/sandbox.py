"""The sandbox: one held root, and every way into it. No refusal says a word about what lies outside.

Only `Root` opens anything. It screens the path, keeps what is hidden hidden (by the name that was asked and
by the place that was reached), and opens regular files and directories, nothing else.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import NoReturn

from backends.files.beneath import Beneath, Opened
from backends.files.deny import Deny
from backends.files.paths import Parts, screen, speakable, written
from backends.files.unfinished import Leftovers, passing
from errors import Forbidden, TooMuch, Unavailable, Unknown, did_you_mean, quote

_AGAIN = 20  # times a file is opened that is being replaced: each replacement takes but an instant
_NEAR = 5_000  # names among which a misspelt one is looked for: 50 ms of comparing
_AT_ONCE = 2_000  # entries looked over in one pass: 1 ms


class Root:
    """The held root directory; the only thing here that opens files."""

    def __init__(self, beneath: Beneath, deny: Deny, hard_links: bool = True) -> None:
        self.beneath, self._deny, self._hard_links = beneath, deny, hard_links
        self.leftovers = Leftovers()

    @contextmanager
    def any(self, path: str) -> Iterator[tuple[Parts, Opened]]:
        """Open a regular file or a directory; gives the path's parts with it."""
        parts = screen(path)
        try:
            opened = self._reach(parts, path)
        except OSError as error:
            self._refuse(error, path, parts)
        try:
            if not (opened.is_directory or opened.is_file):
                raise Forbidden(f"{quote(path)} {_NOT_REGULAR}")
            if opened.is_file and path.endswith(("/", "/.")):
                raise Unknown(f"{quote(path)} is a file; leave the / at its end out.")
            if opened.is_file and not self.serves(opened):
                raise Forbidden(
                    f"{quote(path)} has a second name (a hard link), which may lie outside; such files are "
                    "not opened here."
                )
            yield parts, opened
        except OSError as error:
            self._refuse(error, path, parts)
        finally:
            opened.close()

    @contextmanager
    def file(self, path: str) -> Iterator[tuple[Parts, Opened]]:
        with self.any(path) as (parts, opened):
            if opened.is_directory:
                raise Unknown(f"{quote(path)} is a directory. files_list shows what it holds.")
            yield parts, opened

    @contextmanager
    def directory(self, path: str) -> Iterator[tuple[Parts, Opened]]:
        with self.any(path) as (parts, opened):
            if not opened.is_directory:
                raise Unknown(f"{quote(path)} is a file, not a directory. files_read gives its text.")
            yield parts, opened

    @contextmanager
    def place(self, path: str) -> Iterator[tuple[Opened, str]]:
        """The directory in which a new file would lie, and its name there."""
        parts = screen(path)
        if not parts or path.endswith(("/", "/.")):
            raise Unknown(f"{quote(path)} names a directory. Give the new file's name as well.")
        if self._deny.hides(parts):
            raise _hidden(path)
        with self.directory(written(parts[:-1])) as (_, above):
            if self._deny.hides((*above.real, parts[-1])):
                raise _hidden(path)
            yield above, parts[-1]

    def hides(self, parts: Parts) -> bool:
        """Whether a path is hidden by its name."""
        return self._deny.hides(parts)

    def serves(self, opened: Opened) -> bool:
        """Whether what was opened is a file that may be read."""
        return opened.is_file and (self._hard_links or opened.has_one_name())

    def visible(self, parts: Parts, opened: Opened) -> Iterator[os.DirEntry[str]]:
        """The entries of a directory that are not hidden; `parts` is how it was reached."""
        entries = opened.entries()
        while some := list(islice(entries, _AT_ONCE)):
            places = self._deny.suspects([entry.name for entry in some])
            gone = {place for place in places if self._hides_entry(parts, opened, some[place].name)}
            yield from (entry for at, entry in enumerate(some) if at not in gone) if gone else some

    def _hides_entry(self, parts: Parts, opened: Opened, name: str) -> bool:
        return self._deny.hides((*opened.real, name)) or (
            opened.real != parts and self._deny.hides((*parts, name))
        )

    def _reach(self, parts: Parts, path: str) -> Opened:
        if self._deny.hides(parts):
            raise _hidden(path)
        opened = self.beneath.open(parts)
        for _ in range(_AGAIN):
            if (opened.real == parts or not passing(parts, opened.real)) and not self._was_replaced(opened):
                break
            opened.close()
            opened = self.beneath.open(parts)
        if opened.real != parts and self._deny.hides(opened.real):
            opened.close()
            raise _hidden(path)
        return opened

    def _was_replaced(self, opened: Opened) -> bool:
        """Whether a file whose names count has lost its own since it was opened."""
        counts = opened.is_file and not self._hard_links
        return counts and opened.status.st_nlink < 2 and not opened.keeps_its_name()

    def _refuse(self, error: OSError, path: str, parts: Parts) -> NoReturn:
        """Say what went wrong with opening in words that help, and that show nothing outside."""
        sent = quote(path)
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR:
                raise self._missing(path, parts) from error
            case errno.EXDEV:
                raise Forbidden(f"{sent} leads out of the sandbox, through a link.") from error
            case errno.ELOOP:
                raise Forbidden(
                    f"{sent} goes through a link that is not followed. files_find shows where files lie."
                ) from error
            case errno.ENAMETOOLONG:
                raise TooMuch(f"{sent} is too long for this file system.") from error
            case errno.EACCES | errno.EPERM:
                raise Forbidden(f"The system does not let this server read {sent}.") from error
            case errno.ENXIO | errno.ENODEV | errno.EOPNOTSUPP:
                raise Forbidden(f"{sent} {_NOT_REGULAR}") from error
            case number if number in TROUBLE:
                raise Unavailable(f"The system cannot open {sent} just now. Try again.") from error
        raise error

    def _missing(self, path: str, parts: Parts) -> Unknown:
        """Names what is nearest, in the deepest directory of the path that exists."""
        missing = Unknown(f"There is no {quote(path)}. files_list shows what there is.")
        for depth in range(len(parts)):
            above = written(parts[:depth])
            try:
                opened = self._reach(parts[:depth], path)
            except (OSError, Forbidden):
                break
            try:
                if not opened.is_directory:
                    return Unknown(f"{quote(path)} is not there: {quote(above)} is a file.")
                names = [e.name for e in islice(self.visible(parts[:depth], opened), _NEAR)]
            except OSError:
                break  # gone since it was opened
            finally:
                opened.close()
            if parts[depth] in names and depth == len(parts) - 1:
                return Unknown(f"{quote(path)} is a link to something that is not there.")
            missing = Unknown(
                f"There is no {quote(path)}.{did_you_mean(parts[depth], filter(speakable, names))} "
                f"files_list shows what {quote(above)} holds; files_find looks for a name everywhere."
            )
            if parts[depth] not in names:
                break
        return missing


# Too much is open, or the disk is broken, unplugged, far away, or encrypted without a key. Some have not all.
TROUBLE = {
    getattr(errno, name, 0)
    for name in (
        "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EINTR", "EINVAL", "EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT",
        "EHOSTDOWN", "EHOSTUNREACH", "EREMOTEIO", "EBADMSG", "EUCLEAN", "ENODATA", "ENOMEDIUM", "ENOKEY",
        "EKEYREJECTED", "ESHUTDOWN",
    )
} - {0}  # fmt: skip
_NOT_REGULAR = "is no regular file but a pipe, a socket or a device; none of them is opened."


def _hidden(path: str) -> Forbidden:
    return Forbidden(
        f"{quote(path)} is hidden here, whether or not it exists: secrets, keys and the like are not served."
    )
