"""One process at a time, and reading and writing at a place, on POSIX and on Windows."""

import os

BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    def lock(file: int) -> bool:
        os.lseek(file, 1024, os.SEEK_SET)  # beyond what is read: locks are mandatory there
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # only there
        except OSError:
            return False
        return True

    def unlock(file: int) -> None:
        os.lseek(file, 1024, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]  # only there

    def read_at(file: int, length: int, at: int) -> bytes:
        os.lseek(file, at, os.SEEK_SET)
        return os.read(file, length)

    def write_at(file: int, data: bytes, at: int) -> None:
        os.lseek(file, at, os.SEEK_SET)
        os.write(file, data)

else:

    def lock(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

    def read_at(file: int, length: int, at: int) -> bytes:
        return os.pread(file, length, at)

    def write_at(file: int, data: bytes, at: int) -> None:
        os.pwrite(file, data, at)
