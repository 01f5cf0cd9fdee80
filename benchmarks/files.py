"""Files through the whole server, all of the sandbox's checks on, against the reference server and rg."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.rounds import Line, Work, compare
from benchmarks.wire import Stdio

HERE = Path(__file__).parent
REFERENCE, RIPGREP = "server-filesystem", "ripgrep"
REFERENCE_PACKAGE = "@modelcontextprotocol/server-filesystem@2026.8.31"
NEEDLE = "a needle in it"


def make_tree(root: Path) -> None:
    """A small and a large text, a directory of 10,000 entries, and a tree of 10,000 files of 1 KB."""
    (root / "small.txt").write_text(("x" * 63 + "\n") * 16)
    (root / "large.txt").write_text("".join(f"{n:07} {'y' * 91}\n" for n in range(10_000)))
    (root / "flat").mkdir()
    for number in range(10_000):
        (root / f"flat/entry {number:05}.txt").touch()
    words = "the quick brown fox jumps over the lazy dog and goes on to the next line\n"
    for number in range(10_000):
        above = root / f"tree/{number // 1000}/{number // 100 % 10}"
        above.mkdir(parents=True, exist_ok=True)
        text = words * 14
        if number % 100 == 50:
            text = text[:511] + NEEDLE + text[511:]
        (above / f"file-{number:05}.txt").write_text(text)


def _ripgrep(root: Path) -> Work:
    command = [shutil.which("rg") or "rg", "--no-config", "--line-number", "--fixed-strings", "--", NEEDLE]

    def run() -> float:
        start = time.perf_counter()
        found = subprocess.run(
            command, cwd=root / "tree", capture_output=True, check=True, stdin=subprocess.DEVNULL
        )
        taken = (time.perf_counter() - start) * 1000
        if found.stdout.count(b"\n") != 100:
            raise RuntimeError(f"ripgrep found {found.stdout[:300]!r}")
        return taken

    return run


Asked = tuple[str, dict[str, Any], bytes, int]  # a tool, its arguments, what its answer holds and how often


def _tasks(root: Path) -> list[tuple[str, Asked, dict[str, tuple[Asked, float]], int]]:
    """The work: Almanac's call, the reference server's with our goal, and how many calls a round has."""
    at = str(root)
    small, large, last = b"x" * 63, b"0009999", b"entry 09999"
    ours: dict[str, Asked] = {
        "read 1 KB": ("files_read", {"path": "small.txt"}, small, 16),
        "read 1 MB": ("files_read", {"path": "large.txt", "max_lines": 10_000}, large, 1),
        "list 10,000": ("files_list", {"path": "flat", "limit": 10_000}, last, 1),
        "find in 10,000": (
            "files_find",
            {"pattern": "*99*", "path": "tree", "limit": 1000},
            b"file-09999",
            1,
        ),
    }
    theirs: dict[str, dict[str, tuple[Asked, float]]] = {
        "read 1 KB": {"": (("read_text_file", {"path": f"{at}/small.txt"}, small, 16), 1.5)},
        "read 1 MB": {"": (("read_text_file", {"path": f"{at}/large.txt"}, large, 1), 0.5)},
        "list 10,000": {
            " names only": (("list_directory", {"path": f"{at}/flat"}, last, 1), 1.5),
            " with sizes": (("list_directory_with_sizes", {"path": f"{at}/flat"}, last, 1), 1.5),
        },
        "find in 10,000": {
            "": (("search_files", {"path": f"{at}/tree", "pattern": "**/*99*"}, b"file-09999", 1), 0.05)
        },
    }
    calls = {"read 1 KB": 200, "read 1 MB": 20, "list 10,000": 5, "find in 10,000": 3}
    return [(work, ours[work], theirs[work], calls[work]) for work in ours]


def _timed(server: Stdio, asked: Asked) -> Work:
    tool, arguments, holds, times = asked
    answer = server.call(tool, arguments)
    if answer.count(holds) < times:
        raise RuntimeError(f"{tool} did not answer as it should: {answer[:300]!r}")
    return lambda: server.timed(tool, arguments)


def run(directory: Path, peers: Path, rounds: int) -> list[Line]:
    """Every line of the comparison.

    Args:
        directory: Where the files may be made.
        peers: The Python beside which `node_modules` has the reference server.
    """
    root = directory.resolve() / "root"
    root.mkdir()
    make_tree(root)
    reference = peers.parent.parent / "node_modules/.bin/mcp-server-filesystem"
    if not reference.exists() or not shutil.which("rg"):
        raise RuntimeError(
            f"This needs ripgrep, and: npm install --prefix {peers.parent.parent} {REFERENCE_PACKAGE}"
        )
    almanac = [sys.executable, str(HERE.parent / "server.py")]
    lines = []
    with contextlib.ExitStack() as stack:
        # Neither server is to spend its time on the first round's compiling.
        env = {"ALMANAC_FILES_ROOT": str(root), "PYTHONDONTWRITEBYTECODE": ""}
        ours = stack.enter_context(Stdio(almanac, env))
        theirs = stack.enter_context(Stdio([str(reference), str(root)], dict(os.environ)))
        for work, asked, others, calls in _tasks(root):
            contenders = {"almanac": _timed(ours, asked)}
            contenders |= {REFERENCE + name: _timed(theirs, other) for name, (other, _) in others.items()}
            goals = {REFERENCE + name: goal for name, (_, goal) in others.items()}
            lines += compare(f"files: {work}", contenders, goals, rounds, calls)
        search = ("files_search", {"text": NEEDLE, "path": "tree", "limit": 1000}, b'"line":', 100)
        contenders = {"almanac": _timed(ours, search), RIPGREP: _ripgrep(root)}
        lines += compare("files: search 10,000", contenders, {RIPGREP: 1.5}, rounds, 5)
    return lines
