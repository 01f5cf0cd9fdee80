"""Puts one entry into a client's configuration file, or leaves the file exactly as it was."""

import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from commands.json_splice import NotSplicedError, read, splice

_WAY = {"type", "command", "args", "env", "url", "headers"}  # how a client reaches a server: ours to say
_BOM = b"\xef\xbb\xbf"


class Outcome(NamedTuple):
    """What became of the file, in a sentence."""

    changed: bool
    text: str


def put(path: Path, place: tuple[str, str], entry: dict[str, Any], comments: bool) -> Outcome:
    """Set the entry at `place` in the file, which is made if it is missing.

    Args:
        path: The file; a link is followed, not replaced.
        place: The member that holds the servers, and the server's name in it.
        entry: How the client is to reach the server. What else an older entry says (settings in `env`,
            the client's own switches) is kept.
        comments: Whether the client takes comments and trailing commas in the file.

    Raises:
        NotSplicedError: The file cannot be changed safely.
        OSError: It cannot be read or written.
    """
    real = Path(os.path.realpath(path))
    if real.is_symlink() or (real.exists() and not real.is_file()):  # links in a circle, a device, a pipe
        raise NotSplicedError(f"{path} cannot be changed: it is not a regular file.")
    old = real.read_bytes() if real.exists() else b""
    try:
        text = old.removeprefix(_BOM).decode()
        before = _at(read(text, comments), place) if text.strip() else None
        entry = _merged(before, entry)
        if before == entry:
            return Outcome(False, f"{path} already says this; nothing was changed.")
        new = splice(text if text.strip() else "{\n}\n", place, entry, comments).encode()
    except NotSplicedError as error:
        raise NotSplicedError(f"{path} cannot be changed: {error}") from None
    except UnicodeError:
        raise NotSplicedError(f"{path} cannot be changed: it, or the entry, is not UTF-8.") from None
    backup = _back_up(real) if old else None
    _replace(real, old, (_BOM if old.startswith(_BOM) else b"") + new)
    done = "added" if before is None else "changed"
    return Outcome(
        True, f"{done} {place[1]!r} in {path}." + (f" As it was before: {backup}" if backup else "")
    )


def _at(document: Any, place: tuple[str, str]) -> Any:
    for name in place:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def _merged(before: Any, entry: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(before, dict):
        return entry
    kept = {name: value for name, value in before.items() if name not in _WAY}
    env = before.get("env")
    # Settings are for the server a client starts, and for the same one: not for a bridge to elsewhere.
    if isinstance(env, dict) and _starts_us(before) and _starts_us(entry):
        entry = {**entry, "env": {**env, **entry.get("env", {})}}
    return {**entry, **kept}


def _starts_us(entry: dict[str, Any]) -> bool:
    arguments = entry.get("args")
    return isinstance(arguments, list) and [Path(str(a)).name for a in arguments] == ["server.py"]


def _back_up(file: Path) -> Path:
    """A copy beside the file, named by the time, with its mode."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for ending in ("", *(f"-{n}" for n in range(2, 100))):
        backup = file.with_name(f"{file.name}.{stamp}.bak{ending}")
        if not backup.exists():
            shutil.copy2(file, backup)
            return backup
    raise FileExistsError(0, "there are a hundred copies from this second", str(file))


def _replace(file: Path, old: bytes, new: bytes) -> None:
    """Put the new bytes in the file's place at once, with its mode and owner; none but ours see a new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        if file.exists():
            status = file.stat()
            temporary.chmod(stat.S_IMODE(status.st_mode))
            if hasattr(os, "chown") and status.st_uid != temporary.stat().st_uid:
                os.chown(temporary, status.st_uid, status.st_gid)  # run by root, or the client cannot read it
        if (file.read_bytes() if file.exists() else b"") != old:
            raise NotSplicedError(f"{file} was changed by someone else meanwhile; run this again.")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
