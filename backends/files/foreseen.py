"""What a change will do, before it is done: the words for the user, and what ties an answer to them."""

import hashlib
import os
from typing import NamedTuple

from backends.files.paths import Parts


class Change(NamedTuple):
    """The question for the user, "" if nothing is lost by it, and a proof that is another once it is."""

    question: str
    proof: str


def exactly(path: str) -> str:
    """A path for a user who is to decide on it: whole, and nothing in it that shows as something else."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in path)
    return "'" + shown.replace("'", "\\'") + "'"  # no path has a backslash of its own


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from any other, and from itself once it is changed or renamed."""
    return (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def proof_of(deed: str, real: Parts, status: os.stat_result, held: str = "") -> str:
    """Of a deed on what lies at a path; `held` is the digest of what a directory holds.

    Inode and nanoseconds are in it, which no client is told: it is guessed as badly as it is forged, and the
    same for every process that serves the directory.
    """
    told = repr((deed, real, identity(status), held))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
