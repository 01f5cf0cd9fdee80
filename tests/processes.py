"""What becomes of a process that a test's server started."""

import time
from pathlib import Path


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
