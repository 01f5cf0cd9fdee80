"""Names of what is on its way in or out: config.HIDDEN hides them, so that no client meets one.

A server that is killed leaves what it was about. Files among it go when the first file is made in their
directory an hour later; a directory that was on its way out stays, as nobody knows by then what it holds.
"""

import os
import re
import secrets
import stat
from contextlib import suppress

from backends.files.paths import Parts

_OURS = re.compile(r"\.almanac-[0-9a-f]{16}\.part")


_LEFT_S = 3_600  # since the last change; what is being written changes every second
_REMEMBERED = 10_000  # directories


def hidden_name() -> str:
    return f".almanac-{secrets.token_hex(8)}.part"


def is_ours(name: str) -> bool:
    return bool(_OURS.fullmatch(name))


def passing(asked: Parts, real: Parts) -> bool:
    """Whether what was asked for was replaced or taken away while it was being opened."""
    return any(map(is_ours, real)) and not any(map(is_ours, asked))


class Leftovers:
    """Sweeps each directory once."""

    def __init__(self) -> None:
        self._swept: set[tuple[int, int]] = set()

    def sweep(self, directory: int, now: float) -> None:
        """Remove old files of ours; `now` is by the file system's clock."""
        lies = os.fstat(directory)
        if (place := (lies.st_dev, lies.st_ino)) in self._swept:
            return
        if len(self._swept) >= _REMEMBERED:
            self._swept.clear()
        self._swept.add(place)
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith(".almanac-") and is_ours(entry.name):
                    _remove(directory, entry.name, now)


def _remove(directory: int, name: str, now: float) -> None:
    with suppress(OSError):  # another server was quicker, or it is not ours to remove
        left = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(left.st_mode) and now - left.st_ctime > _LEFT_S:
            os.unlink(name, dir_fd=directory)
