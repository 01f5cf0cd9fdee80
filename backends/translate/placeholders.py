"""Finds what a translation must not touch: placeholders, tags, code, links, addresses, Markdown's signs.

Everything here is linear in the text, or bounded a place: a text is up to a million characters of
whatever somebody sent.
"""

import html
import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What stands there, which says how far it may move."""

    VALUE = "value"  # a word of the sentence, in any order: {name}, `code`, an address
    MARKUP = "markup"  # goes round words, in this order: <b>, [ and ](link), **
    KEEP = "keep"  # ends a sentence: a fence, a list's bullet, a table's bar


class Span(NamedTuple):
    start: int
    end: int
    kind: Kind


_VALUE = r"(?:\"[^\"<]{0,999}\"|'[^'<]{0,999}'|[^\s\"'=<>`]{1,999})"
_ATTRIBUTE = rf"(?:\s+[A-Za-z_:@][\w:.@-]{{0,60}}(?:\s{{0,9}}=\s{{0,9}}{_VALUE})?)"
_TAG = re.compile(rf"</?[A-Za-z0-9][A-Za-z0-9:_.-]{{0,60}}{_ATTRIBUTE}{{0,40}}\s{{0,99}}/?>")
# Elements whose text is none.
_RAW = re.compile(r"<(pre|code|kbd|samp|script|style)[\s>]", re.IGNORECASE)
_COMMENT = re.compile(r"<!--")

_URL = re.compile(
    r"<?(?:\b[a-z][a-z0-9+.-]{1,15}://|\bwww\.|\b(?:mailto|tel):)(?:\{\{[^{}\n]{0,200}\}\}|\{%[^{}\n]{0,200}%\}|[^\s<>\"`|\\\]。，、；：？！（）「」『』【】《》]|\](?!\())+>?",
    re.IGNORECASE,
)
_NOT_IN_URL = ".,;:!?'*_~"
_VALUES = re.compile(
    r"""
    <?[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,9}>?              # an e-mail address
    |\b(?:[\w-]{1,63}\.){1,9}(?:com|org|net|io|dev|edu|gov|info|app|ai)\b(?:/[^\s<>"`|\])]{0,999}(?<![.,;:!?]))?
    |\{\{\{?[^{}\n]{0,200}\}?\}\} |\{%[^{}\n]{0,200}%\} |<%[^<>\n]{0,200}%>   # Mustache, Jinja, ERB
    |[$\#%]\{[^{}\n]{1,200}\}                                           # ${a + b}
    |@?\{[ \t]{0,9}[\w$@.\-\[\]'"]{0,100}(?:[ \t]{0,9}[!:|,][^{}\n]{0,100})?[ \t]{0,9}\}
    |\[\[[^\[\]\n]{1,200}\]\] |\[\^[^\]\s]{1,60}\]                    # [[x]], a footnote
    |%%|%[A-Za-z_]\w{0,60}%                                           # %NAME%
    |%\(\w{1,60}\)[-+\#0-9.]{0,9}[A-Za-z]                             # %(name)s
    |(?<!\d)%(?:\d{1,2}\$)?[-+0\#']{0,5}(?:\*|\d{1,9})?(?:\.(?:\*|\d{1,9}))?
        (?:hh?|ll?|[Lzjtq])?[diouxXeEfFgGaAcspn@]
    |%-?[A-Za-z](?![A-Za-z])                                          # %Y, and '5%d' at a word's end
    |(?<!\w)\$[A-Za-z_]\w{0,60}                                       # $name
    |&(?:\#\d{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});
    |(?<!\w)[A-Za-z]:\\[^\s<>"|]{1,260}                               # C:\dir\file
    |\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[nrt]|[^\w\s])              # \n, \u00e9, Markdown's \*
    |(?<![\w\#])\#(?![\w\#])                                          # the number in ICU's plural
    """,
    re.VERBOSE,
)
_EMPHASIS = re.compile(
    r"(?<![\w*_~\\])(\*{1,3}|_{1,3}|~~)(?![\s*_~])(?=[^\n]{0,300}?(?<![\s\\])(?P<closer>\1)(?![\w*_~]))"
)
_BRACKET = re.compile(
    r"\\.|!?\[(?![\[^])|\](?P<link>\((?:[^()\s]|\([^()\s]{0,200}\)){0,999}(?:\s{1,9}(?:\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'))?\s?\)|\[[^\[\]\n]{0,100}\])?",
    re.DOTALL,
)
_TICKS = re.compile(r"(?<!\\)`+")
_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
_ICU = re.compile(r"\{\s{0,9}[\w.]{1,60}\s{0,9},\s{0,9}(?:plural|select|selectordinal)\s{0,9},")
_BRACE = re.compile(r"[{}]")
FENCE = re.compile(
    r"^[ \t>]{0,40}(?:(?:[-*+]|\d{1,9}[.)])[ \t]{1,9})?(?P<sign>`{3,}|~{3,})(?P<info>[^\r\n]*)", re.MULTILINE
)
# A line's beginning: quotes, then a heading, a bullet with or without its box, or a number.
_PREFIX = re.compile(
    r"""
    ^[ \t]{0,99}(?:>[ \t]{0,9}){0,20}
    (?:\#{1,6}[ \t]{1,9} |[-*+•][ \t]{1,9}(?:\[[ xX]\][ \t]{1,9})? |\d{1,9}[.)][ \t]{1,9})?
    """,
    re.MULTILINE | re.VERBOSE,
)
_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\[\]\n]{1,200}\]:[ \t]{1,99}\S[^\r\n]{0,2000}", re.MULTILINE)
_TABLE_ROW = re.compile(r"^[ \t>]{0,40}\|[^\r\n]*\|", re.MULTILINE)
_BAR = re.compile(r"(?<!\\)\|")


def spans(text: str) -> list[Span]:
    """All that must stay as it is, in order and apart; of two that overlap the first to begin."""
    found = sorted(_all(text), key=lambda span: (span.start, -span.end))
    kept: list[Span] = []
    for span in found:
        if span.end > span.start and (not kept or span.start >= kept[-1].end):
            kept.append(span)
    return kept


def is_letter(text: str) -> bool:
    """Whether it is a character reference for a letter, which is part of the word round it."""
    return text.startswith("&") and html.unescape(text).isalpha()


def _all(text: str) -> Iterator[Span]:
    yield from _fences(text)
    for pattern, kind in ((_PREFIX, Kind.KEEP), (_DEFINITION, Kind.KEEP), (_VALUES, Kind.VALUE)):
        yield from (Span(*match.span(), kind) for match in pattern.finditer(text))
    if "<" in text:
        yield from (Span(*match.span(), Kind.MARKUP) for match in _TAG.finditer(text))
        yield from _raw(text)
    if "|" in text:
        for row in _TABLE_ROW.finditer(text):
            yield from (Span(*bar.span(), Kind.KEEP) for bar in _BAR.finditer(text, *row.span()))
    if "`" in text:
        yield from _code(text)
    if "[" in text:
        yield from _links(text)
    if "{" in text:
        yield from (Span(*span, Kind.VALUE) for span in messages(text))
    yield from _addresses(text)
    for opener in _EMPHASIS.finditer(text):
        yield Span(*opener.span(), Kind.MARKUP)
        yield Span(*opener.span("closer"), Kind.MARKUP)


def _addresses(text: str) -> Iterator[Span]:
    for match in _URL.finditer(text):
        url = match.group()
        if url.startswith("<") != url.endswith(">"):
            url = url.strip("<>")
        if not url.startswith("<"):
            while url and (url[-1] in _NOT_IN_URL or (url[-1] == ")" and url.count(")") > url.count("("))):
                url = url[:-1]
        start = match.start() + match.group().index(url)
        yield Span(start, start + len(url), Kind.VALUE)


def _fences(text: str) -> Iterator[Span]:
    """Fenced code. One that is never closed is none here: `~~~~` also underlines titles."""
    opened: re.Match[str] | None = None
    for line in FENCE.finditer(text):
        if opened is None:
            if not opens_code(line):
                continue
            opened = line
        elif closes_code(line, opened):
            yield Span(opened.start(), line.end(), Kind.KEEP)
            opened = None


def opens_code(line: re.Match[str]) -> bool:
    return line["sign"][0] == "~" or "`" not in line["info"]


def closes_code(line: re.Match[str], opened: re.Match[str]) -> bool:
    return line["sign"].startswith(opened["sign"]) and not line["info"].strip()


def _raw(text: str) -> Iterator[Span]:
    """Comments, and elements that hold code, from their tag to the end of theirs."""
    lower = text.lower() if len(text.lower()) == len(text) else text
    absent: set[str] = set()  # an end that is nowhere further on is not looked for again
    for pattern in (_RAW, _COMMENT):
        position = 0
        for match in pattern.finditer(text):
            end = "-->" if pattern is _COMMENT else f"</{match[1].lower()}>"
            if match.start() < position or end in absent:
                continue
            found = lower.find(end, match.end())
            if found < 0:
                absent.add(end)
                continue
            position = found + len(end)
            yield Span(match.start(), position, Kind.VALUE)


def _code(text: str) -> Iterator[Span]:
    """Code spans: from a run of backticks to the next as long, in the same paragraph."""
    runs: dict[int, list[int]] = {}
    ticks = list(_TICKS.finditer(text))
    for run in reversed(ticks):
        runs.setdefault(len(run.group()), []).append(run.start())
    borders = [match.start() for match in _BLANK_LINE.finditer(text)][::-1]
    position = 0
    for run in ticks:
        start, length = run.start(), len(run.group())
        while borders and borders[-1] < start:
            borders.pop()
        same = runs[length]
        while same and same[-1] <= start:
            same.pop()
        if start < position or not same or (borders and same[-1] > borders[-1]):
            continue
        position = same[-1] + length
        yield Span(start, position, Kind.VALUE)


def _links(text: str) -> Iterator[Span]:
    """The signs round the words of `[words](address)`, `![words](address)` and `[words][name]`."""
    opened: list[Span] = []
    for match in _BRACKET.finditer(text):
        if match.group().endswith("["):
            opened.append(Span(*match.span(), Kind.MARKUP))
        elif match.group().startswith("]") and opened:
            opener = opened.pop()
            if match["link"]:
                yield opener
                yield Span(*match.span(), Kind.MARKUP)


def messages(text: str) -> Iterator[tuple[int, int]]:
    """The outermost ICU plurals and selects, from brace to brace."""
    headers = {match.start() for match in _ICU.finditer(text)}
    if not headers:
        return
    ends = _ends(text)
    position = 0
    for start in sorted(headers):
        if start >= position and start in ends:
            position = ends[start]
            yield start, position


def branches(message: str) -> list[str]:
    """An ICU message as its frame (even places) and the texts in it (odd places)."""
    ends = _ends(message)
    header = _ICU.match(message)
    parts: list[str] = []
    position, start = 0, message.find("{", header.end()) if header else -1
    while start >= 0 and start in ends:
        end = ends[start] - 1
        parts += [message[position : start + 1], message[start + 1 : end]]
        position, start = end, message.find("{", end)
    return [*parts, message[position:]]


def _ends(text: str) -> dict[int, int]:
    """Where each brace's partner ends."""
    opened: list[int] = []
    ends: dict[int, int] = {}
    for brace in _BRACE.finditer(text):
        if brace.group() == "{":
            opened.append(brace.start())
        elif opened:
            ends[opened.pop()] = brace.end()
    return ends
