"""A file made whole or not at all: written under a hidden name of its own, then given the one asked for.

The directory stays held from the first byte to the last, so that what becomes of its path meanwhile leads
nowhere else. What is there already stays as it is, unless the caller asks for it to be replaced; then it is
the old file or the new one at every moment, a crash included.
"""

import errno
import os
import stat
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

from backends.files import renaming
from backends.files.held import Place, changed, refuse, same
from backends.files.paths import written
from backends.files.sandbox import Root
from backends.files.unfinished import hidden_name
from errors import Forbidden, TooMuch, quote

Threaded = Callable[[Callable[[], None]], Awaitable[None]]

_CHUNK = 1_000_000  # collected before a thread is asked for: a row of 100 bytes costs 0.3 us, not 80
_MODE = 0o644  # less the umask
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
    _NEW |= getattr(os, _flag, 0)


class Quota:
    """Bytes and files that this run of the server may still make. What was thrown away does not count."""

    def __init__(self, most: int, most_files: int = 1_000_000) -> None:
        self.most, self.most_files = most, most_files
        self.left, self.files_left = most, most_files
        self._turn = threading.Lock()

    def take(self, count: int) -> None:
        """Raises TooMuch if there are not so many bytes left."""
        with self._turn:
            self.check(count)
            self.left -= count

    def check(self, count: int) -> None:
        """Raises TooMuch as `take` would, for what need not be begun."""
        if count > self.left:
            raise TooMuch(
                f"This server may write {self.most:,} bytes until it is restarted; {self.left:,} are left."
            )

    def take_file(self) -> None:
        """Raises TooMuch if no more files or directories may be made."""
        with self._turn:
            if not self.files_left:
                raise TooMuch(
                    f"This server may make {self.most_files:,} files and directories until it is restarted; "
                    "none is left. Files that are there can still be changed."
                )
            self.files_left -= 1

    def give_back(self, count: int, files: int = 0) -> None:
        with self._turn:
            self.left += count
            self.files_left += files


