"""Reading the chain back: what it holds, and whether anything of it was altered, removed or reordered.

How far that goes: whoever has no key cannot alter, remove, insert or reorder a line unseen, nor cut lines
off the end while the head is there. Whoever has the key, or puts back an older copy of all the files, the
head with them, can: a number and a chain noted elsewhere show that (`expect`). Without a head, a cut end
cannot be told from an end.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ledger import GENESIS, Head, audit_files, head_path, link, parse, read_head

MOST_PROBLEMS = 100
MOST_TRIES = 5


class Verdict(NamedTuple):
    """What became of the chain: `problems` are damage, `notes` what cannot be told or should be known."""

    files: int
    lines: int
    first: int
    last: int
    chain: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def events(path: Path) -> Iterator[dict[str, Any]]:
    """Every event there is, in order; lines that cannot be read are left out."""
    for file in audit_files(path):
        with file.open("rb") as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(event, dict):
                    yield event


def verify(path: Path, key: bytes, expect: tuple[int, str] | None = None) -> Verdict:
    """Go through the whole chain.

    Args:
        path: The current file.
        key: What the chains were made with.
        expect: The number and the chain of a line that were noted elsewhere.
    """
    for _ in range(MOST_TRIES):
        head = _head(path, key)  # first: lines written while this reads come after it
        walk, files = _Walk(key, expect), audit_files(path)
        with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile, as is seen below
            _go(walk, files)
        if (
            audit_files(path) == files
        ):  # else the server has begun another file, and this missed the end of one
            break
    walk.end(head, head_path(path).exists())
    return Verdict(
        len(files),
        walk.lines,
        walk.first,
        walk.seq,
        walk.chain.hex(),
        tuple(walk.problems[:MOST_PROBLEMS]),
        tuple(walk.notes),
    )


def _go(walk: "_Walk", files: list[Path]) -> None:
    for file in files:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                walk.line(line, f"{file.name}, line {number}")


def _head(path: Path, key: bytes) -> Head | None:
    try:
        return read_head(head_path(path).read_bytes(), key)
    except (OSError, ValueError):
        return None


class _Walk:
    def __init__(self, key: bytes, expect: tuple[int, str] | None) -> None:
        self._key, self._expect, self._met = key, expect, False
        self.seq, self.chain, self.lines, self.first = 0, GENESIS, 0, 0
        self.problems: list[str] = []
        self.notes: list[str] = []
        self._first_line: tuple[bytes, bytes] | None = None
        # Of what the server says it removed: the first number left, and the chain before it. The last time,
        # it may have been killed before it did.
        self._pruned: dict[int, bytes] = {}
        self._own = True  # whether any line was made with this key

    def line(self, line: bytes, where: str) -> None:
        parsed = parse(line.removesuffix(b"\n"))
        if parsed is None:
            self.problems.append(
                f"{where}: this is no line of the audit; it was altered, or written in part."
            )
            return
        seq, body, chain = parsed
        if not self.lines:
            self.first = seq
            if seq != 1:
                self._first_line, self.seq = (body, chain), seq - 1
        if seq != self.seq + 1:
            self._gap(seq, where)
        elif (self._first_line is None or self.lines) and link(self._key, self.chain, body) != chain:
            self.problems.append(
                f"{where} (number {seq}): its chain does not fit: it was altered, or made with another key."
            )
        if not line.endswith(b"\n"):
            self.problems.append(f"{where} (number {seq}): the end of the line is missing.")
        self.lines, self.seq, self.chain = self.lines + 1, seq, chain
        if self._expect and seq == self._expect[0]:
            self._met = chain.hex() == self._expect[1]
        if any(b'"event":"%b"' % event in body for event in (b"pruned", b"damaged", b"lost")):
            with contextlib.suppress(
                ValueError, KeyError, TypeError, RecursionError
            ):  # altered, which has been told already
                self._told(json.loads(line), where)

    def _gap(self, seq: int, where: str) -> None:
        if seq > self.seq + 1:
            missing = f"{self.seq + 1}" if seq == self.seq + 2 else f"{self.seq + 1} to {seq - 1}"
            self.problems.append(f"{where}: before number {seq}, number {missing} is missing.")
        else:
            self.problems.append(f"{where}: number {seq} comes after {self.seq}: it was moved or repeated.")

    def _told(self, event: dict[str, Any], where: str) -> None:
        match event.get("event"):
            case "pruned":
                self._pruned[int(event["before"])] = bytes.fromhex(str(event["left"]))
            case "damaged":
                what, last = event.get("what"), event.get("last")
                self.problems.append(f"{where}: the server found here that {what}, after number {last}.")
            case "lost":
                self.notes.append(f"{where}: {event.get('events')} events before it could not be written.")

    def end(self, head: Head | None, is_there: bool) -> None:
        if self._first_line:
            self._begins()
        if head is None:
            what = "is not signed with this key" if is_there else "is missing"
            self.notes.append(f"The head {what}: whether lines at the end are missing cannot be told.")
            if is_there and self.lines:
                self.problems.append("The head was altered, or the key is another one.")
        elif head.seq > self.seq:
            self.problems.append(
                f"The end is missing: the last line is number {self.seq}, and {head.seq} were written."
            )
        elif head.seq == self.seq and head.chain != self.chain:
            self.problems.append(f"The last line, number {self.seq}, is not the one that was written.")
        if self._expect and not self._met:
            self.problems.append(f"Number {self._expect[0]} does not have the chain that was expected.")

    def _begins(self) -> None:
        """The first line is not number 1: a later one has to say that the server removed the rest."""
        assert self._first_line is not None  # noqa: S101 - the caller has looked
        before = self._pruned.get(self.first)
        if before is None:
            self.problems.insert(
                0, f"Numbers 1 to {self.first - 1} are missing, and the server did not remove them."
            )
        elif link(self._key, before, self._first_line[0]) != self._first_line[1]:
            self.problems.insert(0, f"Number {self.first}, the first there is, was altered.")
        else:
            self.notes.append(
                f"Numbers 1 to {self.first - 1} were removed by the server, as it keeps so many files."
            )
