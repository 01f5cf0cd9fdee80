"""Arguments as the audit may hold them: by shape, with redacted values, or not at all.

A shape is a type, a length and a short keyed hash: two calls with the same text can be told to have had it,
and nobody without the key can find the text by trying.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from cleaning import printable
from config import Domain
from redaction import redacted, redacted_value

Mode = Literal["shape", "redacted", "none"]

MOST_ITEMS = 20
HASHED = 65_536  # characters of a text that its hash is of: a megabyte would take 1 ms
HASH_BYTES = 5
_NAME = re.compile(r"[a-z_]{1,24}")
_KNOWN = re.compile(rf"almanac://({'|'.join(get_args(Domain))}|status|settings)(?=/|$)")


class Shapes:
    """Puts arguments into the form that is set.

    Args:
        mode: The form.
        key: Gives the key of the hashes.
        secrets: What is taken out of values wherever it stands.
    """

    def __init__(self, mode: Mode, key: Callable[[], bytes], secrets: Sequence[str] = ()) -> None:
        self._mode, self._key, self._secrets = mode, key, secrets

    def of(self, arguments: Mapping[str, Any]) -> Any:
        """The arguments of one call; None if they are not recorded."""
        if self._mode == "none":
            return None
        if self._mode == "redacted":
            return redacted_value(dict(arguments), self._secrets)
        return self._object(arguments, 2)

    def _object(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for name, value in given.items():
            if len(shown) == MOST_ITEMS:
                shown["..."] = len(given)
                break
            # A name that no parameter would have is a text of the caller's as well.
            shown[name if _NAME.fullmatch(name) else self._text("name", name)] = self._shape(value, depth)
        return shown

    def _shape(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text("text", value)
        if value is None:
            return "null"
        if isinstance(value, list | tuple):
            return f"list {len(value)}"
        if isinstance(value, dict):
            return self._object(value, depth - 1) if depth > 1 else f"object {len(value)}"
        return type(value).__name__

    def _text(self, kind: str, text: str) -> str:
        start = text[:HASHED].encode("utf-8", "surrogatepass")
        hashed = hashlib.blake2b(start, key=self._key(), digest_size=HASH_BYTES)
        return f"{kind} {len(text)} {hashed.hexdigest()}"

    def name(self, name: str) -> str:
        """What was called, which the caller may have made up; on a terminal it may do nothing."""
        return redacted(printable(name[:80]), self._secrets)


def place_of(uri: str) -> str:
    """Where a resource lies, without what the caller put into its address."""
    known = _KNOWN.match(uri)
    return known[0] if known else "unknown"
