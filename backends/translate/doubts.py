"""Whether an answer can be the translation of what was asked; what cannot be is never returned as text.

A service says "I cannot" in many ways that look like a text: an error page with status 200, a warning where
the translation stands, the question itself, or the answer to another one. None can be told for certain from
outside, so each rule here is one that good translations do not break.
"""

import re
import threading
from collections import OrderedDict

from backends.translate.engine import Pair, Trouble

WARNED = "sent a warning in place of a translation"
MIXED_UP = "sent the translation of another text"

_PAGES = re.compile(
    r"<!doctype html|<html[\s>]|<head>\s*<|\b50[0234] (Bad Gateway|Service Unavailable|Gateway Time-?out)"
    r"|\bError \d{3} \(.{0,80}\)!!1|\bunusual traffic from your computer|MYMEMORY WARNING|Just a moment\.\.\."
    r"|Attention Required! \| Cloudflare",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # no question holds any
_NUMBER = re.compile(r"[0-9]{3,18}")  # shorter ones change: 3 pm becomes 15 h
_REMEMBERED = 256  # answers to one service; 20 kB
_TELLING = 40  # letters: shorter answers, such as "Inténtelo de nuevo más tarde.", fit many questions
_UNLIKE = 0.15  # of what makes them is shared by two questions; two wordings of one share 0.1 to 0.4
# Of each of these many a sentence is also one of the others.
_CLOSE = (
    {"zh", "zt", "ja", "yue", "lzh", "zho", "jpn"},  # in Chinese characters
    {"da", "nb", "nn", "no"},
    {"id", "ms"},
    {"cs", "sk"},
    {"gl", "pt"},
    {"bs", "hr", "sr"},
)
_BLOCKED_S = 600.0  # a captcha or a used-up day is not over in a minute


class Doubts:
    """What speaks against the answers of one service.

    Args:
        rubbish: What it says in place of a translation, besides the pages that anybody may send.
    """

    def __init__(self, rubbish: re.Pattern[str] | None = None) -> None:
        self._rubbish = [_PAGES, *([rubbish] if rubbish else [])]
        self._answers: OrderedDict[int, frozenset[int]] = OrderedDict()  # of texts only hashes are kept
        self._turn = threading.Lock()

    def check(self, question: str, answer: object, pair: Pair) -> str:
        """The answer, if nothing speaks against it; raises Trouble."""
        if not isinstance(answer, str) or not answer.strip():
            raise Trouble("gave no translation", rest=False)
        if any(pattern.search(answer) and not pattern.search(question) for pattern in self._rubbish):
            raise Trouble(WARNED, rest_s=_BLOCKED_S)
        if _CONTROL.search(answer) and not _CONTROL.search(question):
            raise Trouble("sent an answer that cannot be read", rest=False)
        if _has_words(question) and not _has_words(answer):
            raise Trouble("gave no translation", rest=False)
        if not len(question) / 12 - 10 <= len(answer) <= 12 * len(question) + 200:
            raise Trouble("gave a translation of another length", rest=False)
        if _are_unlike(pair) and is_echo(question, answer):
            raise Trouble("gave the text back untranslated", rest=False)
        if _other_numbers(question, answer) or self._said_before(question, answer, pair):
            raise Trouble(MIXED_UP)
        return answer

    def _said_before(self, question: str, answer: str, pair: Pair) -> bool:
        """Whether this was the answer to a question that has nothing in common with this one."""
        if len(answer) + _signs(answer) < _TELLING:
            return False
        told, shape = hash((pair.source, pair.target, answer)), _shape(question)
        with self._turn:
            before = self._answers.setdefault(told, shape)
            self._answers.move_to_end(told)
            while len(self._answers) > _REMEMBERED:
                self._answers.popitem(last=False)
        return len(before & shape) < _UNLIKE * len(before | shape)


def _signs(text: str) -> int:
    """How many characters stand for two letters or more."""
    return sum("\u2e80" <= character <= "\u9fff" for character in text)


def _shape(question: str) -> frozenset[int]:
    """What two wordings of one question have in common: threes of letters, or Chinese characters."""
    width = 1 if _signs(question) * 2 > len(question) else 3
    return frozenset(
        hash(question[n : n + width]) for n in range(max(1, min(len(question), 300) + 1 - width))
    )


def is_echo(question: str, answer: str) -> bool:
    """Whether a text of ordinary words came back as it was: names and single words rightly do."""
    if question.strip() != answer.strip():
        return False
    words = [word for word in question.split() if word[0].isalpha()]
    plain = [word for word in words if word[0].islower() or word[0].lower() == word[0].upper()]
    without_case = sum(c.isalpha() and c.lower() == c.upper() for c in question)
    return (len(words) >= 5 and len(plain) * 2 >= len(words)) or without_case >= 12


def _has_words(text: str) -> bool:
    """Letters, or so few digits that they may stand for a word."""
    return any(c.isalpha() for c in text) or (len(text) < 20 and any(c.isdigit() for c in text))


def _are_unlike(pair: Pair) -> bool:
    """Whether a text of one language is none of the other."""
    source, target = (re.split(r"[-_]", code.lower())[0] for code in (pair.source, pair.target))
    return source != target and not any({source, target} <= close for close in _CLOSE)


def _other_numbers(question: str, answer: str) -> bool:
    """Whether each has long numbers and they share none, not even in part (1,234 and 1234)."""
    asked, told = set(_NUMBER.findall(question)), set(_NUMBER.findall(answer))
    return bool(asked and told) and not any(one in other or other in one for one in asked for other in told)
