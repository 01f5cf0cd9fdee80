"""Ripgrep, where it is installed, tells which files of a large tree can hold a match; only those are opened.

It shows nothing and decides nothing. It starts in the held directory, hears no word of the caller's but an
expression in its own argument, reads no configuration, and only names files. Each is then opened and
searched like any other: beneath the root, past the deny list, by our own engine. A name that a race or a link
slipped in comes to nothing there. What it leaves out is plain ASCII without a match, on which the two engines
agree; all else is a candidate: other encodings, control characters, what may be a picture.
"""

import os
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Self, cast

from backends.files.beneath import Opened
from backends.files.work import Work

_MEMORY = 1 << 30  # bytes of address space: it holds a line at a time, and one may have gigabytes
_SHARE = 3  # of the time that is left, for what still has to be read again
# What is no plain text, and what a picture, a sound or an archive may begin with. Where ends of lines
# matter to an expression, a carriage return is none either.
_SPECIAL = r"(?-u:[^\t\n%s -~]|^(?:GIF8|RIFF|%%PDF-|.{4}1AY))"
# What the two read differently: other groups than these, sets within sets, and sets that are subtracted;
# ends of words, which newer ripgreps know; and braces, which are RE2's own letters if a blank is in them.
_DIFFERENT = re.compile(
    r"\(\?(?!:|i\)|i:|P<)|&&|--|~~|\[\^?\]?[^\]]*\[(?!:)|\0|\n|\\[<>]|(?<!\\)(?:\\\\)*\{(?!\d+(?:,\d*)?\})"
)
_OPTIONS = (
    "--no-config", "--files-with-matches", "--null", "--text", "--encoding=none", "--no-mmap", "--hidden",
    "--color=never", "--no-messages", "--no-follow",
)  # fmt: skip
_IGNORING = ("--no-ignore-parent", "--no-ignore-global", "--no-ignore-exclude", "--no-require-git")
_HISTORIES = (".git", ".hg", ".svn")


def program() -> str | None:
    """Where ripgrep is, if this machine has it and can start it in a directory that is only held."""
    if not sys.platform.startswith("linux") or not os.access("/proc/self/fd", os.R_OK):
        return None
    found = shutil.which("rg")
    return found if found and found.startswith("/") else None


def expression(text: str, regex: bool) -> str | None:
    """What ripgrep is to look for; None if it might read that differently."""
    if regex:
        return None if _DIFFERENT.search(text) else f"(?:{text})|{_SPECIAL % ''}"
    special = _SPECIAL % r"\r"
    if not text.isascii():
        return special  # only a file with such bytes can hold it
    if "\r" in text:
        return None
    return "(?-u:" + "".join(f"\\x{code:02x}" for code in text.encode()) + ")|" + special


class Sieve:
    """One run of ripgrep over a directory; `with` ends it whatever happens."""

    def __init__(
        self, ripgrep: str, directory: Opened, looked_for: str, ignoring: bool, hides: Callable[[str], bool]
    ) -> None:
        command = [ripgrep, *_OPTIONS, *(_IGNORING if ignoring else ("--no-ignore",))]
        # What is hidden is never opened, and a history is often most of a tree.
        command += [f"--glob=!{name}/" for name in _HISTORIES if hides(name)]
        self._found = bytearray()
        # Without a shell; of the caller's it has the expression alone, as a part of one argument.
        self._process = subprocess.Popen(  # noqa: S603 - it asks to look where a command is from, as said above
            [*command, f"--regexp={looked_for}", "--", "./"],
            cwd=f"/proc/self/fd/{directory.where}",
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._output = cast("IO[bytes]", self._process.stdout)  # asked for as a pipe
        if sys.platform == "linux":
            import resource

            with suppress(OSError):  # it has ended already
                resource.prlimit(self._process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def candidates(self, work: Work) -> dict[str, set[str]] | None:
        """The names of candidates by directory, from where it began; None if it failed or took too long."""
        output = self._output.fileno()
        until = work.clock() + (work.deadline - work.clock()) / _SHARE
        ready = select.poll()
        ready.register(output, select.POLLIN)
        while True:
            if work.late() or work.clock() > until:
                return None
            if not ready.poll(50):
                continue
            if not (piece := os.read(output, 1 << 20)):
                break
            self._found += piece
        try:
            ended = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return None
        if ended not in (0, 1):  # 2: something could not be read, or the expression is none
            return None
        names: dict[str, set[str]] = {}
        for path in bytes(self._found).split(b"\0"):
            above, _, name = os.fsdecode(path).removeprefix("./").rpartition("/")
            names.setdefault(above, set()).add(name)
        return names
