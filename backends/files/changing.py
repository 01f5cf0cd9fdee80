"""Making directories, moving and deleting: one step each, and only what was looked at before.

A change that takes something away is foreseen first: what exactly it will do, in words for a user, and a
proof that ties the user's answer to it. Doing it looks again and refuses if the proof is another by then.
"""

import errno
import os
import shutil
import stat
from contextlib import closing
from typing import NamedTuple

from backends import Result
from backends.files import renaming
from backends.files.foreseen import Change, exactly, proof_of
from backends.files.held import Place, changed, refuse, same
from backends.files.paths import screen, written
from backends.files.sandbox import Root
from backends.files.survey import Survey, survey
from backends.files.work import Work, working
from backends.files.writing import Quota
from errors import Forbidden, TooMuch, Unavailable, Unknown, quote

_DIRECTORY_MODE = 0o755  # less the umask
_DEEPEST = 64  # levels of directories that are made: nobody means the 2,000 that a path has room for


class Made(Result):
    """A directory that is there now; `created` counts it and those above it that were not there before."""

    path: str
    created: int


class Moved(Result):
    """Where something lies now."""

    path: str


class Deleted(Result):
    """What is gone; `entries` counts a directory's, all levels of it."""

    path: str
    entries: int = 0


class _Seen(NamedTuple):
    """What has a name now."""

    status: os.stat_result
    kind: str
    held: Survey | None  # a directory's


def foresee_move(root: Root, work: Work, source: str, target: str) -> Change:
    """What moving would do."""
    with _held(root, source) as one, _held(root, target) as other:
        return _move_of(one, other, _seen(root, work, one, other))


def move(root: Root, source: str, target: str, proof: str, seconds: float) -> Moved:
    """Give a file, a link or a directory another name, which nothing may have."""
    with _held(root, source) as one, _held(root, target) as other:
        try:
            seen = _seen(root, working(seconds), one, other)
            if _move_of(one, other, seen).proof != proof:
                raise changed(source)
            if other.status() is not None:
                raise FileExistsError(errno.EEXIST, "there already")
            one.check(root)
            other.check(root)
            renaming.move_new(one.at(), other.at(), one.held, other.held)
            try:
                found = other.status()
                if found is None or not same(found, seen.status):
                    raise changed(source)
            except BaseException:
                renaming.move_new(other.at(), one.at(), other.held, one.held)
                raise
            other.settle()
            one.settle()
        except OSError as error:
            refuse(error, target if isinstance(error, FileExistsError) else source)
    return Moved(path=written(other.real))


def foresee_delete(root: Root, work: Work, path: str, recursive: bool) -> Change:
    """What deleting would do."""
    with _held(root, path) as place:
        return _delete_of(place, _seen(root, work, place), recursive)


def delete(root: Root, path: str, recursive: bool, proof: str, seconds: float) -> Deleted:
    """Take away a file, a link or a directory: out of sight in one step, and then for good."""
    work = working(seconds)
    with _held(root, path) as place:
        try:
            seen = _seen(root, work, place)
            if _delete_of(place, seen, recursive).proof != proof:
                raise changed(path)
            place.check(root)
            hidden = place.hide(seen.status)
            if seen.held is None:
                _unlink(place, hidden)
            else:
                _remove(root, work, place, hidden, seen.held)
            place.settle()
        except OSError as error:
            refuse(error, path)
    return Deleted(path=written(place.real), entries=seen.held.entries if seen.held else 0)


def make_directory(root: Root, path: str, quota: Quota) -> Made:
    """Make a directory and those above it that are missing; one that is there already is fine."""
    created = 0
    parts = screen(path)
    if len(parts) > _DEEPEST:
        raise TooMuch(f"{quote(path)} is nested deeper than the {_DEEPEST} directories that are made.")
    for depth in range(len(parts)):
        created += _make_one(root, written(parts[: depth + 1]), quota)
    return Made(path=written(parts), created=created)


def _make_one(root: Root, path: str, quota: Quota) -> bool:
    with _held(root, path) as place:
        if place.status() is None and _made(place, quota):
            return True
    with root.directory(path):  # a file, or a link that leads out, is told in its own words
        return False


