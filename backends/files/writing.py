"""A new file, made whole or not at all: written under a name of its own, then given the one asked for.

The directory stays held from the first byte to the last, so that what becomes of its path meanwhile leads
nowhere else. A file that is there already is never touched.
"""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import anyio.to_thread

from backends.files.sandbox import Root
from errors import Forbidden, TooMuch, Unavailable, Unknown, quote

# Its name is hidden (config.HIDDEN), so that no client meets one that a crash has left.
_MODE = 0o666  # less the umask, as any program's new file
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
    _NEW |= getattr(os, _flag, 0)


class Quota:
    """Bytes that this run of the server may still write."""

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
    """One file on its way. Its methods are for one task."""

    def __init__(self, path: str, quota: Quota) -> None:
        self._path, self._quota = path, quota
        self._name, self._part = "", f".almanac-{secrets.token_hex(8)}.part"
        self._directory: int | str | None = None
        self._handle: int | None = None

    async def write(self, data: bytes) -> None:
        """Append; nothing is seen of it before the end.

        Raises:
            TooMuch: It would be more than may be written.
            Unavailable: The disk is full or does not take it.
        """
        self._quota.take(len(data))
        await anyio.to_thread.run_sync(self._append, data)

    def begin(self, root: Root) -> None:
        """Hold the directory and open the file there."""
        try:
            with root.place(self._path) as (directory, self._name):
                where = directory.where
                self._directory = os.dup(where) if isinstance(where, int) else where
                if self._exists():
                    raise FileExistsError(errno.EEXIST, "there already")
                self._handle = os.open(self._at(self._part), _NEW, _MODE, dir_fd=self._held())
        except OSError as error:
            self._refuse(error)

    def _append(self, data: bytes) -> None:
        assert self._handle is not None, "between begin() and finish()"  # noqa: S101 - the one order there is
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            self._refuse(error)

    def finish(self) -> None:
        """Make it durable and give it its name, unless that is taken by now."""
        assert self._handle is not None, "between begin() and finish()"  # noqa: S101 - the one order there is
        try:
            os.fsync(self._handle)
            self._close()
            held = self._held()
            # A second name fails, in one step, if there is one already; a rename would replace it.
            os.link(
                self._at(self._part),
                self._at(self._name),
                src_dir_fd=held,
                dst_dir_fd=held,
                follow_symlinks=os.link not in os.supports_follow_symlinks,  # Windows cannot say no
            )
            os.unlink(self._at(self._part), dir_fd=held)
            if held is not None:
                os.fsync(held)
        except OSError as error:
            self._refuse(error)

    def end(self) -> None:
        """Let go of everything; what was not finished is gone."""
        self._close()
        if self._directory is None:
            return
        with suppress(OSError):  # it has its name, or its directory is gone
            os.unlink(self._at(self._part), dir_fd=self._held())
        if isinstance(self._directory, int):
            os.close(self._directory)
        self._directory = None

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _exists(self) -> bool:
        with suppress(FileNotFoundError):
            os.stat(self._at(self._name), dir_fd=self._held(), follow_symlinks=False)
            return True
        return False

    def _held(self) -> int | None:
        return self._directory if isinstance(self._directory, int) else None

    def _at(self, name: str) -> str:
        return str(Path(self._directory, name)) if isinstance(self._directory, str) else name

    def _refuse(self, error: OSError) -> NoReturn:
        sent = quote(self._path)
        match error.errno:
            case errno.EEXIST | errno.ENOTEMPTY:
                raise Forbidden(
                    f"{sent} is there already and is not replaced. Choose another name."
                ) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise Forbidden(f"The system does not let this server write {sent}.") from error
            case errno.ENAMETOOLONG:
                raise TooMuch(f"{sent} is too long for this file system.") from error
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise Unavailable(f"There is no room left for {sent}; nothing was kept of it.") from error
            case errno.ENOENT:
                raise Unknown(f"The directory of {sent} is gone. files_list shows what there is.") from error
            case errno.EIO | errno.EMFILE | errno.ENFILE | errno.EOPNOTSUPP:
                raise Unavailable(f"The system cannot write {sent} just now. Try again.") from error
        raise error
