"""Files: one directory, served and never left.

The modules along the way of a call, which `work` does in a thread that a cancelled call stops:

- opening: `paths` screens what was sent, `sandbox` keeps what `deny` hides, `beneath` opens
- reading: `reading`, by `lines`, as `content` tells; `json_values`; `tables`, `separated`; `pictures`
- trees: `tree`, by `walk` and `globs`, less what is `ignored` (`gitignore`)
- searching: `search_tree` (which files), `sieve` (ripgrep first), `searching` (lines), `patterns` (RE2)
- changing: `changes`, `foreseen` (question, proof), then `replacing`, `editing`, or `changing` with `survey`;
  `writing` makes a file whole or not at all, in a directory that is `held`, by `renaming` and `unfinished`
"""

import errno
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Self, TypeVar

import anyio
import anyio.to_thread

from backends import Health
from backends.files import beneath, json_values, patterns, reading, search_tree, sieve, tree
from backends.files.changes import Changes
from backends.files.deny import Deny
from backends.files.json_values import Value
from backends.files.lines import sample_of
from backends.files.paths import speakable, written
from backends.files.reading import Info, Media, Page
from backends.files.sandbox import Root
from backends.files.searching import Matches, Query
from backends.files.tree import Found, Listing
from backends.files.work import Report, Work, Workers
from backends.files.writing import NewFile, Quota
from config import FilesSettings
from errors import Forbidden, Refusal, Unavailable

T = TypeVar("T")

_PATIENCE_S = 2  # with a disk that is asked whether it is there
_WAYS = {
    "openat2": "the kernel opens every path beneath one held directory (openat2).",
    "walk": "every path is opened beneath one held directory, name by name; no links.",
    "names": "paths are checked, then opened, as on Windows: no guarantee against renames between.",
}
_COMPLETED = 1_000  # paths offered for one that is being typed


