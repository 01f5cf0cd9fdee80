"""One database: its children, at most so many, started when they are first needed."""

import asyncio
import sqlite3
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from backends import Provider
from backends.sql.worker import GRACE_SECONDS, Killed, Overstayed, Worker, Write
from config import SqlSettings
from errors import TooMuch, Unavailable, quote

Params = Sequence[Any] | Mapping[str, Any]
Way = Literal["page", "explain", "csv", "jsonl"]

LONG_SECONDS = 0.1  # a statement over it may be stopped, to be run anew when fewer long ones are running

_IMMUTABLE = (
    "Its directory cannot be written, so it is open as immutable: changes made elsewhere show once the file "
    "itself has changed"
)
# SQLite's primary result codes that speak of the file, not of the statement.
_TROUBLE = {
    sqlite3.SQLITE_BUSY: "is locked by a program that is writing to it; try again in a moment",
    sqlite3.SQLITE_LOCKED: "is locked by a program that is writing to it; try again in a moment",
    sqlite3.SQLITE_CORRUPT: "is damaged; whoever runs this server has to restore it",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database; whoever runs this server has to correct that",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; whoever runs this server has to look at its permissions",
    sqlite3.SQLITE_PERM: "cannot be opened; whoever runs this server has to look at its permissions",
    sqlite3.SQLITE_READONLY: "was left in the middle of a write; a program that writes has to open it once",
    sqlite3.SQLITE_IOERR: "could not be read from its disk; try again in a moment",
}
_MISSING = "is not there; whoever runs this server has to put the file in its place"


class _Long(Exception):
    """A statement takes long, and as many such as may are running."""


class Pool:
    """At most `connections` children of one database, and what is known of how it is."""

    def __init__(self, name: str, path: Path, settings: SqlSettings, others: Sequence[str]) -> None:
        self.name, self.immutable = name, False
        self._path, self._settings, self._others = path, settings, others
        self._free = asyncio.Semaphore(settings.connections)
        self._most_long = max(1, settings.connections - 1)
        self._long = asyncio.Semaphore(self._most_long)
        self._idle: list[Worker] = []
        self._workers: dict[Worker, tuple[int, ...]] = {}  # and the file each of them has open
        self._endings: set[asyncio.Task[None]] = set()
        self._opened: tuple[int, ...] = ()
        self._trouble = ""

    @property
    def mode(self) -> str:
        """What keeps it from being written."""
        return f"read-only ({'immutable=1' if self.immutable else 'mode=ro'}, authorizer, child process)"

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
        worker.send(ask)
        try:
            if long:
                reply = await worker.reply(seconds, write)
            else:
                reply = await self._quick_or_long(worker, seconds)
        except Overstayed:
            reply = _ended(late=True)
            self._end(worker)
        except Killed:
            reply = _ended(late=False)
            self._end(worker)
        else:
            self._put_back(worker, reply)
        if _of_the_file(reply):
            raise self._unavailable(reply["code"] & 0xFF)
        self._trouble = ""
        return reply

    async def _quick_or_long(self, worker: Worker, seconds: float) -> dict[str, Any]:
        """One turn is left to quick statements: when the others are taken, a long one has to wait for one."""
        try:
            return await worker.reply(LONG_SECONDS)
        except Overstayed:
            if self._long.locked():
                raise _Long from None
        async with self._long:
            return await worker.reply(seconds - LONG_SECONDS)

    def _put_back(self, worker: Worker, reply: dict[str, Any]) -> None:
        outdated = self._workers.get(worker) != self._opened
        if not reply or reply.get("swollen") or _of_the_file(reply) or outdated:
            self._end(worker)
        else:
            self._idle.append(worker)

    async def _worker(self) -> Worker:
        identity = self._identity()
        if identity != self._opened:  # another file has taken the name, or an immutable one was rewritten
            for worker in self._idle:
                self._end(worker)
            self._idle.clear()
            self._opened, self.immutable = identity, False
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            self._end(worker)
        return await self._start()

    async def _start(self) -> Worker:
        uri = self._path.as_uri() + ("?immutable=1" if self.immutable else "?mode=ro")
        opened, hello = self._opened, {}
        try:
            worker = await Worker.start(uri, self._settings.max_memory)
        except OSError as error:  # no process, no memory or no handle left
            raise Unavailable("The server is too busy to open a database; try again in a moment.") from error
        self._workers[worker] = opened
        try:
            hello = await worker.hello()
        except (Overstayed, Killed) as error:
            raise self._unavailable(sqlite3.SQLITE_IOERR) from error
        finally:
            if "ready" not in hello:
                self._end(worker)
        if "ready" in hello:
            return worker
        code = hello["code"] & 0xFF
        # To read a WAL database SQLite writes beside it; where it cannot, it must be told that nobody does.
        if (
            code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
            and self._is_wal()
            and not self.immutable
        ):
            self.immutable = True
            self._opened = self._identity()
            return await self._start()
        raise self._unavailable(code)

    def _end(self, worker: Worker) -> None:
        worker.kill()
        self._workers.pop(worker, None)
        ending = asyncio.get_running_loop().create_task(worker.gone())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)

    def _identity(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unavailable(None) from error
        if not stat.S_ISREG(found.st_mode):
            raise self._unavailable(sqlite3.SQLITE_NOTADB)
        changes = (found.st_mtime_ns, found.st_size) if self.immutable else ()
        return (found.st_dev, found.st_ino, *changes)

    def _is_wal(self) -> bool:
        try:
            with self._path.open("rb") as file:
                return file.read(20)[18:] == b"\2\2"
        except OSError:
            return False

    def _unavailable(self, code: int | None) -> Unavailable:
        self._trouble = _MISSING if code is None else _TROUBLE.get(code, "cannot be read")
        others = ", ".join(map(quote, self._others))
        serving = f" Other databases: {others}." if others else ""
        return Unavailable(f"The database {quote(self.name)} {self._trouble}.{serving}")

    async def provider(self, probe: bool) -> Provider:
        """How this database is: from what is known and a look at the file, or by asking it."""
        try:
            self._identity()
            if probe:
                await self.ask("SELECT count(*) FROM sqlite_schema", seconds=3)
        except (Unavailable, TooMuch):
            state = "missing" if self._trouble == _MISSING else "failing"
            return Provider(name=self.name, state=state, note=self._trouble)
        if self._trouble:
            return Provider(name=self.name, state="failing", note=self._trouble)
        note = _IMMUTABLE if self.immutable else ""
        return Provider(name=self.name, state="ready" if self._opened else "untried", note=note)


def _of_the_file(reply: dict[str, Any]) -> bool:
    """Whether the file went wrong. A plain SQLITE_READONLY is the statement's: it tried to write."""
    code = reply.get("code", 0)
    return code != sqlite3.SQLITE_READONLY and code & 0xFF in _TROUBLE


def _ended(late: bool) -> dict[str, Any]:
    """The reply of a child that ended without one."""
    return {"failed": "MemoryError", "late": late, "code": 0, "message": "", "denied": None, "rows": []}
