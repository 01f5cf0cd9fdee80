"""Takes out of a text what a log or a record must not hold: credentials, and what tells of a person.

It knows keys and tokens by their form or by the word before them, e-mail addresses, telephone and card
numbers, and the secrets of the settings by themselves. A secret of no form, in a text of no form, passes.
"""

import functools
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from config import Section

LONGEST = 500  # characters of one value that are kept
SHORTEST_SECRET = 6  # a shorter one would be found in ordinary words

_NAMED = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credential|cookie"
    r"|api[_-]?key|(?:access|account|auth|private|shared|signing)[_-]?key|session[_-]?(?:id|key))"
)
# After a name: quotes, an equals sign or a colon, and the value, which in quotes has spaces. JSON within JSON
# has backslashes before its quotes.
_VALUE = (
    r"\w{0,20}\\?[\"']?\s?(?:=>|[=:])\s?"
    r"(?:\\?\"[^\"\n]{0,500}\"?|'[^'\n]{0,500}'?|[^\s\"',;&)}\]]+)"
)
_FORMS = (
    (
        "key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]*?"
        r"(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    ("token", r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?"),
    (
        "key",
        r"\b(?:[spr]k[-_][\w-]{8,}|gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{8,}"
        r"|A[KS]IA[0-9A-Z]{12,}|AIza[\w-]{30,}|(?:hf|npm|pypi|alm|almanac)_[\w-]{16,}|SG\.[\w-]{16,}[\w.-]*)",
    ),
    ("credentials", r"(?i)\b(?:bearer|basic|deepl-auth-key)\s+[\w.~+/:=-]{6,}"),
    ("credentials", r"(?<=://)[^/\s@'\"]+@"),
    ("credentials", r"(?i)(?:authorization|\bcookie)\\?[\"']?\s?[=:]\s?[^\r\n\"']{1,2000}"),
    ("key", r"(?<=hooks\.slack\.com/)[\w/-]+"),
    ("credentials", rf"(?i)(?<=[=:&?\s\"'_{{(\[,;-]){_NAMED}{_VALUE}"),
    ("credentials", rf"(?i)\A{_NAMED}{_VALUE}"),
    (
        "e-mail",
        r"(?:[\w.+%-]{1,64}|\"[^\"\n]{1,64}\")(?:@|%40|\\u0040|\uff20|&#64;)[\w-]{1,63}(?:\.[\w-]{1,63})+",
    ),
)
_GAP = " ./\u00a0\u2000-\u200a\u2010-\u2015\u202f-"
_RUN = re.compile(rf"\d(?:[{_GAP}]?\d){{12,}}")
_GROUP = re.compile(r"\d+")
_DIGITS = re.compile(
    rf"(?<![\w.-])(?!\d{{4}}-\d\d-\d\d)(?!\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\d))"
    rf"\+?\(?\d[\d(){_GAP}]{{6,60}}\d(?![\w])"
)
_LONG = re.compile(r"(?<![\w-])[A-Za-z0-9_-]{40,}")
_INPUT = re.compile(r"input_value=.*?(?=, input_type=)", re.DOTALL)


@functools.cache
def _forms() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((f"<{what}>", re.compile(form)) for what, form in _FORMS)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with `<key>`, `<e-mail>` and the like where these were.

    Args:
        secrets: What is taken out wherever it stands, whatever its form.
    """
    for secret in secrets:
        text = text.replace(secret, "<key>")
    if "input_value=" in text:  # what pydantic says of a value is the value
        text = _INPUT.sub("input_value=<value>", text)
    for mark, form in _forms():
        text = form.sub(mark, text)
    return _DIGITS.sub(_number, _LONG.sub(_key, _RUN.sub(_cards, text)))


def _key(found: re.Match[str]) -> str:
    """Forty letters and digits in a row are a key or a digest, not a word."""
    mixed = re.search(r"\d", found[0]) and re.search(r"[A-Za-z]", found[0])
    return "<key>" if mixed else found[0]


def _cards(run: re.Match[str]) -> str:
    """A run of digits without the card numbers in it: four groups of four, one of sixteen, and the like."""
    text, groups = run[0], list(_GROUP.finditer(run[0]))
    kept, after, first = "", 0, 0
    while first < len(groups):
        digits = ""
        for group in groups[first : first + 5]:
            digits += group[0]
            if 13 <= len(digits) <= 19 and int(digits[0]) in range(2, 7) and _is_card(digits):
                kept += text[after : groups[first].start()] + "<card>"
                after = group.end()
                break
            if len(group[0]) < 4:  # but for the last, a group of a card has four digits or more
                break
        first = next((n for n in range(first + 1, len(groups)) if groups[n].start() >= after), len(groups))
    return kept + text[after:]


def _number(found: re.Match[str]) -> str:
    digits = re.sub(r"\D", "", found[0])
    # A number without a sign, a nought or a gap is a number; with few digits it is a version.
    least = 8 if found[0].startswith("+") else 9
    gaps = found[0].startswith(("+", "0")) or re.search(r"\d\D+\d", found[0])
    return "<phone>" if gaps and least <= len(digits) else found[0]


def _is_card(digits: str) -> bool:
    """Luhn's check, which one number in ten passes by chance."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def redacted_value(value: Any, secrets: Iterable[str] = (), depth: int = 4) -> Any:
    """A JSON value with its texts redacted and cut, and what is named like a secret left out."""
    match value:
        case str():
            text = redacted(value[: 4 * LONGEST], secrets)
            return f"{text[:LONGEST]}…" if len(text) > LONGEST or len(value) > 4 * LONGEST else text
        case bool() | None:
            return value
        case int() | float():
            digits = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
            return value if redacted(digits) == digits else redacted(digits)
        case dict() if depth:
            named = re.compile(_NAMED, re.IGNORECASE)
            return {
                redacted(str(name)[:80], secrets): "<credentials>"
                if named.search(str(name))
                else redacted_value(item, secrets, depth - 1)
                for name, item in list(value.items())[:50]
            }
        case list() | tuple() if depth:
            return [redacted_value(item, secrets, depth - 1) for item in value[:50]]
    return f"<{type(value).__name__}>"


def secrets_of(section: Section) -> tuple[str, ...]:
    """Every secret of the settings, also as a URL or JSON has it, and the password of one that is a URL."""
    found: list[str] = []
    for name in type(section).model_fields:
        match getattr(section, name):
            case Section() as inner:
                found += secrets_of(inner)
            case SecretStr() as secret:
                value = secret.get_secret_value()
                found += [value, urlsplit(value).password or ""] if "://" in value else [value]
    forms = {form for secret in found for form in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1])}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST_SECRET), key=len, reverse=True))
