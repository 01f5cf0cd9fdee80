"""Exact replacements in a text file: each matches as often as was said, or nothing is changed at all.

Encoding, byte order mark, line endings and mode stay. The new file takes the old one's place only if that is
still the one that was read.
"""

import difflib
from bisect import bisect_right
from itertools import islice

from pydantic import BaseModel, ConfigDict, Field

from backends import Result
from backends.files.content import Content
from backends.files.held import check_sayable
from backends.files.lines import text_of
from backends.files.paths import written
from backends.files.reading import read_whole
from backends.files.sandbox import Root
from backends.files.work import Work
from backends.files.writing import Quota, write_whole
from errors import Forbidden, TooMuch, Unknown, quote

_CONTEXT = 3  # unchanged lines around a change in a diff
_MOST_DIFF = 20_000  # characters of a diff: what a model still reads; the counts are told in any case
_NEAR = 5_000  # lines among which a text that is not there is looked for
_SHOWN = 5  # line numbers told of a text that is there too often


class Replacement(BaseModel):
    """A text, what takes its place, and how often it has to be there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    old: str = Field(min_length=1)
    new: str
    count: int = Field(1, ge=1)


class Edited(Result):
    """What the edits did, or would do; `diff` is a dry run's."""

    path: str
    replacements: int
    size: int
    diff: str = ""
    notices: tuple[str, ...] = ()


class _Text:
    """A text under change: its lines, and of each which line of the original it is, or -1."""

    def __init__(self, text: str) -> None:
        self.lines = _lines(text)
        self.origin = list(range(len(self.lines)))

    def replace(self, old: str, new: str, count: int, number: int, most: int) -> None:
        """Replace all occurrences.

        Raises:
            Unknown: There are not `count`.
            TooMuch: The text would be longer than `most`, by a few edits that double it for example.
        """
        text = "".join(self.lines)
        if (found := text.count(old)) != count:
            raise _mismatch(text, old, count, found, number)
        if len(text) + count * (len(new) - len(old)) > most:
            raise TooMuch(
                f"Edit {number} makes a text of more than {most:,} characters, the most that can be edited; "
                "nothing was changed."
            )
        starts, position = [], 0
        for line in self.lines:
            starts.append(position)
            position += len(line)
        blocks: list[list[int]] = []  # first and last line of what changes together
        at = text.find(old)
        while at >= 0:
            first = bisect_right(starts, at) - 1
            last = bisect_right(starts, at + len(old)) - 1
            if blocks and first <= blocks[-1][1]:
                blocks[-1][1] = last
            else:
                blocks.append([first, last])
            on = at + len(old)
            if "\n" not in old:  # what else is in this line changes with it: a million matches are one step
                on = starts[last + 1] if last + 1 < len(starts) else len(text)
            at = text.find(old, on)
        lines, origin, done = list[str](), list[int](), 0
        for first, last in blocks:
            fresh = _lines("".join(self.lines[first : last + 1]).replace(old, new))
            lines += [*self.lines[done:first], *fresh]
            origin += [*self.origin[done:first], *[-1] * len(fresh)]
            done = last + 1
        self.lines, self.origin = lines + self.lines[done:], origin + self.origin[done:]


def edit(
    root: Root, work: Work, path: str, edits: list[Replacement], dry_run: bool, most: int, quota: Quota
) -> Edited:
    """Make the replacements one after the other, each in what the one before left."""
    with root.file(path) as (_, opened):
        check_sayable(path, opened.real)
        content = text_of(opened, path)
        data = read_whole(opened, path, most, "Only files that are read whole can be edited.")
        before, real = opened.status, written(opened.real)
    text = _decoded(data, content, path)
    crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    changed = _Text(text)
    original = list(changed.lines)
    ends = _with_crlf if crlf else str  # a model writes "\n"; the file's own line ends stay
    for number, wanted in enumerate(edits, 1):
        changed.replace(ends(wanted.old), ends(wanted.new), wanted.count, number, most)
        if work.late():
            raise TooMuch("The edits take too long, so nothing was changed. Make fewer of them at once.")
    after = data[: content.bom] + _encoded("".join(changed.lines), content, path)
    notices = [] if after != data else ["The edits leave the file as it is."]
    if content.guessed and not all(wanted.new.isascii() for wanted in edits):
        notices.append(
            f"The encoding is a guess: {content.encoding}. If it is another, new letters that are not plain "
            "ASCII are wrong."
        )
    if not dry_run and after != data:
        write_whole(root, real, after, quota, before)
    return Edited(
        path=real,
        replacements=sum(replacement.count for replacement in edits),
        size=len(after),
        diff=_diff(original, changed, real) if dry_run else "",
        notices=tuple(notices),
    )


