"""Events on their way into the ledger: written at once, kept for a while when that fails."""

import errno
import functools
import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic_core
import structlog

from config import AuditSettings
from ledger import Ledger

log = structlog.get_logger("almanac")

KEY_BYTES = 32
MOST_WAITING = 1_000


class Recorder:
    """Writes events with their time and process.

    Args:
        settings: Where to.
        directory: Where the key lies, and the file if its path is not set.
        clock: Wall-clock time in seconds.
    """

    def __init__(self, settings: AuditSettings, directory: Path, clock: Callable[[], float]) -> None:
        self._settings, self._directory, self._clock = settings, directory, clock
        self._ledger: Ledger | None = None
        self._key = b""
        self._waiting: deque[bytes] = deque(maxlen=MOST_WAITING)
        self._lost = 0
        self.note = ""  # why nothing is written, while that is so

    def key(self) -> bytes:
        """The chain's key; one for this process alone while that cannot be read."""
        if not self._key:
            try:
                self._key = key_of(self._settings, self._directory)
            except OSError:
                self._key = secrets.token_bytes(KEY_BYTES)
        return self._key

    def write(self, event: Mapping[str, Any]) -> None:
        """Write an event, or keep it until that can be done."""
        if len(self._waiting) == MOST_WAITING:
            self._lost += 1
        self._waiting.append(self._line(event))
        self.flush()

    def flush(self) -> bool:
        """Write what waits; whether nothing does then."""
        if not self._waiting:
            return True
        try:
            if self._ledger is None:
                path, key = where(self._settings, self._directory), key_of(self._settings, self._directory)
                self._key = key
                self._ledger = Ledger(path, key, self._settings.max_bytes, self._settings.keep)
                self._waiting.appendleft(self._line({"event": "start"}))
            lost = [self._line({"event": "lost", "events": self._lost})] if self._lost else []
            self._ledger.append([*lost, *self._waiting])
        except OSError as error:
            if not self.note:
                log.error("the audit cannot be written", why=error.strerror, then=self._settings.on_failure)
            self.note = "calls cannot be recorded"
            return False
        self._waiting.clear()
        self._lost = 0
        if self.note:
            self.note = ""
            log.warning("the audit is written again")
        return True

    def close(self) -> None:
        """Write what waits and that this is the end."""
        if self._ledger is not None:
            self.write({"event": "end"})
            self._ledger.close()
            self._ledger = None

    def _line(self, event: Mapping[str, Any]) -> bytes:
        now = self._clock()
        at = f"{_second(int(now))}.{int(now % 1 * 1000):03d}Z"
        return pydantic_core.to_json({"at": at, **event, "process": os.getpid()})


def where(settings: AuditSettings, directory: Path) -> Path:
    """The file of the audit."""
    return settings.path if isinstance(settings.path, Path) else directory / "audit" / "audit.jsonl"


def key_of(settings: AuditSettings, directory: Path, make: bool = True) -> bytes:
    """The key of the chain: the one that is set, else the one in the state directory, made if need be.

    Raises:
        OSError: It cannot be read or made.
    """
    if settings.key:
        return hashlib.sha256(settings.key.get_secret_value().encode()).digest()
    path = directory / "audit.key"
    if make and not path.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Whole or not at all, also while another process does the same.
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            draft.touch(mode=0o600)
            draft.write_bytes(secrets.token_bytes(KEY_BYTES))
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a full disk, or a file system without links
            if not draft.exists() or draft.stat().st_size < KEY_BYTES:
                raise
            draft.rename(path)
        finally:
            draft.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) < KEY_BYTES:  # whoever guesses it can make lines
        raise OSError(errno.EINVAL, "audit.key is cut short; put back the whole one, or remove it")
    return key[: hashlib.blake2b.MAX_KEY_SIZE]


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
