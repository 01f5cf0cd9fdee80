"""What one file holds: a page of its lines, its bytes as a picture or a sound, and facts about it."""

import codecs
import functools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import WithJsonSchema

from backends import Result
from backends.files.beneath import Opened
from backends.files.content import Content
from backends.files.lines import Lines, blocks, decoded, from_end, read_at, sample_of, text_of
from backends.files.pictures import smaller
from backends.files.sandbox import Root
from backends.files.tables import NoTable, Sheet, sheets_of
from backends.files.work import Work
from errors import Forbidden, TooMuch, Unknown, quote

MAX_LINE = 65_536  # bytes shown of one line: a data URI or minified script, not prose, is longer
_COUNTED = 200_000_000  # bytes, 0.1 s: in a longer file the last lines are numbered from its end
_FAR = 64_000_000  # bytes from the end in which the last lines are looked for
_COUNT_S = 0.5  # spent on total_lines: a gigabyte from the page cache; the page itself takes under 1 ms

Kind = Literal["file", "directory", "link", "other"]


class Page(Result):
    """Some lines of a text file, as they are, and where the next ones begin."""

    text: str
    start_line: int
    end_line: int
    total_lines: int | None
    encoding: str
    truncated: bool = False
    next_line: int | None = None
    notices: tuple[str, ...] = ()


class Media(Result):
    """A picture or a sound; the bytes travel beside it. `note` says if they are a smaller copy's."""

    mime_type: str
    size: int
    note: str = ""


class Info(Result):
    """What is known of a file or directory; `entries` is a directory's, `sheets` a table's."""

    kind: Literal["file", "directory"]
    size: int
    modified: str = ""
    accessed: str = ""
    mime_type: str = ""
    encoding: str = ""
    lines: int | None = None
    entries: int | None = None
    # A loose schema: the whole one would be paid for in every list of tools.
    sheets: Annotated[tuple[Sheet, ...], WithJsonSchema({"type": "array", "items": {"type": "object"}})] = ()
    notices: tuple[str, ...] = ()


def read_page(root: Root, work: Work, path: str, start_line: int, max_lines: int, max_bytes: int) -> Page:
    if start_line == 0:
        raise Unknown("There is no line 0: the first is start_line 1, the last is start_line -1.")
    with root.file(path) as (_, opened):
        content = text_of(opened, path)
        if start_line < 0:
            lines, first, total, notices = _last_lines(opened, content, work, -start_line)
        else:
            lines, first, total, notices = Lines(blocks(opened, content), work), start_line, None, []
            if not lines.skip_to(start_line):
                raise TooMuch(
                    f"Line {start_line} of {quote(path)} was not reached in time; line {lines.number} was. "
                    "Ask for an earlier one, or for the last ones with a negative start_line."
                )
        raw, after, cuts = _collect(lines, first, max_lines, max_bytes)
        end = after - 1
        if start_line > 0:
            total = lines.count(_COUNT_S)
    if total is not None and start_line > max(total, 1):
        raise Unknown(f"{quote(path)} has {total} lines, so none at start_line {start_line}.")
    text, lost = decoded(raw, content)
    notices += cuts
    if content.guessed:
        notices.append(f"The encoding is a guess: {content.encoding}.")
    if lost:
        notices.append(f"Characters that are no valid {content.encoding}, each shown as U+FFFD: {lost}.")
    if total is None and start_line > 0:
        notices.append("The file is too long to count its lines in passing; files_info takes the time.")
    more = end < -1 if first < 0 else total is None or total > end
    return Page(
        text=text,
        start_line=first,
        end_line=end,
        total_lines=total,
        encoding=content.encoding,
        truncated=more,
        next_line=end + 1 if more else None,
        notices=tuple(notices),
    )


