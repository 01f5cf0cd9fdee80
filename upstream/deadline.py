"""The loop's time at which something has to be over."""

import asyncio


def deadline_in(seconds: float) -> float:
    """The loop's time at which a call that may take `seconds` from now has to be over."""
    return asyncio.get_running_loop().time() + seconds


def a_little_before(deadline: float) -> float:
    """So that what went wrong is told before those who wait have left."""
    now = asyncio.get_running_loop().time()
    return deadline - min(0.1, max(0.0, deadline - now) / 10)
