"""Opening beneath one held directory, by the strongest of three mechanisms that the machine has.

`openat2`  Linux 5.6: the kernel resolves under the root's handle; links inside work, none leads out.
`walk`     other POSIX: name by name, each opened through its parent's handle; links are not followed.
`names`    Windows: the real path is compared, then opened. A rename between the two can win.

The first two have no gap between looking and opening. They raise OSError: EXDEV for what would have left
the root, ELOOP for a link that is not followed. A mount below the root is the operator's wish and is served.
"""

import ctypes
import errno
import functools
import os
import platform
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol

from backends.files.paths import Parts
from backends.files.unfinished import hidden_name

Mechanism = Literal["openat2", "walk", "names"]

_READ = os.O_RDONLY
for _flag in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY", "O_NOINHERIT"):
    _READ |= getattr(os, _flag, 0)  # non-blocking: opening a FIFO must not wait for its writer
_NO_FOLLOW, _DIRECTORY = (getattr(os, _flag, 0) for _flag in ("O_NOFOLLOW", "O_DIRECTORY"))

_OPENAT2 = 437  # the same number on every architecture but alpha and mips
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08


class Opened:
    """What was opened: a file, or a directory that lists and opens its entries. `real` is where it lies."""

    def __init__(self, where: int | str, real: Parts, status: os.stat_result, beneath: "Beneath") -> None:
        self.where, self.real, self.status, self._beneath = where, real, status, beneath

    @property
    def handle(self) -> int:
        """A file's, or a directory's where directories have one."""
        if isinstance(self.where, str):
            raise TypeError("this directory is known by its name, not by a handle")
        return self.where

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    def entries(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self.where) as found:
            yield from found

    def child(self, name: str) -> "Opened":
        """Open one entry of this directory, never through a link."""
        return self._beneath.child(self, name)

    def has_one_name(self) -> bool:
        """Whether the file has no name but the one it was opened by."""
        return self.status.st_nlink == 1 and self.keeps_its_name()

    def keeps_its_name(self) -> bool:
        """Whether the name it was opened by outlived the count of its names; else one outside was counted."""
        return self._beneath.keeps_its_name(self)

    def close(self) -> None:
        if isinstance(self.where, int):
            os.close(self.where)


class Beneath(Protocol):
    """A held root, and the only way to open what lies under it."""

    name: Mechanism

    def open(self, parts: Parts, links: bool = True) -> Opened: ...
    def child(self, directory: Opened, name: str) -> Opened: ...
    def keeps_its_name(self, opened: Opened) -> bool: ...
    def is_gone(self) -> bool: ...
    def close(self) -> None: ...


def hold(root: Path, mechanism: Mechanism | None = None) -> Beneath:
    """Hold a directory, by the strongest mechanism or the one that is named.

    Raises:
        OSError: The directory cannot be opened, or the mechanism does not work here.
    """
    if mechanism == "names" or os.open not in os.supports_dir_fd:
        return ByName(root)
    handle = os.open(root, getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY | getattr(os, "O_CLOEXEC", 0))
    if mechanism != "walk":
        try:
            # An old container profile answers EPERM, an old kernel ENOSYS: one try says it all.
            os.close(openat2(handle, ".", _READ | _DIRECTORY, _BENEATH))
        except OSError:
            if mechanism:
                os.close(handle)
                raise
        else:
            return ByHandle(handle, "openat2")
    return ByHandle(handle, "walk")


