"""Files through the whole server, the sandbox's checks on, against the reference server, rg and scandir."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from benchmarks.contenders import SHIPPED, Bench
from benchmarks.goals import FILESYSTEM, RIPGREP, SCANDIR
from benchmarks.rounds import OURS, Absent, Line, Work, compare

NEEDLE = "a needle in it"
SMALL, LARGE, LAST_ENTRY, LAST_FOUND = b"x" * 63, b"0009999", b"entry 09999", b"file-09999"


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


def run(bench: Bench) -> Iterable[Line]:
    """Every line of the comparison."""
    root = bench.directory.resolve() / "root"
    root.mkdir()
    make_tree(root)
    ours = bench.stdio(bench.script(SHIPPED), {"ALMANAC_FILES_ROOT": str(root)})
    theirs = bench.peer(bench.npm("mcp-server-filesystem", str(root)))
    all_lines = {"path": "large.txt", "max_lines": 10_000}
    wanted = {"pattern": "*99*", "path": "tree", "limit": 1000}
    works: dict[str, tuple[int, dict[str, Work | Absent]]] = {
        "files_read 1 KB": (
            200,
            {
                OURS: ours.calls("files_read", {"path": "small.txt"}, SMALL, 16),
                FILESYSTEM: theirs.calls("read_text_file", {"path": f"{root}/small.txt"}, SMALL, 16),
            },
        ),
        "files_read 1 MB": (
            20,
            {
                OURS: ours.calls("files_read", all_lines, LARGE),
                FILESYSTEM: theirs.calls("read_text_file", {"path": f"{root}/large.txt"}, LARGE),
            },
        ),
        "files_list 10,000": (
            5,
            {
                OURS: ours.calls("files_list", {"path": "flat", "limit": 10_000}, LAST_ENTRY),
                FILESYSTEM: theirs.calls("list_directory", {"path": f"{root}/flat"}, LAST_ENTRY),
                f"{FILESYSTEM} with sizes": theirs.calls(
                    "list_directory_with_sizes", {"path": f"{root}/flat"}, LAST_ENTRY
                ),
                SCANDIR: _scanning(root / "flat", "*", 10_000),
            },
        ),
        "files_find in 10,000": (
            3,
            {
                OURS: ours.calls("files_find", wanted, LAST_FOUND),
                FILESYSTEM: theirs.calls(
                    "search_files", {"path": f"{root}/tree", "pattern": "**/*99*"}, LAST_FOUND
                ),
                SCANDIR: _scanning(root / "tree", "*99*", 280),
            },
        ),
        "files_search of 10,000 files": (
            5,
            {
                OURS: ours.calls(
                    "files_search", {"text": NEEDLE, "path": "tree", "limit": 1000}, b'"line":', 100
                ),
                RIPGREP: _ripgrep(root / "tree"),
            },
        ),
    }
    for work, (calls, contenders) in works.items():
        yield from compare(work, contenders, bench.rounds, bench.many(calls))


def _scanning(directory: Path, pattern: str, expected: int) -> Work:
    def scan() -> float:
        start = time.perf_counter()
        found = sum(fnmatch(entry.name, pattern) for entry in _entries(directory))
        taken = (time.perf_counter() - start) * 1000
        if found != expected:
            raise RuntimeError(f"scandir found {found} of {expected}")
        return taken

    return scan


def _entries(directory: str | Path) -> Iterator[os.DirEntry[str]]:
    """All files of a tree with what is known of them."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(entry.path)
            else:
                entry.stat(follow_symlinks=False)
                yield entry


def _ripgrep(tree: Path) -> Work | Absent:
    command = shutil.which("rg")
    if command is None:
        return Absent("needs ripgrep")
    wanted = [command, "--no-config", "--line-number", "--fixed-strings", "--", NEEDLE]

    def run() -> float:
        start = time.perf_counter()
        found = subprocess.run(wanted, cwd=tree, capture_output=True, check=True, stdin=subprocess.DEVNULL)
        taken = (time.perf_counter() - start) * 1000
        if found.stdout.count(b"\n") != 100:
            raise RuntimeError(f"ripgrep found {found.stdout[:300]!r}")
        return taken

    return run
