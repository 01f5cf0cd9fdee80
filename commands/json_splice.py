"""Sets one member of a JSON document and leaves every other byte as it was.

Writing a person's file anew would reformat it and lose its comments. So it is only measured: a copy of
the same length, with comments and trailing commas blanked out, is read by the standard library's scanner,
which tells where each value begins and ends, and the new text is put in between.
"""

import json
import re
from typing import Any, NamedTuple

# Strings are matched first and kept, so that what looks like a comment inside one is not taken for one.
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_SPACE = re.compile(r"[ \t\r\n]*")


class NotSplicedError(Exception):
    """The document cannot be changed safely; the text says why and fits after "The file is as it was:"."""


class Member(NamedTuple):
    """One member of an object: where its key starts, and where its value does and ends."""

    key: str
    start: int
    value_start: int
    end: int


def read(text: str, comments: bool = False) -> Any:
    """The document's value.

    Args:
        text: The document.
        comments: Take `//` and `/* */` comments and trailing commas too, as VS Code does.

    Raises:
        NotSplicedError: It is not JSON.
    """
    plain = _plain(_without_comments(text)) if comments else text
    start = _skip(plain, 0)
    value, end = _decode(plain, start)
    if _skip(plain, end) != len(plain):
        raise _not_json(plain, end, "something follows the document's end")
    return value


def splice(text: str, path: tuple[str, ...], value: Any, comments: bool = False) -> str:
    """The document with `value` at `path`; objects that are missing on the way are made.

    Raises:
        NotSplicedError: It is not JSON, or something on the way is not an object.
    """
    expected = inner = read(text, comments)
    for depth, key in enumerate(path):
        if not isinstance(inner, dict):
            raise NotSplicedError(f"{json.dumps(path[depth - 1]) if depth else 'it'} is not a JSON object.")
        if depth == len(path) - 1:
            inner[key] = value
        inner = inner.setdefault(key, {})
    new = _splice(_Layout(text, comments), path, value)
    if read(new, comments) != expected:  # it is somebody's file: believe the result, not the method
        raise NotSplicedError("it is laid out in a way that this command does not understand.")
    return new


def _splice(layout: "_Layout", path: tuple[str, ...], value: Any) -> str:
    start = layout.root
    for depth, key in enumerate(path):
        members = layout.members(start)
        # Of two members with one name, readers of JSON take the last.
        found = next((member for member in reversed(members) if member.key == key), None)
        if found is None:
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return layout.insert(start, members, key, value)
        if depth == len(path) - 1:
            return layout.replace(found, value)
        start = found.value_start
    raise AssertionError("a path has at least one name")


class _Layout:
    """How a document is laid out: where its members are, and how its lines are indented."""

    def __init__(self, text: str, comments: bool) -> None:
        self.text = text
        self.uncommented = _without_comments(text) if comments else text
        self.plain = _plain(self.uncommented) if comments else text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.one_line = "\n" not in text.strip()
        self.root = _skip(self.plain, 0)
        first = next(iter(self.members(self.root)), None)
        self.unit = (first and self.own_line(first.start)) or "  "

    def members(self, start: int) -> list[Member]:
        """The members of the object that starts at `start`."""
        found, at = [], _skip(self.plain, start + 1)
        while self.plain[at] != "}":
            key, end = _decode(self.plain, at)
            value_start = _skip(self.plain, _skip(self.plain, end) + 1)  # over the colon
            end = _decode(self.plain, value_start)[1]
            found.append(Member(key, at, value_start, end))
            at = _skip(self.plain, end)
            if self.plain[at] == ",":
                at = _skip(self.plain, at + 1)
        return found

    def replace(self, member: Member, value: Any) -> str:
        """The document with another value in a member."""
        new = self.render(value, self.own_line(member.start))
        return self.text[: member.value_start] + new + self.text[member.end :]

    def insert(self, start: int, members: list[Member], key: str, value: Any) -> str:
        """The document with one more member, the last, in the object that starts at `start`."""
        end = members[-1].end if members else start + 1
        close = _skip(self.plain, end)  # comments and a trailing comma are blank there
        gap = self.text[end:close]
        kept = gap.rstrip(" \t\r\n")
        rest = gap[len(kept) :] + self.text[close:]
        comma = "," if members and "," not in self.uncommented[end:close] else ""
        before = self.text[:end] + comma + kept

        indent = self.own_line(members[-1].start) if members else None
        if indent is None and "//" not in kept and (members or self.one_line):
            space = " " if members else ""
            return f"{before}{space}{json.dumps(key, ensure_ascii=False)}: {self.render(value, None)}{rest}"
        base = self.line_indent(start)
        indent = base + self.unit if indent is None else indent
        if "\n" not in gap[len(kept) :]:
            rest = self.newline + base + rest
        member = f"{json.dumps(key, ensure_ascii=False)}: {self.render(value, indent)}"
        return f"{before}{self.newline}{indent}{member}{rest}"

    def render(self, value: Any, indent: str | None) -> str:
        """The value as JSON: on one line, or with further lines indented by `indent`."""
        if indent is None:
            return json.dumps(value, ensure_ascii=False)
        lines = json.dumps(value, ensure_ascii=False, indent=self.unit).split("\n")
        return (self.newline + indent).join(lines)

    def line_indent(self, at: int) -> str:
        """The white space that the line around `at` starts with."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at + 1]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def own_line(self, at: int) -> str | None:
        """The white space before `at` if that is all there is on its line."""
        before = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return before if not before.strip(" \t") else None


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _decode(plain: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(plain, at)
    except RecursionError:
        raise NotSplicedError("it is nested too deeply.") from None
    except json.JSONDecodeError as error:
        raise _not_json(plain, error.pos, error.msg) from None
    except ValueError as error:  # NaN and its like, or a number of thousands of digits
        raise NotSplicedError(f"it is not valid JSON ({error}).") from None


def _not_json(plain: str, at: int, what: str) -> NotSplicedError:
    line = plain.count("\n", 0, at) + 1
    return NotSplicedError(f"it is not valid JSON (line {line}: {what}).")


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


_DECODER = json.JSONDecoder(parse_constant=_constant)


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text)


def _plain(uncommented: str) -> str:
    return _TRAILING_COMMA.sub(lambda m: m[0] if m[0][0] == '"' else " ", uncommented)