class NewFile:
    """One file on its way. `write` is for one task; the other methods are the sandbox's, for its threads.

    Args:
        path: The file.
        quota: What may be written.
        replaces: The only file whose place it may take; anything else that is there was not meant.
        threaded: How `write` gets a thread; `add` is for who is in one.
    """

    def __init__(
        self,
        path: str,
        quota: Quota,
        replaces: os.stat_result | None = None,
        threaded: Threaded | None = None,
    ) -> None:
        self._path, self._quota, self._replaces, self._threaded = path, quota, replaces, threaded
        self._part = hidden_name()
        self._collected = bytearray()
        self._place: Place | None = None
        self._handle: int | None = None
        self._taken = self._files = 0  # of the quota
        # A call can be cancelled while a thread works for it: end() waits for that, and nothing follows it.
        self._turn = threading.Lock()
        self.ended = False

    @property
    def path(self) -> str:
        """Where it lies; the path that was asked for until that is known."""
        return written(self._place.real) if self._place else self._path

    async def write(self, data: bytes) -> None:
        """Append; nothing is seen of it before the end.

        Raises:
            TooMuch: It would be more than may be written.
            Unavailable: The disk is full or does not take it.
        """
        if self.ended:
            raise ValueError("the block of this file has ended")
        self._collect(data)
        if self._threaded and len(self._collected) >= _CHUNK:
            await self._threaded(self._put)

    def add(self, data: bytes) -> None:
        """`write` for who is in a thread already."""
        self._collect(data)
        self._put()

    def begin(self, root: Root, mode: int | None = None) -> None:
        """Hold the directory and open the file there, with the mode of what it replaces or the one given."""
        with self._turn:
            if self.ended:
                return
            # What goes wrong in the place is told as trouble with reading: only the directory is taken there.
            self._place = place = Place(root, self._path)
            try:
                replaced = self._replaced(place)
                if replaced is None:
                    if place.status() is not None:
                        raise FileExistsError(errno.EEXIST, "there already")
                    self._quota.take_file()
                    self._files = 1
                self._handle = os.open(place.at(self._part), _NEW, _MODE, dir_fd=place.held)
                _take_after(self._handle, replaced, mode)
                if place.held is not None:
                    root.leftovers.sweep(place.held, os.fstat(self._handle).st_ctime)
            except OSError as error:
                refuse(error, self._path)

    def finish(self, root: Root) -> None:
        """Make it durable and give it its name, unless that is taken by now."""
        self._put()
        with self._turn:
            if self._handle is None or self._place is None:  # ended
                return
            self._place.check(root)
            try:
                os.fsync(self._handle)
                self._close()  # Windows renames no open file
                self._name_it(self._place)
                self._taken = self._files = 0  # kept, whatever the disk says from here on
                self._place.settle()
            except OSError as error:
                refuse(error, self._path)
            self._let_go()

    def end(self) -> None:
        """Let go of everything; what was not finished is gone."""
        with self._turn:
            if not self.ended:
                self._let_go()

    def _collect(self, data: bytes) -> None:
        self._quota.take(len(data))
        self._taken += len(data)
        self._collected += data

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
                refuse(error, self._path)

    def _name_it(self, place: Place) -> None:
        source, target, held = place.at(self._part), place.at(), place.held
        there = self._replaced(place)
        if there is None:
            renaming.move_new(source, target, held, held)
            return
        if not renaming.exchange(source, target, held):
            os.replace(source, target, src_dir_fd=held, dst_dir_fd=held)
            return
        old = place.status(self._part)
        if old is None or not same(old, there):  # another has come between the look and the exchange
            with suppress(OSError):
                if renaming.exchange(source, target, held):
                    raise changed(self._path)
            place.show(self._part)  # never thrown away with ours
            raise changed(self._path)

    def _replaced(self, place: Place) -> os.stat_result | None:
        """The file that is to be replaced, if it is still there as it was; None if there is none to be."""
        if self._replaces is None:
            return None
        if (there := place.status()) is None:
            raise changed(self._path)
        if not stat.S_ISREG(there.st_mode):
            raise Forbidden(f"{quote(self._path)} is no regular file; nothing else is replaced.")
        if not there.st_mode & 0o222:
            raise Forbidden(f"{quote(self._path)} is write-protected and is not replaced.")
        if not same(there, self._replaces) or there.st_ctime_ns != self._replaces.st_ctime_ns:
            raise changed(self._path)
        return there

    def _let_go(self) -> None:
        self.ended = True
        self._collected = bytearray()
        self._quota.give_back(self._taken, self._files)
        self._taken = self._files = 0
        with suppress(OSError):  # a late trouble of the disk with what is thrown away
            self._close()
        place, self._place = self._place, None
        if place is None:
            return
        with suppress(OSError):  # it has its name, or its directory is gone
            os.unlink(place.at(self._part), dir_fd=place.held)
        with suppress(OSError):
            place.close()

    def _close(self) -> None:
        handle, self._handle = self._handle, None  # closed even when that fails: never again
        if handle is not None:
            os.close(handle)


def write_whole(
    root: Root, path: str, data: bytes, quota: Quota, replaces: os.stat_result | None = None
) -> None:
    """Write a file in the thread that calls: a new one, or in the place of the one that was looked at."""
    file = NewFile(path, quota, replaces)
    try:
        file.begin(root)
        file.add(data)
        file.finish(root)
    finally:
        file.end()


def _take_after(handle: int, replaced: os.stat_result | None, mode: int | None) -> None:
    """Give an open file the owner and mode of the one it replaces, or the mode that is wanted."""
    if replaced is not None and hasattr(os, "fchown"):
        with suppress(PermissionError):  # a file of another user's becomes the server's
            os.fchown(handle, replaced.st_uid, replaced.st_gid)
    kept = replaced.st_mode if replaced is not None else mode
    if kept is not None and hasattr(os, "fchmod"):
        os.fchmod(handle, stat.S_IMODE(kept) & 0o777)