def _lines(text: str) -> list[str]:
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _with_crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def _decoded(data: bytes, content: Content, path: str) -> str:
    try:
        text = data[content.bom :].decode(content.codec)
        if text.encode(content.codec) == data[content.bom :]:
            return text
    except UnicodeError:
        pass
    raise Forbidden(
        f"{quote(path)} is not all {content.encoding}, so it cannot be written back as it is. "
        "files_read shows it."
    )


def _encoded(text: str, content: Content, path: str) -> bytes:
    try:
        return text.encode(content.codec)
    except UnicodeEncodeError as error:
        bad = text[error.start]
        name = f"'{bad}'" if bad.isprintable() else f"U+{ord(bad):04X}"
        raise Forbidden(
            f"{quote(path)} is written in {content.encoding}, which has no {name}; nothing was changed."
        ) from error


def _mismatch(text: str, old: str, count: int, found: int, number: int) -> Unknown:
    start = f"Edit {number}: {quote(old)} is "
    if not found:
        return Unknown(f"{start}not there, so nothing was changed.{_nearest(text, old)}")
    places: list[str] = []
    at = text.find(old)
    while at >= 0 and len(places) < _SHOWN:
        places.append(str(text.count("\n", 0, at) + 1))
        at = text.find(old, at + len(old))
    more = " and more" if found > len(places) else ""
    return Unknown(
        f"{start}there {found} times, not {count}, so nothing was changed. It begins in line "
        f"{', '.join(places)}{more}. Give more of the text around the one you mean, or count={found}."
    )


def _nearest(text: str, old: str) -> str:
    """Where a line lies that is much like the first of those that were to be found."""
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")[:200]
    lines = [line.strip()[:200] for line in islice(text.splitlines(), _NEAR)]
    near = difflib.get_close_matches(wanted, set(lines), n=1, cutoff=0.7) if wanted else []
    if not near:
        return " files_search finds what is."
    return f" Line {lines.index(near[0]) + 1} is near: {quote(near[0], 120)}."


def _diff(original: list[str], changed: _Text, path: str) -> str:
    """A unified diff from what is known of the lines: difflib's takes minutes for unlucky files."""
    runs = _runs(original, changed)
    if not runs:
        return ""
    told = [f"--- {path}\n", f"+++ {path}\n"]
    group: list[tuple[int, int, int, int]] = []
    for run in [*runs, None]:
        if group and (run is None or run[0] - group[-1][1] > 2 * _CONTEXT):
            told.extend(_hunk(original, changed.lines, group))
            group = []
        if run is not None:
            group.append(run)
    unended = "\n\\ No newline at end of file\n"
    text = "".join(line if line.endswith("\n") else line + unended for line in told)
    text = text.replace("\r\n", "\n")
    if len(text) <= _MOST_DIFF:
        return text
    return f"{text[:_MOST_DIFF]}\n… cut here: {len(text) - _MOST_DIFF:,} more characters of changes\n"


def _runs(original: list[str], changed: _Text) -> list[tuple[int, int, int, int]]:
    """Where original and changed lines differ: first and end in the one, first and end in the other."""
    runs, was, now = [], 0, 0
    kept = [(number, at) for at, number in enumerate(changed.origin) if number >= 0]
    for number, at in [*kept, (len(original), len(changed.lines))]:
        first, end, new, new_end = was, number, now, at
        while first < end and new < new_end and original[first] == changed.lines[new]:
            first, new = first + 1, new + 1
        while first < end and new < new_end and original[end - 1] == changed.lines[new_end - 1]:
            end, new_end = end - 1, new_end - 1
        if first < end or new < new_end:
            runs.append((first, end, new, new_end))
        was, now = number + 1, at + 1
    return runs


def _hunk(before: list[str], after: list[str], group: list[tuple[int, int, int, int]]) -> list[str]:
    first, last = max(group[0][0] - _CONTEXT, 0), min(group[-1][1] + _CONTEXT, len(before))
    now_first = group[0][2] - (group[0][0] - first)
    now_last = group[-1][3] + (last - group[-1][1])
    lines = [f"@@ -{_range(first, last)} +{_range(now_first, now_last)} @@\n"]
    at = first
    for was, was_end, now, now_end in group:
        lines += [" " + line for line in before[at:was]]
        lines += ["-" + line for line in before[was:was_end]]
        lines += ["+" + line for line in after[now:now_end]]
        at = was_end
    return [*lines, *(" " + line for line in before[at:last])]


def _range(first: int, end: int) -> str:
    """As unified diffs have it: an empty range is told by the line before it."""
    return f"{first + 1}" if end - first == 1 else f"{first + 1 if end > first else first},{end - first}"