def _last_lines(
    opened: Opened, content: Content, work: Work, count: int
) -> tuple[Lines, int, int | None, list[str]]:
    """The last lines, the number of the first of them, of all if they can be counted, and what to tell."""
    notices: list[str] = []
    total = None
    if opened.status.st_size <= _COUNTED:
        total = Lines(blocks(opened, content), work).count(_COUNT_S)
    begins = from_end(opened, content, count, _FAR, work)
    first = max(1, total - begins.lines + 1) if total is not None else -begins.lines
    if begins.is_within:
        notices.append("The last line is too long to be shown from its beginning; this is its end.")
    elif begins.lines < count and begins.offset > content.bom:
        notices.append(f"Line -{count} lies too far from the end; these are the last {begins.lines}.")
    if first < 0:
        notices.append("The file is too long to count its lines: their numbers here count from its end.")
    start = begins.offset
    if begins.is_within:
        start = max(start, opened.status.st_size - MAX_LINE // 4 * 4)
        start += _continued(opened, content, start)
    return Lines(blocks(opened, content, start=start), work), first, total, notices


def _continued(opened: Opened, content: Content, start: int) -> int:
    """How many bytes from a place go on with a character that begins before it."""
    if content.codec != "utf-8":
        return 0
    after = read_at(opened.handle, 3, start)
    return len(after) - len(after.lstrip(bytes(range(0x80, 0xC0))))


def _collect(lines: Lines, start: int, max_lines: int, max_bytes: int) -> tuple[bytes, int, list[str]]:
    """The page's lines, the number of the one after them, and what to tell."""
    pieces: list[bytes] = []
    notices: list[str] = []
    shortened: list[int] = []
    room = max_bytes
    number = start
    while number < start + max_lines:
        run, count = lines.run(start + max_lines - number, room, min(MAX_LINE, room))
        if run:
            pieces.append(run)
            room -= len(run)
            number += count
            continue
        if (line := lines.take(min(MAX_LINE, room))) is None:
            break
        piece, cut = line
        if lines.late:
            notices.append(f"The time was up in line {number}, so the page ends there.")
        if cut and pieces and room < MAX_LINE:  # it does not fit on this page, so it begins the next one
            notices.append(f"Cut at {max_bytes:,} bytes, the most one call returns.")
            break
        if cut:
            shortened.append(number)
            piece = _whole_characters(piece) + b"\n"
        pieces.append(piece)
        room = max(room - len(piece), 0)
        number += 1
        if lines.late:
            break
    if shortened:
        lines_cut = ", ".join(map(str, shortened[:10])) + (" and more" if len(shortened) > 10 else "")
        notices.append(
            f"Lines shown in part, to {min(MAX_LINE, max_bytes):,} bytes: {lines_cut}. files_search finds "
            "what is further in; files_read_json reads JSON by parts."
        )
    return b"".join(pieces), number, notices


def _whole_characters(raw: bytes) -> bytes:
    """UTF-8 without the character that a cut has split."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(raw)
    return raw[: len(raw) - len(decoder.getstate()[0])]


def read_media(root: Root, work: Work, path: str, max_bytes: int) -> tuple[Media, bytes]:
    with root.file(path) as (_, opened):
        content = sample_of(opened, path)
        if not content.mime.startswith(("image/", "audio/")) or content.is_text:
            instead = (
                "files_read gives its text" if content.is_text else "files_info says what can be known of it"
            )
            raise Forbidden(f"{quote(path)} is no picture or sound but {content.mime}; {instead}.")
        if content.mime.startswith("image/") and opened.status.st_size > max_bytes:
            work.long()
            return _smaller(opened, path, max_bytes, work)
        data = read_whole(opened, path, max_bytes, "files_info says what is known of it.")
    return Media(mime_type=content.mime, size=len(data)), data


def _smaller(opened: Opened, path: str, max_bytes: int, work: Work) -> tuple[Media, bytes]:
    copy = smaller(opened, path, max_bytes, work)
    made, whole = (f"{width:,} x {height:,}" for width, height in (copy.size, copy.original))
    note = (
        f"This is a smaller copy of {made} points; the file has {whole} and {opened.status.st_size:,} bytes."
    )
    return Media(mime_type=copy.mime_type, size=len(copy.data), note=note), copy.data


def read_whole(opened: Opened, path: str, max_bytes: int, instead: str) -> bytes:
    """All bytes of an open file, or a refusal that says what to do instead."""
    data = read_at(opened.handle, max_bytes + 1, 0) if opened.status.st_size <= max_bytes else b""
    if opened.status.st_size > max_bytes or len(data) > max_bytes:
        size = f"{opened.status.st_size:,} bytes"
        raise TooMuch(f"{quote(path)} holds {size}; at most {max_bytes:,} are read whole. {instead}")
    return data


def describe(root: Root, work: Work, path: str, seconds: float) -> Info:
    with root.any(path) as (parts, opened):
        status = opened.status
        info = Info(
            kind="directory" if opened.is_directory else "file",
            size=0 if opened.is_directory else status.st_size,
            modified=moment(status.st_mtime),
            accessed=moment(status.st_atime),
        )
        if opened.is_directory:
            entries = _count(root.visible(parts, opened), work)
            notices = ("It holds too much to be counted in time.",) if entries is None else ()
            return info.model_copy(update={"entries": entries, "notices": notices})
        content = sample_of(opened, path)
        doubts = ["The encoding is a guess."] if content.guessed else []
        lines = Lines(blocks(opened, content), work).count(seconds) if content.is_text else None
        if content.is_text and lines is None:
            doubts.append("The file is too long for its lines to be counted in time.")
        sheets, more = _sheets(opened, content, work)
    return info.model_copy(
        update={
            "mime_type": content.mime,
            "encoding": content.encoding,
            "lines": lines,
            "sheets": sheets,
            "notices": (*doubts, *more),
        }
    )


def _count(entries: Iterator[object], work: Work) -> int | None:
    count = 0
    for count, _ in enumerate(entries, 1):
        if count % 1000 == 0 and work.late():
            return None
    return count


def _sheets(opened: Opened, content: Content, work: Work) -> tuple[tuple[Sheet, ...], list[str]]:
    try:
        sheets = sheets_of(opened, content, work)
    except NoTable as reason:
        return (), [f"Its columns and rows are not known. {reason}"]
    late = any(sheet.rows is None for sheet in sheets)
    return sheets, ["It is too long for its rows to be counted in time."] if late else []


def moment(seconds: float) -> str:
    """A time of the file system's, in UTC to the second; "" for one that no calendar has."""
    day, second = divmod(int(seconds), 86_400)
    if not (date := _date(day)):
        return ""
    return f"{date}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@functools.lru_cache(maxsize=1024)  # a directory's files come from few days, and formatting a date takes 5 µs
def _date(day: int) -> str:
    try:
        return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return ""


def whole_text(data: bytes, content: Content) -> str | None:
    """All of a text, or None if that would replace what cannot be decoded."""
    try:
        return data[content.bom :].decode(content.codec) if content.is_text else None
    except UnicodeDecodeError:
        return None
