"""The parent's side of a child process: start it, ask it, stop it, kill it."""

import asyncio
import contextlib
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from pydantic_core import to_json

from backends.sql.rows import Row

START_SECONDS = 20.0  # it takes 0.03; a machine that is starting up may need longer
GRACE_SECONDS = 0.25  # a statement past its time ends itself at the next check, or is killed after this
STOP_SECONDS = 0.05  # it looks about every 0.1 ms whether it shall stop; some of SQLite's work heeds nothing
_REPLY_BUFFER = 1 << 20

# The packages are named without running their __init__, which would import pydantic (0.1 s a start).
_LAUNCH = """
import sys
for name in ("backends", "backends.sql"):
    package = sys.modules[name] = type(sys)(name)
    package.__path__ = [sys.argv[1] + "/" + name.replace(".", "/")]
from backends.sql.child import serve
serve(*sys.argv[2:])
"""
_APPLICATION = str(Path(__file__).resolve().parents[2])

Write = Callable[[bytes, int], Awaitable[None]]


class Overstayed(Exception):
    """A child's statement goes on past its time."""


class Killed(Exception):
    """A child was ended by the kernel: a limit on memory or processor time, or a crash inside SQLite."""


class _Gathered:
    """A page's rows, and the same as JSON, piece by piece while the child fetches the next."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.encoded: list[bytes] = []

    def take(self, part: dict[str, Any]) -> None:
        if "again" in part:
            self.rows, self.encoded = [], []
        rows = [row for piece in part.pop("pieces", ()) for row in marshal.loads(piece)]  # noqa: S302 - our child's
        if rows:
            self.rows += rows
            self.encoded.append(to_json(rows)[1:-1])


class Worker:
    """One child with one open database. Not to be asked twice at once."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._length: int | None = None  # of the frame whose head has been read
        self._gathered = _Gathered()

    @classmethod
    async def start(cls, uri: str, memory_bytes: int) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", *(("-B",) if sys.dont_write_bytecode else ()), "-c", _LAUNCH),
            *(_APPLICATION, uri, str(memory_bytes)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=_REPLY_BUFFER,
            cwd=Path(_APPLICATION).anchor,
            start_new_session=True,  # a Ctrl-C at the terminal is the server's to handle
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        return cls(process)

    async def hello(self) -> dict[str, Any]:
        """The child's first words: whether the database is open."""
        return await self.reply(START_SECONDS)

    def send(self, ask: dict[str, Any]) -> None:
        """Have it run one statement.

        Raises:
            Killed: The child is gone.
        """
        self._gathered = _Gathered()
        body = marshal.dumps(ask)
        assert self._process.stdin is not None  # noqa: S101 - asked for as a pipe
        try:
            self._process.stdin.write(len(body).to_bytes(4, "big") + body)
        except (RuntimeError, OSError) as error:  # uvloop's word for a pipe that is closed is the first
            raise Killed from error

    async def reply(self, seconds: float, write: Write | None = None) -> dict[str, Any]:
        """What came of the statement; whoever stops waiting may go on waiting later.

        Args:
            seconds: To wait.
            write: Takes each piece of an export, before the next is read.

        Raises:
            Overstayed: Nothing yet.
            Killed: The child is gone.
        """
        try:
            async with asyncio.timeout(seconds):
                while "more" in (part := await self._receive()):
                    if write is None:
                        self._gathered.take(part)
                    elif "piece" in part:  # what was stopped may have been no export
                        await write(part["piece"], part["rows"])
        except TimeoutError as error:
            raise Overstayed from error
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._process.wait()
            if code not in (0, 1):  # a signal, or what Windows has for one
                raise Killed from error
            raise RuntimeError(f"the SQL process ended with status {code}") from error  # its log is on stderr
        self._gathered.take(part)
        return part | {"rows": self._gathered.rows, "json": b"[%s]" % b",".join(self._gathered.encoded)}

    async def stop(self) -> dict[str, Any]:
        """End the statement: the child's last words on it, or nothing if it has to be killed."""

        async def discard(piece: bytes, rows: int) -> None: ...

        if sys.platform == "win32":
            return {}
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            return await self.reply(STOP_SECONDS, discard)
        except (Overstayed, Killed, RuntimeError):
            return {}

    async def _receive(self) -> dict[str, Any]:
        source = self._process.stdout
        assert source is not None  # noqa: S101 - asked for as a pipe
        if self._length is None:
            self._length = int.from_bytes(await source.readexactly(4), "big")
        body = await source.readexactly(self._length)
        self._length = None
        part: dict[str, Any] = marshal.loads(body)  # noqa: S302 - our own child
        return part

    @property
    def alive(self) -> bool:
        if self._process.returncode is not None or sys.platform == "win32":
            return self._process.returncode is None
        try:  # it may have been ended a moment ago, which the loop does not know yet
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def gone(self) -> None:
        """Wait until the process has been reaped and its pipes are closed."""
        assert self._process.stdin is not None  # noqa: S101 - asked for as a pipe
        self._process.stdin.close()
        await self._process.wait()
