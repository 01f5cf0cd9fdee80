"""Blocking work in a thread that can be told to stop, because a cancelled call must not go on reading."""

import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from errors import Unavailable

T = TypeVar("T")
Report = Callable[[int, str], Coroutine[Any, Any, None]]  # how many so far, and of what

_REPORT_S = 0.5  # often enough to be seen, seldom enough to cost nothing
_SHORT_S = 0.05  # what a page takes, with 100 MB of lines counted; who takes longer begins again elsewhere
_LEAVE_S = 5  # the longest that closing waits for threads; they look at their flag every few milliseconds


class Stopped(BaseException):
    """Nobody waits for this work any more. Not an Exception, so that nothing on the way keeps it."""


class Lengthy(BaseException):
    """This work, begun as short, is long. Like Stopped, nothing on the way keeps it."""


class Work:
    """One piece of work: whether to go on, how long there is, and who hears how far it is."""

    def __init__(
        self,
        seconds: float,
        closing: threading.Event,
        report: Report | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience: float | None = None,
    ) -> None:
        self._seconds, self._patience, self.clock = seconds, patience, clock
        self._closing, self._report = closing, report
        self._stop = False

    def start(self) -> None:
        """The time runs from here, not from where the call began to wait for a thread."""
        self._started = self._reported = self.clock()
        self.deadline = self._started + self._seconds

    def stop(self) -> None:
        self._stop = True

    def long(self) -> None:
        """This is going to take long: go where that keeps nobody waiting, if it is not there."""
        if self._patience is not None:
            raise Lengthy

    def late(self) -> bool:
        """Whether the time is up. Raises Stopped if nobody waits for the outcome, Lengthy if it must move."""
        if self._stop or self._closing.is_set():
            raise Stopped
        now = self.clock()
        if self._patience is not None and now - self._started > self._patience:
            raise Lengthy
        return now > self.deadline

    def tell(self, count: int, what: Callable[[], str]) -> bool:
        """Say how far it is, at most twice a second; whether it was said."""
        if not self._report or self.clock() - self._reported <= _REPORT_S:
            return False
        self._reported = self.clock()
        anyio.from_thread.run(self._report, count, what())
        return True


def working(seconds: float) -> Work:
    """Work that has begun and that nobody stops, only its time: a change, which is never left alone."""
    work = Work(seconds, threading.Event())
    work.start()
    return work


class Workers:
    """The threads of one sandbox, counted, so that closing can wait until none is left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Long work has places of its own, so that a page is read at once while searches run.
        self._short, self._long = anyio.CapacityLimiter(8), anyio.CapacityLimiter(4)
        self._scans = anyio.CapacityLimiter(4)  # reads of what lies far down a file, or that count its lines
        self._writes = anyio.CapacityLimiter(4)
        self._closing = threading.Event()
        self._idle = threading.Condition()
        self._busy = 0

    async def run(
        self, do: Callable[[Work], T], seconds: float, *, long: bool = False, report: Report | None = None
    ) -> T:
        """Do it in a thread; when the caller is cancelled, tell the thread to stop and do not wait."""
        if long:
            return await self._within(self._long, do, Work(seconds, self._closing, report, self._clock))
        try:
            first = Work(seconds, self._closing, report, self._clock, _SHORT_S)
            return await self._within(self._short, do, first)
        except Lengthy:
            pass
        return await self._within(self._scans, do, Work(seconds, self._closing, report, self._clock))

    async def write(self, do: Callable[[], None]) -> None:
        """Do it in a thread and wait for its end even when cancelled: writing must not go on alone."""
        await self._within(self._writes, lambda _: do(), Work(0, self._closing), leave=False)

    async def _within(
        self, limiter: anyio.CapacityLimiter, do: Callable[[Work], T], work: Work, leave: bool = True
    ) -> T:
        try:
            return await anyio.to_thread.run_sync(
                self._counted, do, work, abandon_on_cancel=leave, limiter=limiter
            )
        except Stopped as error:
            raise Unavailable("The server is closing.") from error
        finally:
            work.stop()

    def _counted(self, do: Callable[[Work], T], work: Work) -> T:
        with self._idle:
            if self._closing.is_set():
                raise Stopped
            self._busy += 1
        try:
            work.start()
            return do(work)
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()

    async def close(self) -> bool:
        """Stop everything; whether all threads have left, so that nothing they use may be closed before."""
        self._closing.set()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._wait)
        return not self._busy

    def _wait(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not self._busy, _LEAVE_S)
