"""Programs joined by pipes and kept alive between texts: what a shell's `a | b | c` is, without a shell.

Each program runs in null-flush mode: it answers a text that ends in NUL with one that ends in NUL. A
pipeline that died, hung or was left in the middle of a text is killed, never reused.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

import anyio

from backends.translate.engine import Trouble

END = b"\0"
# Nothing of ours is inherited: keys stand in the environment. Apertium's programs need a UTF-8 locale.
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}
REAP_S = 2.0


class OutOfStep(Exception):
    """The pipeline ended, or what it answered is not one whole answer."""


class Pipeline:
    """One row of programs; `exchange` is for one caller at a time."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        self._commands = commands
        self._processes: list[asyncio.subprocess.Process] = []
        self._ending: list[asyncio.subprocess.Process] = []

    @property
    def alive(self) -> bool:
        return bool(self._processes) and all(p.returncode is None for p in self._processes)

    async def start(self) -> None:
        """Start all programs; half a row is killed if one cannot be started."""
        self.kill()
        feed = subprocess.PIPE  # the first reads from us, each other from the one before it
        try:
            for number, command in enumerate(self._commands, 1):
                feed = await self._start_one(command, feed, last=number == len(self._commands))
        except OSError as error:
            raise Trouble("could not be started on this machine") from error
        finally:
            if len(self._processes) < len(self._commands):
                self.kill()
                if feed >= 0:
                    os.close(feed)

    async def _start_one(self, command: Sequence[str], feed: int, last: bool) -> int:
        """Start one program and give the descriptor that the next one reads from."""
        program = shutil.which(command[0])
        if program is None:
            raise FileNotFoundError(command[0])
        following, out = (-1, subprocess.PIPE) if last else os.pipe()
        try:
            # Whole, in 2 ms: one that is cancelled half started would be nobody's to see gone.
            with anyio.CancelScope(shield=True):
                process = await asyncio.create_subprocess_exec(
                    *_tied(),
                    program,
                    *command[1:],
                    stdin=feed,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                    env=ENVIRONMENT,
                    start_new_session=True,  # a Ctrl-C at the terminal is the server's to handle
                )
        except BaseException:
            if following >= 0:
                os.close(following)
            raise
        finally:
            if not last:
                os.close(out)
        self._processes.append(process)
        if feed >= 0:
            os.close(feed)
        return following

    async def exchange(self, stream: bytes) -> bytes:
        """Send one text and read its answer, both without NUL.

        It does not wait for the write: the loop sends while the answer is read, so programs that
        answer before they have read all cannot block one another, and a text is small.
        """
        source, sink = self._processes[0].stdin, self._processes[-1].stdout
        if source is None or sink is None:
            raise OutOfStep
        try:
            source.write(stream + END)
            answer = bytearray()
            while not answer.endswith(END):
                chunk = await sink.read(65_536)
                if not chunk:
                    raise OutOfStep
                answer += chunk
        except OSError:
            raise OutOfStep from None
        if answer.count(END) != 1:
            raise OutOfStep
        return bytes(answer[:-1])

    def kill(self) -> None:
        """End all programs now, without waiting: this also runs where a cancelled task may not wait."""
        # The last first: none is ended by the end of its input just before, which asyncio (3.11) would
        # report as an unknown child.
        for process in reversed(self._processes):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        self._ending = [p for p in (*self._ending, *self._processes) if p.returncode is None]
        self._processes = []

    async def aclose(self) -> None:
        """End all programs and see them gone, even while the whole server is being cancelled."""
        self.kill()
        with anyio.CancelScope(shield=True), anyio.move_on_after(REAP_S):
            for process in self._ending:
                await process.wait()


def _tied() -> list[str]:
    """What ties a program's life to ours, where there is such a thing; it costs 1 ms.

    A program that waits for us ends when we do, by the end of its input. One that hangs does not read,
    and nobody would be left to see it.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
