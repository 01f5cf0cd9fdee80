"""Lines that are only ever appended, each chained to the one before over rotations, restarts and processes.

A line's chain is a keyed hash of its text and of the chain before it, so that whoever has no key cannot
alter, remove, add or reorder one unseen. A second file, the head, says how many lines there are and holds
the last chain, signed with the key: that shows when lines at the end are missing.

One file for all processes, who take turns by a lock on the head: 5 µs a line. Each line is written by one
`write` before the call's answer leaves, so that a killed process loses none that it has answered for.
"""

import contextlib
import errno
import glob
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ledger.locking import BINARY, lock, read_at, unlock, write_at

CHAIN_BYTES = 16
GENESIS = bytes(CHAIN_BYTES)
PATIENCE_S = 0.25  # for another process that holds the lock; it does for 10 µs
LOOK_EVERY_S = 1.0  # at whether the file is still there under its name: 6 µs
HEAD = b"%020d %020d %020d %b "  # number, size, first number and chain
HEAD_LENGTH = 3 * 21 + 2 * CHAIN_BYTES + 1
TAIL_BYTES = 1_000_000  # in which the last line begins: arguments take 60,000 at most


class Head(NamedTuple):
    """Where the chain is: the last line's number and chain, the size of the file, the file's first number."""

    seq: int
    size: int
    first: int
    chain: bytes


def link(key: bytes, before: bytes, body: bytes) -> bytes:
    """The chain of a line whose text, without the chain itself, is `body`."""
    return hashlib.blake2b(before + body, key=key, digest_size=CHAIN_BYTES).digest()


def head_path(path: Path) -> Path:
    return path.with_name(path.name + ".head")


def rotated(path: Path) -> list[Path]:
    """The files of the chain before the current one, oldest first."""
    names = path.parent.glob(f"{glob.escape(path.stem)}.*{glob.escape(path.suffix)}")
    numbered = [name for name in names if name.name.removesuffix(path.suffix).rpartition(".")[2].isdigit()]
    return sorted(numbered)


def audit_files(path: Path) -> list[Path]:
    """All files of the chain, oldest first."""
    return [*rotated(path), *([path] if path.exists() else [])]


def read_head(stored: bytes, key: bytes) -> Head | None:
    """What the head says; None if it is not ours."""
    text, signed = stored[:HEAD_LENGTH], stored[HEAD_LENGTH : HEAD_LENGTH + 2 * CHAIN_BYTES]
    if link(key, b"head", text).hex().encode() != signed:
        return None
    seq, size, first, chain = text.split()
    return Head(int(seq), int(size), int(first), bytes.fromhex(chain.decode()))


def parse(line: bytes) -> tuple[int, bytes, bytes] | None:
    """A line's number, its text without the chain, and its chain; None if it is no line of ours."""
    body, mark, chain = line.rpartition(b',"chain":"')
    if not (mark and body.startswith(b'{"seq":') and chain.endswith(b'"}')):
        return None
    try:
        return int(body[7 : body.index(b",")]), body, bytes.fromhex(chain[:-2].decode())
    except ValueError:
        return None


