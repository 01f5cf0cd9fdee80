"""One value of a JSON file, found by its pointer (RFC 6901). What JSON does not have is refused."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from backends import Result
from backends.files.reading import read_whole
from backends.files.sandbox import Root
from errors import TooMuch, Unknown, did_you_mean, quote

MAX_BYTES = 2_000_000  # parsed; 5 MB hold everything up for a second, and eight at once take 170 MB
MAX_DEPTH = 100  # levels in a value that is returned; hosts' own parsers give up soon after
_EXACT_INTEGER = 2**53  # beyond it a JSON reader that has only floats loses digits
_EXACT_DIGITS = 17  # with its sign; more are never parsed, which takes time in their square
_SHOWN = 12  # keys named in a refusal


class _Digits(str):
    """A number that is given as its text."""


class Value(Result):
    """The value at a pointer of a JSON file."""

    value: Any  # whatever JSON can say; JsonValue would put a $ref into every schema
    notices: tuple[str, ...] = ()


def read_value(root: Root, path: str, pointer: str, max_bytes: int) -> Value:
    with root.file(path) as (_, opened):
        data = read_whole(
            opened,
            path,
            min(max_bytes, MAX_BYTES),
            "files_search finds lines in it, files_read pages through it.",
        )
    tokens = _tokens(pointer)
    text = _decoded(data, path)
    value = _at(_parse(text, path), tokens, path)
    if _deeper_than(value, MAX_DEPTH):
        raise TooMuch(
            f"The value at {quote(pointer)} is nested deeper than {MAX_DEPTH} levels. "
            "Ask for a part of it with a longer pointer, or page through the text with files_read."
        )
    notices = []
    if as_text := _count_digits(value):
        notices.append(f"Numbers too large for a JSON number, each given as its text: {as_text}.")
    if "\\ud" in text.lower() and (whole := _without_halves(value)) != value:
        value = whole
        notices.append("The value holds halves of characters, which no text can carry; each is shown as ?.")
    return Value(value=value, notices=tuple(notices))


def _decoded(data: bytes, path: str) -> str:
    try:
        return data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Unknown(
            f"{quote(path)} is not JSON: its byte {error.start + 1:,} is no valid {error.encoding}."
        ) from error


def _parse(text: str, path: str) -> Any:
    def real(digits: str) -> float | _Digits:
        return number if math.isfinite(number := float(digits)) else _Digits(digits)

    def whole(digits: str) -> int | _Digits:
        if len(digits) <= _EXACT_DIGITS and -_EXACT_INTEGER <= (number := int(digits)) <= _EXACT_INTEGER:
            return number
        return _Digits(digits)

    def no_number(name: str) -> NoReturn:
        raise Unknown(f"{quote(path)} is not JSON: it holds {name}, which JSON has no word for.")

    try:
        return json.loads(text, parse_float=real, parse_int=whole, parse_constant=no_number)
    except json.JSONDecodeError as error:
        lines = (
            " It looks like one JSON value a line; files_read gives them."
            if error.msg == "Extra data"
            else ""
        )
        where = f"line {error.lineno}, column {error.colno}: {error.msg.lower()}"
        raise Unknown(f"{quote(path)} is not JSON: {where}.{lines}") from error
    except RecursionError as error:
        raise TooMuch(
            f"{quote(path)} is nested too deeply to be read as JSON. files_read gives its text."
        ) from error


def _tokens(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise Unknown(f"The pointer {quote(pointer)} must be '' or start with /, like '/cities/0/name'.")
    if "~" in pointer.replace("~0", "").replace("~1", ""):
        raise Unknown(f"The pointer {quote(pointer)} has a lone ~: write ~0 for ~ and ~1 for /.")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _at(value: Any, tokens: Sequence[str], path: str) -> Any:
    for number, token in enumerate(tokens):
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list) and _is_index(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            raise _no_value(value, token, tokens[:number], path)
    return value


def _is_index(text: str) -> bool:
    return len(text) < 10 and text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0")


def _no_value(value: Any, token: str, reached: Sequence[str], path: str) -> Unknown:
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in reached)
    there = f"In {quote(path)}, {quote(pointer)} is" if reached else f"{quote(path)} is"
    match value:
        case Mapping():
            keys = list(value)
            shown = ", ".join(quote(key) for key in keys[:_SHOWN])
            rest = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
            near = did_you_mean(token, keys)
            return Unknown(
                f"{there} an object without {quote(token)}.{near} It has {shown or 'no keys'}{rest}."
            )
        case list():
            span = f"0 to {len(value) - 1}" if value else "none, it is empty"
            return Unknown(f"{there} a list, in which {quote(token)} is no place. It has {span}.")
    kind = {str: "text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    return Unknown(f"{there} {kind}, with nothing in it, so no {quote(token)}.")


def _without_halves(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _count_digits(value: Any) -> int:
    if isinstance(value, dict | list):
        return sum(map(_count_digits, value.values() if isinstance(value, dict) else value))
    return isinstance(value, _Digits)


def _deeper_than(value: Any, levels: int) -> bool:
    row = [value]
    for _ in range(levels):
        row = [
            item
            for outer in row
            if isinstance(outer, dict | list)
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not row:
            return False
    return any(isinstance(item, dict | list) for item in row)
