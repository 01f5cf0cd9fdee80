"""The processes that a test's server started: which there are, what they weigh, what becomes of them."""

import os
import time
from contextlib import suppress
from pathlib import Path


def children() -> list[int]:
    """Those of every thread of this process."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread may end while we look
            found += map(int, (task / "children").read_text().split())
    return found


def memory() -> int:
    """Resident bytes of this process and of its children."""
    pages = 0
    for process in (os.getpid(), *children()):
        with suppress(FileNotFoundError, ProcessLookupError):
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def has_ended(process: int, within: float = 5) -> bool:
    """Whether it ends within so many seconds.

    One whose parent was killed stays as a zombie where process 1 reaps nobody, as in many containers: it
    has ended all the same.
    """
    deadline = time.monotonic() + within
    while runs := _runs(process):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return not runs


def _runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in "XZ"
