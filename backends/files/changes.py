"""Everything that changes the sandbox, for who has no threads of his own: foreseen, then done."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from typing import Protocol, TypeVar

from backends.files import changing, editing, replacing
from backends.files.changing import Deleted, Made, Moved
from backends.files.editing import Edited, Replacement
from backends.files.foreseen import Change
from backends.files.lines import BLOCK, read_at
from backends.files.replacing import Written
from backends.files.sandbox import Root
from backends.files.work import Work, working
from backends.files.writing import NewFile, Quota
from config import FilesSettings
from errors import Unavailable, quote

T = TypeVar("T")


class Threads(Protocol):
    """How the sandbox lets others work in its threads."""

    async def look(self, do: Callable[[Root, Work], T]) -> T: ...
    async def change(self, do: Callable[[Root], T]) -> T: ...


class Changes:
    """What may be done to the sandbox's files when writing is on."""

    def __init__(
        self,
        settings: FilesSettings,
        quota: Quota,
        threads: Threads,
        new_file: Callable[..., AbstractAsyncContextManager[NewFile]],
    ) -> None:
        self._settings, self._quota, self._threads, self._new_file = settings, quota, threads, new_file

    @property
    def asks(self) -> bool:
        """Whether the user is to be asked before anything is lost."""
        return self._settings.confirm == "ask"

    async def foresee_write(self, path: str, text: str) -> Change:
        size = len(replacing.in_utf8(text))
        return await self._threads.look(lambda root, _: replacing.foresee_writing(root, path, size))

    async def write(self, path: str, text: str, proof: str = "") -> Written:
        """A file that holds the text; with the proof of what was foreseen it replaces that."""
        data = replacing.in_utf8(text)
        return await self._threads.change(
            lambda root: replacing.write_text(root, path, data, proof, self._quota)
        )

    async def edit(self, path: str, edits: list[Replacement], dry_run: bool) -> Edited:
        most = self._settings.max_bytes
        if dry_run:
            return await self._threads.look(
                lambda root, work: editing.edit(root, work, path, edits, True, most, self._quota)
            )
        seconds = self._settings.timeout
        return await self._threads.change(
            lambda root: editing.edit(root, working(seconds), path, edits, False, most, self._quota)
        )

    async def make_directory(self, path: str) -> Made:
        return await self._threads.change(lambda root: changing.make_directory(root, path, self._quota))

    async def foresee_move(self, source: str, target: str) -> Change:
        return await self._threads.look(lambda root, work: changing.foresee_move(root, work, source, target))

    async def move(self, source: str, target: str, proof: str) -> Moved:
        seconds = self._settings.timeout
        return await self._threads.change(lambda root: changing.move(root, source, target, proof, seconds))

    async def foresee_delete(self, path: str, recursive: bool) -> Change:
        return await self._threads.look(
            lambda root, work: changing.foresee_delete(root, work, path, recursive)
        )

    async def delete(self, path: str, recursive: bool, proof: str) -> Deleted:
        seconds = self._settings.timeout
        return await self._threads.change(lambda root: changing.delete(root, path, recursive, proof, seconds))

    async def copy(self, source: str, target: str, report: Callable[[int, int], Awaitable[None]]) -> Written:
        """A new file with a file's bytes and mode; `report` hears how many of how many are copied."""
        held = ExitStack()
        try:
            _, opened = await self._threads.change(lambda root: held.enter_context(root.file(source)))
            handle, done = opened.handle, 0
            self._quota.check(opened.status.st_size)  # a file of holes has terabytes
            async with self._new_file(target, mode=opened.status.st_mode) as file:
                while data := await self._threads.change(partial(_block, handle, done, source)):
                    await file.write(data)
                    done += len(data)
                    await report(done, opened.status.st_size)
                replacing.unchanged(opened, source)
                path = file.path
        finally:
            held.close()
        return Written(path=path, size=done)


def _block(handle: int, at: int, path: str, _: Root) -> bytes:
    try:
        return read_at(handle, BLOCK, at)
    except OSError as error:
        raise Unavailable(f"The disk does not give all of {quote(path)}; nothing was copied.") from error
