"""The end of a process over either transport: what was asked is waited for, and whatever hangs is not."""

import asyncio
import faulthandler
import signal
import sys
import time
from collections.abc import Callable

ANSWER_S = 1.0  # for refusals to calls that were not finished
UNREAD_S = 1.0  # for what is written to be read on; who reads nothing would hold us
CLOSE_S = 5.0  # for backends to close what they have open
LOOK_S = 0.01


def end_within(seconds: float) -> None:
    """End the process after so many seconds, whatever hangs: called once it is to end by itself anyway.

    It says then where each thread stands, and its status is 1. A second call takes the place of the first.
    """
    # Neither Python nor a lock is needed: a handler may set this, and native code may hold the interpreter.
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)
    if sys.platform != "win32":  # should nobody read what it says, and the writing wait
        signal.setitimer(signal.ITIMER_REAL, seconds + UNREAD_S)


class Patience:
    """Waits, unless somebody is in a hurry."""

    def __init__(self) -> None:
        self.hurry = False  # a second signal has come

    async def until(self, done: Callable[[], bool], seconds: float, even_now: bool = False) -> None:
        """Wait until it is done, and was a moment before: between a call and its answer nothing runs."""
        deadline, before = time.monotonic() + seconds, False
        while time.monotonic() < deadline and (even_now or not self.hurry):
            now = done()
            if now and before:
                return
            before = now
            await asyncio.sleep(LOOK_S)
