"""Apertium on this machine, or programs that stand in for it where a test needs it to misbehave."""

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

MODES = Path("/usr/share/apertium/modes")

# Two of these make a pair: the first hands the text on, the second ($1) writes it in capitals.
_PROGRAM = """#!{python}
import os, signal, sys, time
write = sys.argv[-1] == "write"
before = b""
while True:
    text = b""
    while not text.endswith(b"\\0"):
        byte = sys.stdin.buffer.raw.read(1)
        if not byte:
            sys.exit()
        text += byte
    if write:
        text = text.upper()
        if b"DIE" in text:
            sys.exit(1)
        if b"HANG" in text:
            time.sleep(60)
        if b"STUCK" in text:  # not even the end of its input ends it
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {{signal.SIGKILL}})
            time.sleep(60)
        if b"TWICE" in text:
            text += text
        if b"LATE" in text:  # the second NUL comes when nobody reads
            sys.stdout.buffer.raw.write(text)
            time.sleep(0.05)
        if b"NOISE" in text:
            text = b"STALE.[]\\0"
    sys.stdout.buffer.raw.write(text)
"""


def installed(pair: str) -> str:
    """The name of a real pair; the test is skipped, or fails where everything is required."""
    if not (MODES / f"{pair}.mode").is_file() or shutil.which("lt-proc") is None:
        missing = f"apt-get install apertium apertium-{pair}"
        if os.environ.get("TEST_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return pair


def stand_in(directory: Path, pair: str = "eng-spa") -> Path:
    """Installs a pair whose programs are scripts, and gives the directory of modes."""
    if sys.platform == "win32":
        pytest.skip("Apertium has no pipes on Windows")
    modes = directory / "modes"
    modes.mkdir(parents=True, exist_ok=True)
    program = directory / "program"
    program.write_text(_PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (modes / f"{pair}.mode").write_text(f"'{program}' pass | '{program}' $1 $2 write\n")
    return modes
