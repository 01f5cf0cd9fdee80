"""Translations that were given before, found by a hash of the text, the pair and the engine's generation.

Without the text nothing is found. What is found is the translation in clear, or with "hash-only" the
same encrypted under a key that is made of the text itself: only who has the text can read it, and nobody
who has the store alone, but for guessing the text.
"""

import hashlib
import json
import os
from collections import OrderedDict
from typing import Literal, NamedTuple

from backends.translate.engine import Rendering
from state import State

COLLECTION = "translations"
HOLDS_S = 30 * 86_400.0  # an engine of the same generation says the same; a month later it may have learnt
MOST_BYTES = 4_000_000  # kept in this process: 10,000 sentences
MOST_OF_ONE = 500_000  # a longer translation is not kept
_FORM = b"1"  # part of every key: another number forgets what was kept in another form or checked otherwise
_NONCE = 12
_PADDED = 128  # the length of an encrypted translation is told in steps of so many bytes


class Question(NamedTuple):
    """What has the same answer again."""

    engine: str
    generation: str
    source: str
    target: str
    text: str


class Remembered:
    """The translations this server gave.

    Args:
        how: Whether they are kept in clear, encrypted, or not at all.
        state: Where they outlive the process and are shared; without it they are kept in memory.
    """

    def __init__(self, how: Literal["on", "hash-only", "off"], state: State | None) -> None:
        self._how, self._state = how, state
        self._near: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    async def get(self, question: Question) -> Rendering | None:
        """The translation, if it was given before."""
        if self._how == "off":
            return None
        place, key = _place_and_key(question)
        kept = self._near.get(place)
        if kept is not None:
            self._near.move_to_end(place)
        elif self._state is None or (kept := await self._state.get(COLLECTION, place)) is None:
            return None
        else:
            self._keep_near(place, kept)
        return self._read(kept, place, key)

    async def put(self, question: Question, rendering: Rendering) -> None:
        """Keep a translation, unless nothing is kept or it is very long."""
        if self._how == "off":
            return
        place, key = _place_and_key(question)
        kept = json.dumps(rendering, ensure_ascii=False).encode()
        if len(kept) > MOST_OF_ONE:
            return
        if self._how == "hash-only":
            kept = _cipher(key, kept, place)
        self._keep_near(place, kept)
        if self._state is not None:
            await self._state.put(COLLECTION, place, kept, HOLDS_S)

    def _keep_near(self, place: str, kept: bytes) -> None:
        self._size += len(kept) - len(self._near.get(place, b""))
        self._near[place] = kept
        while self._size > MOST_BYTES:
            _, oldest = self._near.popitem(last=False)
            self._size -= len(oldest)

    def _read(self, kept: bytes, place: str, key: bytes) -> Rendering | None:
        try:
            text, quality, notices = json.loads(_decipher(key, kept, place) if self._how != "on" else kept)
        except (ValueError, TypeError):  # it was kept in the other way, or is damaged
            return None
        if not isinstance(notices, list) or not all(
            isinstance(each, str) for each in (text, quality, *notices)
        ):
            return None
        return Rendering(text, quality, tuple(notices))


def _place_and_key(question: Question) -> tuple[str, bytes]:
    """Where it is kept, and what it is encrypted with; neither leads to the other, or to the text."""
    parts = [part.encode() for part in question]
    whole = b"".join((len(part).to_bytes(8, "big") + part) for part in (_FORM, *parts))
    place = hashlib.blake2b(whole, digest_size=32, person=b"place").hexdigest()
    return place, hashlib.blake2b(whole, digest_size=32, person=b"key").digest()


def _cipher(key: bytes, clear: bytes, place: str) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, clear + b" " * (-len(clear) % _PADDED), place.encode())


def _decipher(key: bytes, kept: bytes, place: str) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(kept[:_NONCE], kept[_NONCE:], place.encode())
    except InvalidTag:
        raise ValueError("not encrypted with this key") from None
