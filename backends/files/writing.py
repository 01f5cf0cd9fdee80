"""A file made whole or not at all: written under a hidden name of its own, then given the one asked for.

The directory stays held from the first byte to the last, so that what becomes of its path meanwhile leads
nowhere else. What is there already stays as it is, unless the caller asks for it to be replaced; then it is
the old file or the new one at every moment, a crash included.
"""

import ctypes
import errno
import functools
import os
import secrets
import stat
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from backends.files.sandbox import Root
from errors import Forbidden, TooMuch, Unavailable, Unknown, quote

Threaded = Callable[[Callable[[], None]], Awaitable[None]]

_CHUNK = 1_000_000  # collected before a thread is asked for: a row of 100 bytes costs 0.3 us, not 80
_MODE = 0o644  # less the umask
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
    _NEW |= getattr(os, _flag, 0)

_HERE = -100  # AT_FDCWD
_NO_REPLACE = 1


class Quota:
    """Bytes that this run of the server may still write. What was written and thrown away counts."""

    def __init__(self, most: int) -> None:
        self.most = self.left = most

    def take(self, count: int) -> None:
        """Raises TooMuch if there are not so many left."""
        if count > self.left:
            raise TooMuch(
                f"This server may write {self.most:,} bytes until it is restarted; {self.left:,} are left."
            )
        self.left -= count