class ByHandle:
    """Opens through the root's handle: `openat2`, or the walk."""

    def __init__(self, handle: int, name: Mechanism) -> None:
        self.name = name
        self._handle = handle
        # A link can lead to a hidden file. Where a handle cannot tell what it leads to, links are refused.
        self._follows = name == "openat2" and _path_of(handle) is not None
        self._is_counted = os.fstat(handle).st_nlink > 0  # some file systems count no directory's names

    def is_gone(self) -> bool:
        """Whether the root was deleted: another one that has its name by now is not held."""
        return self._is_counted and not os.fstat(self._handle).st_nlink

    def open(self, parts: Parts, links: bool = True) -> Opened:
        if self.name == "walk":
            return self._opened(_walk(self._handle, parts), parts, follows=False)
        follows = links and self._follows
        resolve = _BENEATH | _NO_MAGICLINKS | (0 if follows else _NO_SYMLINKS)
        return self._opened(openat2(self._handle, "/".join(parts) or ".", _READ, resolve), parts, follows)

    def child(self, directory: Opened, name: str) -> Opened:
        handle = os.open(name, _READ | _NO_FOLLOW, dir_fd=directory.handle)
        return Opened(handle, (*directory.real, name), status_of(handle), self)

    def close(self) -> None:
        os.close(self._handle)

    def keeps_its_name(self, opened: Opened) -> bool:
        try:
            above = self.open(opened.real[:-1], links=False)
        except OSError:
            return False
        try:
            # A count falls before the name does. A name that nobody has looked up waits for who changes the
            # directory: then what was being unlinked is unlinked, and marked for good even if linked anew.
            with suppress(FileNotFoundError):
                os.stat(hidden_name(), dir_fd=above.handle, follow_symlinks=False)
            if sys.platform == "linux" and (path := _path_of(opened.handle)) is not None:
                return path.endswith("/" + opened.real[-1])
            now = os.stat(opened.real[-1], dir_fd=above.handle, follow_symlinks=False)
            then = opened.status  # linking and unlinking change the time
            return os.path.samestat(now, then) and now.st_ctime_ns == then.st_ctime_ns
        except OSError:
            return False
        finally:
            above.close()

    def _opened(self, handle: int, parts: Parts, follows: bool) -> Opened:
        try:
            return Opened(handle, self._real(handle, parts, follows), os.fstat(handle), self)
        except BaseException:
            os.close(handle)
            raise

    def _real(self, handle: int, parts: Parts, follows: bool) -> Parts:
        root, path = _path_of(self._handle), _path_of(handle)
        if root is None or path is None:
            if follows:  # Linux tells no path of over 4,095 bytes: what lies there could be hidden
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            return parts  # no link was followed, so it lies where it was asked for
        root = root.rstrip("/")
        if path in (root, root + "/"):
            return ()
        if not path.startswith(root + "/"):
            raise OSError(errno.EXDEV, "moved out while it was being opened")
        real = tuple(path[len(root) + 1 :].split("/"))
        # Linux marks what was unlinked meanwhile, as an atomic save does; the name before the mark counts.
        return (*real[:-1], real[-1].removesuffix(" (deleted)")) if real != parts else real


class ByName:
    """Compares real paths, then opens by name: for Windows, where Python has no directory handles."""

    name: Mechanism = "names"

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root, strict=True)
        if not Path(self._root).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "the root is not a directory")

    def open(self, parts: Parts, links: bool = True) -> Opened:
        named = str(Path(self._root, *parts))
        real = os.path.realpath(named)
        inside = os.path.normcase(real + os.sep).startswith(
            os.path.normcase(self._root.rstrip(os.sep) + os.sep)
        )
        if not inside:
            raise OSError(errno.EXDEV, "leads out")
        if not links and Path(named).is_symlink():
            raise OSError(errno.ELOOP, "a link")
        status = Path(real).stat()  # says ENOENT or ENOTDIR, and is all there is for a directory
        lies = Path(real).relative_to(self._root).parts
        if not stat.S_ISREG(status.st_mode):
            return Opened(real, lies, status, self)
        handle = os.open(real, _READ)
        return Opened(handle, lies, status_of(handle), self)

    def child(self, directory: Opened, name: str) -> Opened:
        return self.open((*directory.real, name), links=False)

    def keeps_its_name(self, opened: Opened) -> bool:
        return True  # a rename can win here anyway

    def is_gone(self) -> bool:
        return False  # it is opened by name each time

    def close(self) -> None: ...


def status_of(handle: int) -> os.stat_result:
    try:
        return os.fstat(handle)
    except OSError:
        os.close(handle)
        raise


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@functools.cache
def _syscall() -> Callable[..., int]:
    if sys.platform != "linux" or platform.machine().startswith(("mips", "alpha")):
        raise OSError(errno.ENOSYS, "no openat2 here")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_How), ctypes.c_size_t)
    return syscall


def openat2(root: int, path: str, flags: int, resolve: int) -> int:
    """Open beneath `root` in one step of the kernel's."""
    how = _How(flags, 0, resolve)
    for _ in range(100):
        handle = _syscall()(_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if handle >= 0:
            return handle
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: a rename beside it left the kernel unsure
            raise OSError(number, os.strerror(number))
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _walk(root: int, parts: Parts) -> int:
    """Open name by name, each through the handle of the directory before it."""
    if not parts:
        return os.open(".", _READ | _DIRECTORY, dir_fd=root)
    here = root
    try:
        for part in parts[:-1]:
            below = _step(here, part, _DIRECTORY)
            if here != root:
                os.close(here)
            here = below
        return _step(here, parts[-1], 0)
    finally:
        if here != root:
            os.close(here)


def _step(directory: int, name: str, kind: int) -> int:
    try:
        return os.open(name, _READ | _NO_FOLLOW | kind, dir_fd=directory)
    except NotADirectoryError as error:
        if _is_link(directory, name):  # O_DIRECTORY on a link says ENOTDIR; the caller is to hear of the link
            raise OSError(errno.ELOOP, "a link") from error
        raise


def _is_link(directory: int, name: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False


def _path_of(handle: int) -> str | None:
    """Where a handle's file lies now, if the system tells."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115 - at each open; Path takes thrice as long
    elif sys.platform == "darwin":
        import fcntl

        with suppress(OSError):
            return os.fsdecode(fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
    return None