def _made(place: Place, quota: Quota) -> bool:
    """Make the directory, unless another is quicker."""
    quota.take_file()
    try:
        os.mkdir(place.at(), _DIRECTORY_MODE, dir_fd=place.held)
    except OSError as error:
        quota.give_back(0, 1)
        if isinstance(error, FileExistsError):
            return False
        refuse(error, place.path)
    place.settle()
    return True


def _held(root: Root, path: str) -> closing[Place]:
    return closing(Place(root, path, directory=True))


def _seen(root: Root, work: Work, place: Place, other: Place | None = None) -> _Seen:
    status = place.status()
    if status is None:
        with root.any(place.path):  # raises, naming what is near
            raise Unknown(f"There is no {quote(place.path)}. files_list shows what there is.")
    if stat.S_ISREG(status.st_mode):
        return _Seen(status, "file", None)
    if stat.S_ISLNK(status.st_mode):
        return _Seen(status, "link", None)
    if not stat.S_ISDIR(status.st_mode):
        raise Forbidden(
            f"{quote(place.path)} is a pipe, a socket or a device; those are neither moved nor deleted."
        )
    if other is not None and other.real[: len(place.real)] == place.real:
        raise Forbidden(f"{quote(place.path)} cannot be moved into itself.")
    with root.directory(written(place.real)) as (_, opened):
        if not os.path.samestat(opened.status, status):
            raise changed(place.path)
        return _Seen(
            status, "directory", survey(root, work, place.real, opened, other.real if other else None)
        )


def _described(place: Place, seen: _Seen) -> str:
    name = f"the {seen.kind} {exactly(written(place.real))}"
    if seen.held is None:
        protected = "" if seen.status.st_mode & 0o222 else ", write-protected"
        return name if seen.kind == "link" else f"{name} ({seen.status.st_size:,} bytes{protected})"
    return f"{name} ({seen.held.words()})" if seen.held.entries else f"the empty {name[4:]}"


def _move_of(one: Place, other: Place, seen: _Seen) -> Change:
    question = f"Move {_described(one, seen)} to {exactly(written(other.real))}? Nothing is replaced."
    return Change(
        question,
        proof_of(
            "move to " + written(other.real),
            one.real,
            seen.status,
            seen.held.proof.hexdigest() if seen.held else "",
        ),
    )


def _delete_of(place: Place, seen: _Seen, recursive: bool) -> Change:
    if seen.held and seen.held.entries and not recursive:
        raise Forbidden(
            f"{quote(place.path)} is not empty: it holds {seen.held.words()}. recursive=true deletes it with "
            "all of them."
        )
    words = {"link": "What it leads to stays.", "file": "It cannot be brought back."}
    after = words.get(seen.kind) or (
        "All of that is deleted and cannot be brought back." if seen.held and seen.held.entries else ""
    )
    question = f"Delete {_described(place, seen)}? {after}".rstrip()
    return Change(
        question,
        proof_of("delete", place.real, seen.status, seen.held.proof.hexdigest() if seen.held else ""),
    )


def _unlink(place: Place, hidden: str) -> None:
    try:
        os.unlink(place.at(hidden), dir_fd=place.held)
    except OSError:
        place.show(hidden)
        raise


def _remove(root: Root, work: Work, place: Place, hidden: str, expected: Survey) -> None:
    """Empty and remove a directory that is out of sight, if it holds still what was seen before."""
    try:
        if (opened := place.opened(root, hidden)) is not None:
            with closing(opened):
                found = survey(root, work, place.real, opened)
            if found.proof.digest() != expected.proof.digest():
                raise changed(place.path)
    except BaseException:
        place.show(hidden)
        raise
    try:
        if place.held is None:
            shutil.rmtree(place.at(hidden))
        else:
            shutil.rmtree(hidden, dir_fd=place.held)
    except OSError as error:
        place.show(hidden)
        raise Unavailable(
            f"Not all of {quote(place.path)} could be deleted. files_list shows what is left."
        ) from error