class NewFile:
    """One file on its way. `write` is for one task; the other methods are the sandbox's, for its threads."""

    def __init__(self, path: str, overwrite: bool, quota: Quota, threaded: Threaded) -> None:
        self._path, self._overwrite, self._quota, self._threaded = path, overwrite, quota, threaded
        # The name is hidden (config.HIDDEN), so that no client meets one that a crash has left.
        self._name, self._part = "", f".almanac-{secrets.token_hex(8)}.part"
        self._collected = bytearray()
        self._directory: int | str | None = None
        self._lies: os.stat_result | None = None
        self._handle: int | None = None
        # A call can be cancelled while a thread works for it: end() waits for that, and nothing follows it.
        self._turn = threading.Lock()
        self.ended = False

    async def write(self, data: bytes) -> None:
        """Append; nothing is seen of it before the end.

        Raises:
            TooMuch: It would be more than may be written.
            Unavailable: The disk is full or does not take it.
        """
        if self.ended:
            raise ValueError("the block of this file has ended")
        self._quota.take(len(data))
        self._collected += data
        if len(self._collected) >= _CHUNK:
            await self._threaded(self._put)

    def begin(self, root: Root) -> None:
        """Hold the directory and open the file there."""
        with self._turn:
            if self.ended:
                return
            # What goes wrong in the block is told as trouble with reading: only the directory is taken there.
            with root.place(self._path) as (directory, self._name):
                where, self._lies = directory.where, directory.status
                self._directory = os.dup(where) if isinstance(where, int) else where
            try:
                replaced = self._replaced()
                self._handle = os.open(self._at(self._part), _NEW, _MODE, dir_fd=self._held())
                if replaced and hasattr(os, "fchmod"):
                    os.fchmod(self._handle, stat.S_IMODE(replaced.st_mode) & 0o777)
            except OSError as error:
                self._refuse(error)

    def finish(self, root: Root) -> None:
        """Make it durable and give it its name, unless that is taken by now."""
        self._put()
        with self._turn:
            if self._handle is None:  # ended
                return
            with root.place(self._path) as (directory, _):
                if not (self._lies and os.path.samestat(directory.status, self._lies)):
                    raise Unavailable(
                        f"The directory of {quote(self._path)} was moved meanwhile; nothing was kept. "
                        "Try again."
                    )
            try:
                os.fsync(self._handle)
                self._close()  # Windows renames no open file
                self._name_it()
                self._settle()
            except OSError as error:
                self._refuse(error)
            self._let_go()

    def end(self) -> None:
        """Let go of everything; what was not finished is gone."""
        with self._turn:
            if not self.ended:
                self._let_go()

    def _put(self) -> None:
        with self._turn:
            if self._handle is None:  # ended
                return
            data, self._collected = self._collected, bytearray()
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(self._handle, rest) :]
            except OSError as error:
                self._refuse(error)

    def _name_it(self) -> None:
        source, target, held = self._at(self._part), self._at(self._name), self._held()
        if self._overwrite:
            self._replaced()
            os.replace(source, target, src_dir_fd=held, dst_dir_fd=held)
        else:
            name_new(source, target, held)

    def _replaced(self) -> os.stat_result | None:
        """The file that is there and may be replaced."""
        try:
            there = os.stat(self._at(self._name), dir_fd=self._held(), follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not self._overwrite:
            raise FileExistsError(errno.EEXIST, "there already")
        if not stat.S_ISREG(there.st_mode):
            raise Forbidden(f"{quote(self._path)} is no regular file; nothing else is replaced.")
        if not there.st_mode & 0o222:
            raise Forbidden(f"{quote(self._path)} is write-protected and is not replaced.")
        return there

    def _settle(self) -> None:
        """Have the directory's new entry outlive a power cut, where the file system can promise that."""
        if (held := self._held()) is not None:
            try:
                os.fsync(held)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP):
                    raise

    def _let_go(self) -> None:
        self.ended = True
        self._collected = bytearray()
        with suppress(OSError):  # a late trouble of the disk with what is thrown away
            self._close()
        if self._directory is None:
            return
        with suppress(OSError):  # it has its name, or its directory is gone
            os.unlink(self._at(self._part), dir_fd=self._held())
        if isinstance(self._directory, int):
            os.close(self._directory)
        self._directory = None

    def _close(self) -> None:
        handle, self._handle = self._handle, None  # closed even when that fails: never again
        if handle is not None:
            os.close(handle)

    def _held(self) -> int | None:
        return self._directory if isinstance(self._directory, int) else None

    def _at(self, name: str) -> str:
        return str(Path(self._directory, name)) if isinstance(self._directory, str) else name

    def _refuse(self, error: OSError) -> NoReturn:
        sent = quote(self._path)
        match error.errno:
            case errno.EEXIST | errno.ENOTEMPTY | errno.EISDIR:
                raise Forbidden(f"{sent} is there already and is not replaced. Pick another name.") from error
            case errno.EACCES | errno.EPERM:
                raise Forbidden(f"The system does not let this server write {sent}.") from error
            case errno.ENAMETOOLONG:
                raise TooMuch(f"{sent} is too long for this file system.") from error
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise Unavailable(f"There is no room left for {sent}; nothing was kept of it.") from error
            case errno.EROFS:
                raise Unavailable(f"{sent} lies on a disk that can only be read.") from error
            case errno.ENOENT:
                raise Unknown(f"The directory of {sent} is gone. files_list shows what there is.") from error
            case errno.EIO | errno.EMFILE | errno.ENFILE | errno.ENOMEM | errno.ESTALE | errno.EOPNOTSUPP:
                raise Unavailable(f"The system cannot write {sent} just now. Try again.") from error
        raise error


def name_new(source: str, target: str, held: int | None) -> None:
    """Rename in one directory, in one step that fails if the new name is taken.

    Raises:
        FileExistsError: It is, even if by a link that leads nowhere.
    """
    if os.name == "nt":
        Path(source).rename(target)  # replaces nothing there
        return
    if rename := _renameat2():
        at = _HERE if held is None else held
        if rename(at, os.fsencode(source), at, os.fsencode(target), _NO_REPLACE) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.ENOSYS, errno.EINVAL, errno.EPERM):  # not this kernel, file system, container
            raise OSError(number, os.strerror(number))
    os.link(source, target, src_dir_fd=held, dst_dir_fd=held, follow_symlinks=False)
    os.unlink(source, dir_fd=held)


@functools.cache
def _renameat2() -> Callable[..., int] | None:
    """The C library's own: the call has another number on each architecture."""
    if sys.platform != "linux":
        return None
    found = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
        found.restype = ctypes.c_int
    return found
