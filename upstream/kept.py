"""Answers as the state keeps them: the body as it came, and for how long it holds."""

import json
import zlib
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from upstream.answers import MAX_BYTES


class Store(Protocol):
    """Where answers outlive the process; `state.State` is one."""

    async def get(self, collection: str, key: str) -> bytes | None: ...
    async def put(self, collection: str, key: str, value: bytes, ttl_s: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A body that was usable once."""

    at: float
    until: float
    modified: str
    body: bytes

    def packed(self) -> bytes:
        """As bytes: a line about it, and the body at a tenth of its size."""
        about = json.dumps([self.at, self.until, self.modified]).encode()
        return about + b"\n" + zlib.compress(self.body, 1)

    @classmethod
    def unpacked(cls, content: bytes) -> "Stored | None":
        """The reverse; None for what is no such thing."""
        about, _, packed = content.partition(b"\n")
        try:
            at, until, modified = json.loads(about)
            body = zlib.decompressobj().decompress(packed, MAX_BYTES)
            return cls(float(at), float(until), str(modified), body)
        except (ValueError, TypeError, zlib.error):
            return None


def name_of(url: str, path: str, key: object) -> str:
    """Where an answer is kept: nothing of the question can be read from it."""
    return sha256(f"{url}\n{path}\n{key!r}".encode("utf-8", "surrogatepass")).hexdigest()
