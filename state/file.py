"""The store of one machine: a SQLite file, or memory where there can be none."""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger("almanac")

CLOSE_S = 1.0
BUSY_S = 1.0  # how long the thread waits for another process; callers leave before
MOST_BYTES = 64_000_000  # of the file; what ends first goes first
MOST_WAITING = 256  # jobs for the thread; more means that the disk hangs

SCHEMA = """
CREATE TABLE IF NOT EXISTS kept (
    collection TEXT, key TEXT, value BLOB NOT NULL, ends REAL NOT NULL, PRIMARY KEY (collection, key));
CREATE INDEX IF NOT EXISTS kept_ends ON kept (ends);
"""
BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteStore:
    """A file that every process of this machine shares, used by one daemon thread."""

    def __init__(self, directory: Path | None, clock: Callable[[], float]) -> None:
        self._path = directory / "cache.db" if directory else None
        self._clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._file: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    async def get(self, collection: str, key: str) -> bytes | None:
        return await self._do(lambda: self._get(collection, key))

    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None:
        ends = self._clock() + ttl_s
        await self._do(lambda: self._put(collection, key, value, ends))

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._jobs.put(None)
        for _ in range(int(CLOSE_S / 0.005)):  # a disk that hangs keeps nobody: the thread is a daemon
            if not thread.is_alive():
                return
            await asyncio.sleep(0.005)

    async def _do(self, work: Callable[[], T]) -> T:
        """What `work` gives, done in the thread."""
        if self._jobs.qsize() >= MOST_WAITING:
            raise OSError("the disk hangs")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(done: Callable[[Any], None], outcome: object) -> None:
            if not answer.cancelled():
                done(outcome)

        def job() -> None:
            outcome: tuple[Callable[[Any], None], object]
            try:
                outcome = answer.set_result, work()
            except Exception as error:  # whatever it is, the caller has to hear of it
                outcome = answer.set_exception, error
            with contextlib.suppress(RuntimeError):  # its loop is closed
                loop.call_soon_threadsafe(settle, *outcome)

        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="almanac-state", daemon=True)
            self._thread.start()
        return await answer

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _get(self, collection: str, key: str) -> bytes | None:
        if self._file is None and not (self._path and self._path.exists()):
            return None
        question = "SELECT value FROM kept WHERE collection = ? AND key = ? AND ends > ?"
        rows = self._run(question, collection, key, self._clock())
        return bytes(rows[0][0]) if rows else None

    def _put(self, *row: str | bytes | float) -> None:
        put = "INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?)"
        try:
            self._run(put, *row)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            self._make_room()
            self._run(put, *row)

    def _make_room(self) -> None:
        self._run("DELETE FROM kept WHERE ends <= ?", self._clock())
        self._run("DELETE FROM kept WHERE ends <= (SELECT ends FROM kept ORDER BY ends "
                  "LIMIT 1 OFFSET (SELECT count(*) / 4 FROM kept))")  # fmt: skip

    def _run(self, statement: str, *values: str | bytes | float) -> list[Any]:
        """The rows of a statement; a file that turns out to be broken is put aside, and another begun."""
        for _ in range(2):
            self._file = self._file or self._open()
            try:
                return self._file.execute(statement, values).fetchall()
            except sqlite3.DatabaseError as error:
                if error.sqlite_errorcode & 0xFF not in BROKEN:
                    raise
                self._put_aside(error)
        raise sqlite3.DatabaseError("the file breaks again and again")

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            try:
                return self._connect(self._path)
            except (OSError, sqlite3.DatabaseError) as error:
                code = error.sqlite_errorcode & 0xFF if isinstance(error, sqlite3.DatabaseError) else 0
                if code in BROKEN and isinstance(error, sqlite3.DatabaseError):
                    self._put_aside(error)
                    return self._connect(self._path)
                if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):  # another process is making it
                    raise
                log.warning("caches are kept in memory: the state directory cannot be used", why=str(error))
                self._path = None
        return self._prepared(sqlite3.connect(":memory:", isolation_level=None))

    def _connect(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        made = os.open(path, flags, 0o600)  # places asked for are nobody else's business
        found = os.fstat(made)
        os.close(made)
        self._identity = found.st_dev, found.st_ino
        return self._prepared(sqlite3.connect(path, timeout=BUSY_S, isolation_level=None))

    def _prepared(self, file: sqlite3.Connection) -> sqlite3.Connection:
        try:
            _use_wal(file)
            file.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes was only a copy
            size = file.execute("PRAGMA page_size").fetchone()[0]
            file.execute(f"PRAGMA max_page_count = {MOST_BYTES // size}")
            file.executescript(SCHEMA)
        except BaseException:
            file.close()
            raise
        return file

    def _put_aside(self, error: sqlite3.DatabaseError) -> None:
        """Rename the broken file, unless another process has done so."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._path is None:
            return
        with contextlib.suppress(FileNotFoundError):
            found = self._path.stat()
            if (found.st_dev, found.st_ino) != self._identity:
                return
            self._path.replace(self._path.with_suffix(".db.broken"))
            for more in ("-wal", "-shm"):
                self._path.with_name(self._path.name + more).unlink(missing_ok=True)
            log.warning("the cache file is broken and was put aside", name="cache.db.broken", why=str(error))


def _use_wal(file: sqlite3.Connection) -> None:
    """Readers and a writer at once. While another process does the same SQLite refuses without waiting."""
    for pause_s in (0.005, 0.02, 0.05, 0.1, 0.2):
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(pause_s)
        else:
            return
