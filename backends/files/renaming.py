"""Renaming that replaces nothing, and exchanging two names, each in one step where the system has it."""

import ctypes
import errno
import functools
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

_HERE = -100  # AT_FDCWD
_NO_REPLACE, _EXCHANGE = 1, 2
# Not this kernel, not this file system, not this container's profile: there is another way.
_LACKING = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)


def move_new(source: str, target: str, source_held: int | None, target_held: int | None) -> None:
    """Rename, and fail if the new name is taken, even if by a link that leads nowhere.

    Raises:
        FileExistsError: It is taken.
    """
    if os.name == "nt":
        Path(source).rename(target)  # replaces nothing there
        return
    if _renamed(source, target, source_held, target_held, _NO_REPLACE):
        return
    if stat.S_ISDIR(os.stat(source, dir_fd=source_held, follow_symlinks=False).st_mode):
        os.mkdir(target, dir_fd=target_held)  # fails if it is taken; a rename replaces an empty directory
        try:
            os.rename(source, target, src_dir_fd=source_held, dst_dir_fd=target_held)
        except OSError:
            os.rmdir(target, dir_fd=target_held)
            raise
        return
    os.link(source, target, src_dir_fd=source_held, dst_dir_fd=target_held, follow_symlinks=False)
    try:
        os.unlink(source, dir_fd=source_held)
    except OSError:  # in a directory that others' files cannot be taken from
        os.unlink(target, dir_fd=target_held)
        raise


def exchange(one: str, other: str, held: int | None) -> bool:
    """Let two names of one directory change places; False where the system cannot do that in one step."""
    return os.name != "nt" and _renamed(one, other, held, held, _EXCHANGE)


def _renamed(source: str, target: str, source_held: int | None, target_held: int | None, how: int) -> bool:
    if (rename := _renameat2()) is None:
        return False
    source_at = _HERE if source_held is None else source_held
    target_at = _HERE if target_held is None else target_held
    if rename(source_at, os.fsencode(source), target_at, os.fsencode(target), how) == 0:
        return True
    number = ctypes.get_errno()
    if number not in _LACKING or (number == errno.EPERM and not _is_barred()):
        raise OSError(number, os.strerror(number))
    return False


def _is_barred() -> bool:
    """Whether no call comes through, so that "not permitted" says nothing of the directory."""
    rename = _renameat2()
    if rename is None or rename(-1, b"nothing", -1, b"nothing", _NO_REPLACE) == 0:
        return False
    return ctypes.get_errno() == errno.EPERM  # the kernel itself says that there is no such handle


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