class Sandbox:
    """The served directory.

    Args:
        settings: Where it is, what is hidden, how much one call may take.
        mechanism: How files are opened, instead of the strongest way this machine has.
        clock: What time budgets are measured with.
    """

    def __init__(
        self,
        settings: FilesSettings,
        mechanism: beneath.Mechanism | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._mechanism, self._clock = settings, mechanism, clock
        self._workers: Workers | None = None
        self._beneath: beneath.Beneath | None = None
        self._root: Root | None = None
        self._trouble = "It has not been opened."
        self._quota = Quota(settings.max_written, settings.max_files)
        self.changes = Changes(settings, self._quota, self, self.new_file)

    async def __aenter__(self) -> Self:
        self._workers = Workers(self._clock)
        self._hold()
        return self

    async def __aexit__(self, *_: object) -> None:
        workers, held = self._workers, self._beneath
        self._workers = self._beneath = self._root = None
        # A thread that is stuck in the system keeps the handle: its number must not come to mean another.
        if workers and await workers.close() and held:
            held.close()

    def _hold(self) -> None:
        try:
            self._beneath = beneath.hold(self._settings.root, self._mechanism)
            self._trouble = "Let the server's user read it, and see to the disk."
        except OSError as error:
            reasons = {errno.ENOENT: "does not exist", errno.ENOTDIR: "is not a directory"}
            reason = reasons.get(error.errno or 0, "cannot be read")
            self._trouble = f"The directory that ALMANAC_FILES_ROOT names {reason}."

    @property
    def writes(self) -> bool:
        """Whether anything may be written at all."""
        return self._settings.write

    def _opened(self) -> Root | None:
        """The root; what was missing at the start may have been mounted since."""
        if self._workers and not self._beneath:
            self._hold()
        if self._beneath and not self._root:
            try:  # here and not at the start, which the libraries behind it would make 17 ms longer
                self._root = Root(
                    self._beneath, Deny(self._settings.deny), self._settings.hardlinks == "allow"
                )
            except ValueError:
                self._trouble = "ALMANAC_FILES_DENY holds a pattern that cannot be used. Mend it and restart."
        return self._root

    def _still(self, root: Root) -> Root:
        """The root, for a thread, as a disk that hangs would hold everybody up; if it is there still."""
        try:
            gone = root.beneath.is_gone()
        except OSError as error:
            raise Unavailable("The disk is in trouble just now. Try again.") from error
        if gone:
            self._trouble = "The directory that is served was deleted. Put it back and restart the server."
            raise _unavailable()
        return root

    async def _run(
        self, do: Callable[[Root, Work], T], *, long: bool = False, report: Report | None = None
    ) -> T:
        root, workers = self._opened(), self._workers
        if root is None or workers is None:
            raise _unavailable()
        return await workers.run(
            lambda work: do(self._still(root), work), self._settings.timeout, long=long, report=report
        )

    async def list_directory(self, path: str, depth: int, limit: int, cursor: str | None) -> Listing:
        """The entries of a directory, `depth` levels of them, `limit` at a time."""
        return await self._run(
            lambda root, work: tree.list_directory(root, work, path, depth, limit, cursor), long=True
        )

    async def read(self, path: str, start_line: int, max_lines: int) -> Page:
        """Lines of a text file."""
        most = self._settings.max_bytes
        return await self._run(
            lambda root, work: reading.read_page(root, work, path, start_line, max_lines, most)
        )

    async def read_json(self, path: str, pointer: str) -> Value:
        """The value at an RFC 6901 pointer of a JSON file."""
        most = self._settings.max_bytes
        return await self._run(lambda root, _: json_values.read_value(root, path, pointer, most))

    async def read_media(self, path: str) -> tuple[Media, bytes]:
        """A picture or a sound, and its bytes."""
        most = self._settings.max_bytes
        return await self._run(lambda root, work: reading.read_media(root, work, path, most))

    async def read_whole(self, path: str) -> tuple[str | bytes, str]:
        """All of a file, text if that loses nothing, and its media type."""

        def do(root: Root, _: Work) -> tuple[str | bytes, str]:
            with root.file(path) as (_parts, opened):
                content = sample_of(opened, path)
                data = reading.read_whole(
                    opened, path, self._settings.max_bytes, "files_read gives a text by pages."
                )
            text = reading.whole_text(data, content)
            return data if text is None else text, content.mime

        return await self._run(do)

    async def find(
        self,
        pattern: str,
        path: str,
        limit: int,
        report: Report | None = None,
        *,
        cursor: str | None = None,
        ignored: bool = False,
    ) -> Found:
        """Paths below `path` that match a glob; `ignored` ones too if that is asked."""
        return await self._run(
            lambda root, work: tree.find(root, work, pattern, path, limit, cursor, ignored),
            long=True,
            report=report,
        )

    def _ripgrep(self) -> str | None:
        return sieve.program() if self._settings.ripgrep else None

    async def search(
        self,
        text: str,
        path: str,
        glob: str,
        *,
        regex: bool,
        context: int,
        limit: int,
        report: Report | None = None,
        cursor: str | None = None,
        ignored: bool = False,
    ) -> Matches:
        """Lines of the files below `path` that hold a text or match a regular expression."""
        query = Query(text, regex, context, limit, self._settings.max_bytes)
        ripgrep = self._ripgrep()
        return await self._run(
            lambda root, work: search_tree.search(root, work, query, path, glob, cursor, ignored, ripgrep),
            long=True,
            report=report,
        )

    async def look(self, do: Callable[[Root, Work], T]) -> T:
        """For `changes`: what is about to be changed, in a thread that may be left alone."""
        return await self._run(do, long=True)

    async def change(self, do: Callable[[Root], T]) -> T:
        """For `changes`: one change, in a thread whose end is waited for even when the call is cancelled."""
        root, workers = self._for_writing()
        done: list[T] = []
        await workers.write(lambda: done.append(do(self._still(root))))
        return done[0]

    def _for_writing(self) -> tuple[Root, Workers]:
        if not self.writes:
            raise Forbidden("Writing is off on this server. Only its operator can switch it on.")
        root, workers = self._opened(), self._workers
        if root is None or workers is None:
            raise _unavailable()
        return root, workers

    @asynccontextmanager
    async def new_file(self, path: str, mode: int | None = None) -> AsyncIterator[NewFile]:
        """A file to be written: it appears when the block ends well, whole, and else not at all.

        Raises:
            Refusal: Writing is off, the path is taken or leads nowhere, or the disk does not take it.
        """
        root, workers = self._for_writing()
        file = NewFile(path, self._quota, threaded=workers.write)
        try:
            await workers.write(lambda: file.begin(self._still(root), mode))
            yield file
            await workers.write(lambda: file.finish(root))
        finally:
            if not file.ended:  # not among the workers' threads, which take nothing new while they close
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(file.end)

    async def info(self, path: str) -> Info:
        """What is known of one file or directory."""
        seconds = self._settings.timeout
        return await self._run(lambda root, work: reading.describe(root, work, path, seconds))

    async def health(self, probe: bool = False) -> Health:
        """Whether the directory is open, and by which mechanism; `probe` lists it."""
        if (root := self._opened()) is None:
            return Health(state="unavailable", summary="The sandbox cannot be opened.", mend=self._trouble)
        try:
            with anyio.fail_after(_PATIENCE_S):
                await self._run(lambda root, _: None)
                if probe:
                    await self.list_directory(".", 1, 1, None)
        except TimeoutError:
            return Health(state="unavailable", summary="The disk does not answer.", mend="See to the disk.")
        except Refusal as error:
            summary = "The sandbox cannot be opened." if isinstance(error, Unavailable) else str(error)
            return Health(state="unavailable", summary=summary, mend=self._trouble)
        name = root.beneath.name
        summary = ("Files may be written; " if self.writes else "Read-only; ") + _WAYS[name]
        if not patterns.has_regex(self._ripgrep()):
            return Health(
                state="degraded",
                summary=summary + " No regular expressions.",
                mend="Install ripgrep, or the Python package google-re2.",
            )
        return Health(state="ready" if name != "names" else "degraded", summary=summary)

    def completers(self) -> dict[str, Callable[[str, Mapping[str, str]], Awaitable[list[str]]]]:
        return {"path": self._complete_path}

    async def _complete_path(self, typed: str, given: Mapping[str, str]) -> list[str]:
        above, _, begun = typed.rpartition("/")

        def do(root: Root, work: Work) -> list[str]:
            with root.directory(above) as (parts, opened):
                return sorted(
                    written((*parts, entry.name)) + ("/" if entry.is_dir(follow_symlinks=False) else "")
                    for entry in takewhile(lambda _: not work.late(), root.visible(parts, opened))
                    if entry.name.casefold().startswith(begun.casefold()) and speakable(entry.name)
                )[:_COMPLETED]

        try:
            return await self._run(do)
        except Refusal:
            return []  # what is typed so far leads nowhere


def _unavailable() -> Unavailable:
    return Unavailable("The sandbox cannot be opened. `status` says what is wrong; other tools still work.")
