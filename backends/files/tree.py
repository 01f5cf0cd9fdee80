"""What directories hold, level by level, and which paths match a glob."""

import os
import stat
from collections.abc import Callable, Iterator
from typing import TypedDict

from backends import Result
from backends.files.globs import Glob
from backends.files.paths import Parts, screen, written
from backends.files.reading import Kind, moment
from backends.files.sandbox import Root
from backends.files.walk import Level, Walk, is_passed, place_of
from backends.files.work import Work

_TOLD = 20  # of the paths found since then, told with the progress

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}


class Entry(Result):
    """One entry; `size` is a file's, in bytes."""

    path: str
    kind: Kind
    size: int | None = None
    modified: str = ""


class _Row(TypedDict):
    """An entry on its way."""

    path: str
    kind: Kind
    size: int | None
    modified: str


class Listing(Result):
    """What a directory holds, as far as it was asked."""

    entries: tuple[Entry, ...]
    truncated: bool = False
    next_cursor: str = ""
    notices: tuple[str, ...] = ()


class Found(Result):
    """Paths that match; those of directories end in a slash."""

    paths: tuple[str, ...]
    truncated: bool = False
    next_cursor: str = ""
    notices: tuple[str, ...] = ()


def list_directory(root: Root, work: Work, path: str, depth: int, limit: int, cursor: str | None) -> Listing:
    top = screen(path)
    after = place_of(cursor, top) if cursor else None
    entries: list[_Row] = []
    more = False
    walk = Walk(root, work, path)

    def enter(parts: Parts) -> bool:
        # Before the cursor only the way to it matters; after the last entry nothing does.
        return not more and not is_passed(parts, after) and len(parts) < len(top) + depth

    for level in walk.levels(enter):
        above = written(level.parts) + "/" if level.parts else ""
        for entry in level.after(after):
            if len(entries) == limit:
                more = True
                break
            if told := _entry(above, entry):
                entries.append(told)
        if more:
            break
    return Listing.model_validate(  # 10,000 at once take 8 ms, one by one 13
        {
            "entries": entries,
            "truncated": more or walk.late_at is not None,
            "next_cursor": entries[-1]["path"] if more else "",
            "notices": walk.notices(),
        }
    )


def find(
    root: Root,
    work: Work,
    pattern: str,
    path: str,
    limit: int,
    cursor: str | None = None,
    ignored: bool = False,
) -> Found:
    glob = Glob(pattern)
    after = place_of(cursor, screen(path)) if cursor else None
    paths: list[str] = []
    told = 0
    more = False
    walk = Walk(root, work, path, ignoring=not ignored)
    for level, last in walk.matching(glob, after):
        for matching in _matching(level, last, level.after(after)):
            if len(paths) == limit:
                more = True
                break
            paths.append(matching)
        if more:
            break
        if work.tell(len(paths), _progress(paths, told, level.parts)):
            told = len(paths)
    notices = walk.notices()
    if more:
        notices.append(
            f"Cut at {limit} paths; next_cursor gives the rest. Or ask for a narrower pattern or path."
        )
    return Found(
        paths=tuple(paths),
        truncated=more or walk.late_at is not None,
        next_cursor=paths[-1].rstrip("/") if more else "",
        notices=tuple(notices),
    )


def _matching(level: Level, last: Callable[[str], object], entries: list[os.DirEntry[str]]) -> Iterator[str]:
    above = written(level.parts) + "/" if level.parts else ""
    for entry in entries:
        if last(entry.name):
            yield f"{above}{entry.name}/" if entry.is_dir(follow_symlinks=False) else above + entry.name


def _progress(paths: list[str], told: int, parts: Parts) -> Callable[[], str]:
    def what() -> str:
        new = ", ".join(paths[told:][-_TOLD:])
        return f"{len(paths)} paths found, looking into {written(parts)}" + (f": {new}" if new else "")

    return what


def _entry(above: str, entry: os.DirEntry[str]) -> _Row | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return None  # gone since it was listed
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return {
        "path": above + entry.name,
        "kind": kind,
        "size": status.st_size if kind == "file" else None,
        "modified": moment(status.st_mtime),
    }
