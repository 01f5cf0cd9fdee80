"""One database: its children, at most so many, started when they are first needed."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from backends import Provider
from backends.sql.file import MISSING, DatabaseFile, of_the_file
from backends.sql.worker import GRACE_SECONDS, Killed, Overstayed, Worker, Write
from config import SqlSettings
from errors import TooMuch, Unavailable, quote

Params = Sequence[Any] | Mapping[str, Any]
Way = Literal["page", "explain", "csv", "jsonl"]

LONG_SECONDS = 0.1  # a statement over it may be stopped, to be run anew when fewer long ones are running


class _Changed(Exception):
    """A file that nobody was to change has been changed while it was read."""


class _Long(Exception):
    """A statement takes long, and as many such as may are running."""


class Pool:
    """At most `connections` children of one database, and what is known of how it is."""

    def __init__(self, name: str, path: Path, settings: SqlSettings, others: Sequence[str]) -> None:
        self.name, self._file, self._settings = name, DatabaseFile(name, path, others), settings
        self._free = asyncio.Semaphore(settings.connections)
        self._most_long = max(1, settings.connections - 1)
        self._long = asyncio.Semaphore(self._most_long)
        self._idle: list[Worker] = []
        self._workers: dict[Worker, tuple[int, ...]] = {}  # and the file each of them has open
        self._endings: set[asyncio.Task[None]] = set()
        self._opened: tuple[int, ...] = ()

    @property
    def mode(self) -> str:
        """What keeps it from being written."""
        opened = "immutable=1" if self._file.immutable else "mode=ro"
        return f"read-only ({opened}, authorizer, child process)"

    async def close(self) -> None:
        for worker in tuple(self._workers):
            self._end(worker)
        await asyncio.gather(*self._endings)

    async def ask(
        self,
        sql: str,
        params: Params = (),
        limit: int = 10_000,
        offset: int = 0,
        seconds: float = 0,
        most_bytes: int = 0,
        way: Way = "page",
        write: Write | None = None,
    ) -> dict[str, Any]:
        """Run one statement in a child: its reply, or `failed` with what went wrong there.

        Args:
            sql: The statement.
            params: Its values.
            limit: Most rows of a page.
            offset: Rows before a page.
            seconds: Time it has; the setting's if 0.
            most_bytes: Of a page; the setting's if 0.
            way: What to do with it: a page of rows, its plan, or all rows as text.
            write: Takes the text.

        Raises:
            Unavailable: The database cannot be read now.
            TooMuch: As many statements as may run at once have been running all the time.
        """
        ask = {
            "sql": sql,
            "params": params,
            "limit": limit,
            "offset": offset,
            "seconds": seconds or self._settings.timeout,
            "bytes": most_bytes or self._settings.max_bytes,
            "way": way,
        }
        try:
            return await self._quick_or_long(ask, write)
        except _Changed as error:
            if write is None:
                with contextlib.suppress(_Changed):
                    return await self._quick_or_long(ask, write)
            raise Unavailable(
                f"The database {quote(self.name)} was written to while it was read; try again in a moment."
            ) from error

    async def _quick_or_long(self, ask: dict[str, Any], write: Write | None) -> dict[str, Any]:
        """One turn is left to quick statements: when the others are taken, a long one has to wait for one."""
        await self._turn(self._free)
        try:
            return await self._asked(ask, write, long=write is not None)
        except _Long:
            pass
        await self._turn(self._long)
        try:
            await self._turn(self._free)
            return await self._asked(ask, write, long=True)
        finally:
            self._long.release()

    async def _turn(self, turns: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self._settings.timeout):
                await turns.acquire()
        except TimeoutError as error:
            many, what = self._settings.connections, "queries"
            if turns is self._long:
                many, what = self._most_long, f"queries of more than {LONG_SECONDS:g} s"
            raise TooMuch(
                f"{many} {what} run on the database {quote(self.name)} already; try again in a moment."
            ) from error

    async def _asked(self, ask: dict[str, Any], write: Write | None, long: bool) -> dict[str, Any]:
        """Run a statement in a turn that is held; the turn ends when its child has ended or is idle.

        Raises:
            _Long: It was stopped to let others in.
        """
        worker, stopping = None, None
        try:
            worker = await self._worker()
            reply = await self._run(worker, ask, write, long)
        except (asyncio.CancelledError, _Long):
            if worker is not None:
                stopping = asyncio.get_running_loop().create_task(self._stop(worker))
                self._endings.add(stopping)
                stopping.add_done_callback(self._endings.discard)
            raise
        finally:
            if stopping is None:
                self._free.release()
        return reply

    async def _stop(self, worker: Worker) -> None:
        try:
            self._put_back(worker, await worker.stop())
        finally:
            self._free.release()

    async def _run(
        self, worker: Worker, ask: dict[str, Any], write: Write | None, long: bool
    ) -> dict[str, Any]:
        seconds = ask["seconds"] + GRACE_SECONDS
        reply: dict[str, Any] = {}
        try:
            worker.send(ask)
            if long:
                reply = await worker.reply(seconds, write)
            else:
                reply = await self._replied(worker, seconds)
        except Overstayed:
            reply = _ended(late=True)
            self._end(worker)
        except Killed:
            reply = _ended(late=False)
            self._end(worker)
        else:
            self._put_back(worker, reply)
        if self._file.immutable and self._file.identity() != self._opened:
            raise _Changed
        if of_the_file(reply):
            raise self._file.unavailable(reply["code"] & 0xFF)
        self._file.trouble = ""
        return reply

    async def _replied(self, worker: Worker, seconds: float) -> dict[str, Any]:
        try:
            return await worker.reply(LONG_SECONDS)
        except Overstayed:
            if self._long.locked():
                raise _Long from None
        async with self._long:
            return await worker.reply(seconds - LONG_SECONDS)

    def _put_back(self, worker: Worker, reply: dict[str, Any]) -> None:
        outdated = self._workers.get(worker) != self._opened
        if not reply or reply.get("swollen") or of_the_file(reply) or outdated:
            self._end(worker)
        else:
            self._idle.append(worker)

    async def _worker(self) -> Worker:
        if self._file.identity() != self._opened:
            for worker in self._idle:
                self._end(worker)
            self._idle.clear()
            self._opened = self._file.decide()
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._end(worker)
        return await self._start()

    async def _start(self) -> Worker:
        opened, hello = self._opened, {}
        try:
            worker = await Worker.start(self._file.uri, self._settings.max_memory)
        except OSError as error:  # no process, no memory or no handle left
            raise Unavailable("The server is too busy to open a database; try again in a moment.") from error
        self._workers[worker] = opened
        try:
            hello = await worker.hello()
        except (Overstayed, Killed) as error:
            raise self._file.unavailable(sqlite3.SQLITE_IOERR) from error
        finally:
            if "ready" not in hello:
                self._end(worker)
        if "ready" in hello:
            return worker
        code = hello["code"] & 0xFF
        if self._file.give_in(code):
            self._opened = self._file.identity()
            return await self._start()
        raise self._file.unavailable(code)

    def _end(self, worker: Worker) -> None:
        worker.kill()
        self._workers.pop(worker, None)
        ending = asyncio.get_running_loop().create_task(worker.gone())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    async def provider(self, probe: bool) -> Provider:
        """How this database is: from what is known and a look at the file, or by asking it."""
        try:
            self._file.identity()
            if probe:
                await self.ask("SELECT count(*) FROM sqlite_schema", seconds=3)
        except (Unavailable, TooMuch):
            state = "missing" if self._file.trouble == MISSING else "failing"
            return Provider(name=self.name, state=state, note=self._file.trouble)
        if self._file.trouble:
            return Provider(name=self.name, state="failing", note=self._file.trouble)
        return Provider(name=self.name, state="ready" if self._opened else "untried", note=self._file.note)


def _ended(late: bool) -> dict[str, Any]:
    """The reply of a child that ended without one."""
    return {"failed": "MemoryError", "late": late, "code": 0, "message": "", "denied": None, "rows": []}
