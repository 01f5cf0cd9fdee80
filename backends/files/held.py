"""One name in a held directory, which is where everything is written, renamed and removed.

The directory is opened once, beneath the root; what becomes of its path afterwards leads nowhere else. What
is to be replaced or removed is first taken out of sight under a hidden name and looked at there: what is not
what was meant goes back.
"""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from backends.files import renaming
from backends.files.beneath import Opened, status_of
from backends.files.paths import Parts, screen, speakable, written
from backends.files.sandbox import TROUBLE, Root
from backends.files.unfinished import hidden_name
from errors import Forbidden, TooMuch, Unavailable, Unknown, quote


def same(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks saw one file with one content; its name may have changed between them."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns) == (
        other.st_size,
        other.st_mtime_ns,
    )


class Place:
    """A name in a directory that is held until `close`; whether anything has that name is another matter."""

    def __init__(self, root: Root, path: str, directory: bool = False) -> None:
        """With `directory` the name may be a directory's, so that a slash may end the path."""
        self.path = path
        parts = screen(path)
        if directory and not parts:
            raise Forbidden(
                f"{quote(path)} is the sandbox itself, which stays as it is. Name what lies in it."
            )
        self._path = written(parts) if directory else path
        with root.place(self._path) as (above, self.name):
            where, self._lies = above.where, above.status
            self.real = (*above.real, self.name)
            check_sayable(path, self.real)
            self._directory: int | str | None = os.dup(where) if isinstance(where, int) else where

    @property
    def held(self) -> int | None:
        """The directory's handle, for `dir_fd`; None where names are all there is."""
        return self._directory if isinstance(self._directory, int) else None

    def at(self, name: str | None = None) -> str:
        """What to call its name, or another one in the same directory, together with `held`."""
        name = self.name if name is None else name
        return str(Path(self._directory, name)) if isinstance(self._directory, str) else name

    def status(self, name: str | None = None) -> os.stat_result | None:
        """What has the name, not what a link leads to; None if nothing has."""
        try:
            return os.stat(self.at(name), dir_fd=self.held, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:  # a directory may be listed and yet not be looked into
            refuse(error, self.path)

    def check(self, root: Root) -> None:
        """See that the path still leads here."""
        with root.place(self._path) as (above, _):
            if not os.path.samestat(above.status, self._lies):
                raise Unavailable(
                    f"The directory of {quote(self.path)} was moved meanwhile; nothing was kept. Try again."
                )

    def hide(self, expected: os.stat_result) -> str:
        """Give what has the name a hidden one, which is returned, if it is what was expected."""
        hidden = hidden_name()
        renaming.move_new(self.at(), self.at(hidden), self.held, self.held)
        try:
            found = self.status(hidden)
            if found is None or not same(found, expected):
                raise changed(self.path)
        except BaseException:
            self.show(hidden)
            raise
        return hidden

    def show(self, hidden: str) -> None:
        """Give back the name; if another has taken it by now, one that is like it."""
        for name in (self.name, f"{self.name}~{secrets.token_hex(4)}"):
            with suppress(FileExistsError):
                renaming.move_new(self.at(hidden), self.at(name), self.held, self.held)
                return

    def opened(self, root: Root, hidden: str) -> Opened | None:
        """The directory that was hidden, as if it had its name still; None where names are all there is."""
        if self.held is None:
            return None
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(hidden, flags, dir_fd=self.held)
        return Opened(handle, self.real, status_of(handle), root.beneath)

    def settle(self) -> None:
        """Have the directory's entries outlive a power cut, where the file system can promise that."""
        if self.held is None:
            return
        try:
            os.fsync(self.held)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                raise Unavailable(
                    f"{quote(self.path)} is as it was asked for, but the disk reports trouble and may lose "
                    "that in a crash. files_info shows it."
                ) from error

    def close(self) -> None:
        directory, self._directory = self._directory, None  # closed even when that fails: never again
        if isinstance(directory, int):
            os.close(directory)


def check_sayable(path: str, real: Parts) -> None:
    """Refuse what lies where no path can say, as it could not be told what was done."""
    if not all(map(speakable, real)):
        raise Forbidden(
            f"{quote(path)} leads through a link to a name that no path can say; nothing is changed there."
        )


def changed(path: str) -> Unavailable:
    return Unavailable(f"{quote(path)} has changed meanwhile; nothing was done. Look at it and call again.")


def refuse(error: OSError, path: str) -> NoReturn:
    """Say what went wrong with writing in words that help, and that show nothing outside."""
    sent = quote(path)
    match error.errno:
        case errno.EEXIST | errno.ENOTEMPTY | errno.EISDIR:
            raise Forbidden(f"{sent} is there already and is not replaced. Pick another name.") from error
        case errno.EACCES | errno.EPERM | errno.EBUSY:
            raise Forbidden(f"The system does not let this server write {sent}.") from error
        case errno.ENAMETOOLONG:
            raise TooMuch(f"{sent} is too long for this file system.") from error
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG | errno.EMLINK:
            raise Unavailable(f"There is no room left for {sent}; nothing was kept of it.") from error
        case errno.EROFS:
            raise Unavailable(f"{sent} lies on a disk that can only be read.") from error
        case errno.ENOENT | errno.ENOTDIR:
            raise Unknown(f"{sent} or its directory is gone. files_list shows what there is.") from error
        case errno.EXDEV:
            raise Forbidden(
                f"{sent} lies on another disk. files_copy brings a file there, files_delete takes the old."
            ) from error
        case number if number in TROUBLE or number == errno.EOPNOTSUPP:
            raise Unavailable(f"The system cannot write {sent} just now. Try again.") from error
    raise error