class Ledger:
    """The chain's writing end; opened by the first line.

    Args:
        path: The current file; the older ones and the head lie beside it.
        key: What chains are made with.
        max_bytes: A file that has more is renamed, and another begun.
        keep: How many of the renamed are kept; 0 is all.
    """

    def __init__(self, path: Path, key: bytes, max_bytes: int, keep: int) -> None:
        self._path, self._key, self._max_bytes, self._keep = path, key, max_bytes, keep
        self._file = self._head_file = -1
        self._first = 0
        self._last: Head | None = None
        self._stored = b"never"
        self._looked = 0.0

    def append(self, bodies: Sequence[bytes]) -> None:
        """Write JSON objects as lines, all or none.

        Raises:
            OSError: They could not be written.
        """
        if self._head_file < 0:
            self._open_head()
        self._take_turn()
        try:
            head, found = self._ready()
            head = self._write(head, [*found, *bodies] if found else bodies)
            if head.size > self._max_bytes:
                # The lines are written; a file that cannot be renamed (Windows, if others have it) grows on.
                with contextlib.suppress(OSError):
                    self._rotate(head)
        finally:
            unlock(self._head_file)

    def close(self) -> None:
        for file in (self._file, self._head_file):
            if file >= 0:
                os.close(file)
        self._file = self._head_file = -1

    def _open_head(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._head_file = os.open(head_path(self._path), os.O_RDWR | os.O_CREAT | BINARY, 0o600)

    def _take_turn(self) -> None:
        if lock(self._head_file):
            return
        deadline = time.monotonic() + PATIENCE_S
        while not lock(self._head_file):
            if time.monotonic() > deadline:
                raise OSError(errno.EBUSY, "another process holds the lock")
            time.sleep(0.0002)

    def _ready(self) -> tuple[Head, list[bytes]]:
        """The head, the file open at its end, and what has to be told of the way there."""
        stored = read_at(self._head_file, HEAD_LENGTH + 2 * CHAIN_BYTES, 0)
        # What this process has written itself needs no second look: 4 of 15 µs.
        head = self._last if stored == self._stored else read_head(stored, self._key)
        if head is None:
            return self._without_head(bool(stored))
        found = os.fstat(self._file) if self._file >= 0 and head.first == self._first else None
        if found is None or self._has_gone(found):
            if self._file >= 0:
                os.close(self._file)
            self._open(head.first)
            found = os.fstat(self._file)
        if found.st_size == head.size:
            return head, []
        return self._differs(head, found.st_size)

    def _open(self, first: int) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | BINARY
        self._file = os.open(self._path, flags, 0o600)
        self._first = first

    def _has_gone(self, found: os.stat_result) -> bool:
        now = time.monotonic()
        if found.st_nlink == 0 or now < self._looked + LOOK_EVERY_S:
            return found.st_nlink == 0
        self._looked = now
        try:
            return not os.path.samestat(self._path.stat(), found)
        except FileNotFoundError:
            return True

    def _without_head(self, was_there: bool) -> tuple[Head, list[bytes]]:
        """A new chain, or one that goes on after the last line there is."""
        lines = map(_last_line, reversed(audit_files(self._path)))
        last = next(filter(None, lines), None)
        if last is None and not was_there:
            self._open(1)
            return Head(0, os.fstat(self._file).st_size, 1, GENESIS), []
        seq, chain = (last[0], last[2]) if last else (0, GENESIS)
        note = _event("damaged", what="the head was missing or not ours", last=seq)
        if self._path.exists():
            self._put_aside(seq)
        self._open(seq + 1)
        return Head(seq, 0, seq + 1, chain), [note]

    def _differs(self, head: Head, size: int) -> tuple[Head, list[bytes]]:
        """The file does not end where the head says: lines whose head was not written, or damage."""
        if size > head.size:
            more = read_at(self._file, size - head.size, head.size)
            seq, chain = head.seq, head.chain
            for line in more.splitlines():
                parsed = parse(line)
                if parsed is None or parsed[0] != seq + 1 or link(self._key, chain, parsed[1]) != parsed[2]:
                    break
                seq, chain = parsed[0], parsed[2]
            else:
                if more.endswith(b"\n"):
                    return Head(seq, size, head.first, chain), []
        if size == 0 and self._was_put_aside(head):  # and then the process was killed
            return Head(head.seq, 0, head.seq + 1, head.chain), []
        note = _event("damaged", what="the file does not end where it should", last=head.seq)
        if size:
            self._put_aside(head.first - 1)  # as it is: what it holds is evidence
            os.close(self._file)
            self._open(head.seq + 1)
            return Head(head.seq, 0, head.seq + 1, head.chain), [note]
        return head._replace(size=0), [note]

    def _was_put_aside(self, head: Head) -> bool:
        files = rotated(self._path)
        last = _last_line(files[-1]) if files else None
        return last is not None and (last[0], last[2]) == (head.seq, head.chain)

    def _write(self, head: Head, bodies: Sequence[bytes]) -> Head:
        seq, chain, lines = head.seq, head.chain, []
        for body in bodies:
            seq += 1
            text = b'{"seq":%d,%b' % (seq, body[1:-1])
            chain = link(self._key, chain, text)
            lines.append(b'%b,"chain":"%b"}\n' % (text, chain.hex().encode()))
        whole = b"".join(lines)
        try:
            if os.write(self._file, whole) < len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            new = Head(seq, head.size + len(whole), head.first, chain)
            self._store(new)
        except OSError:
            with contextlib.suppress(OSError):  # half a line would be found as damage
                os.ftruncate(self._file, head.size)
            raise
        return new

    def _store(self, head: Head) -> None:
        text = HEAD % (head.seq, head.size, head.first, head.chain.hex().encode())
        stored = text + link(self._key, b"head", text).hex().encode()
        write_at(self._head_file, stored + b"\n", 0)
        self._last, self._stored = head, stored

    def _rotate(self, head: Head) -> None:
        """Begin another file, and remove the oldest, which the chain tells of."""
        self._put_aside(head.first - 1)
        head = Head(head.seq, 0, head.seq + 1, head.chain)
        self._store(head)
        os.close(self._file)
        self._file = -1
        self._open(head.first)
        gone = rotated(self._path)[: -self._keep] if self._keep else []
        if gone and (last := _last_line(gone[-1])):
            note = _event("pruned", files=len(gone), before=last[0] + 1, left=last[2].hex())
            self._write(head, [note])
            for file in gone:
                file.unlink(missing_ok=True)

    def _put_aside(self, after: int) -> None:
        """Rename the current file; its number is that of its first line, or near it if it is damaged."""
        number = after + 1
        while (name := self._path.with_name(f"{self._path.stem}.{number:012d}{self._path.suffix}")).exists():
            number += 1
        self._path.rename(name)


def _event(event: str, **more: str | int) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"at": at, "event": event, **more}, separators=(",", ":")).encode()


def _last_line(path: Path) -> tuple[int, bytes, bytes] | None:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().splitlines()
    return next((parsed for line in reversed(lines) if (parsed := parse(line))), None)
