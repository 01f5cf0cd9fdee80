"""Globs, matched name by name as a tree is walked, so that a directory no match can lie in is not entered.

`*` and `?` stay within a name, `[...]` is a set, `**` is any number of directories. A pattern without a `/`
matches at any depth. Matching costs at most names times pattern, whatever the pattern: there is no glob bomb.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable

from errors import Forbidden, TooMuch, Unknown, quote

States = frozenset[int]
_ANY_DEPTH = None
MAX_PATTERN = (
    1_000  # characters; a path holds 4,096 at most, and a pattern is shorter than what it stands for
)


class Glob:
    """One pattern. A state is the number of its parts that the names so far have used up."""

    def __init__(self, pattern: str) -> None:
        names = [name for name in _checked(pattern).split("/") if name not in ("", ".")]
        if "/" not in pattern:
            names = ["**", *names]
        self._parts: list[Callable[[str], object] | None] = [
            _ANY_DEPTH if name == "**" else re.compile(fnmatch.translate(name)).match for name in names
        ]
        self.start = self._with_skips({0})
        final = len(self._parts)  # the first part after which only `**` come
        while final and self._parts[final - 1] is _ANY_DEPTH:
            final -= 1
        self._final = final

    def step(self, states: States, name: str) -> States:
        """The states after one more name of a path; empty if nothing below it can match."""
        after: set[int] = set()
        for state in states:
            if state == len(self._parts):
                continue
            match = self._parts[state]
            if match is _ANY_DEPTH:
                after.add(state)
            elif match(name):
                after.add(state + 1)
        return self._with_skips(after)

    def last(self, states: States) -> Callable[[str], object]:
        """What tells whether a path ends well with a name, as `matches(step(states, name))` would."""
        tests = [
            _anything if (test := self._parts[state]) is _ANY_DEPTH else test
            for state in states
            if state < len(self._parts) and state >= self._final - 1
        ]
        if len(tests) == 1:
            return tests[0]
        return _anything if _anything in tests else lambda name: any(test(name) for test in tests)

    def matches(self, states: States) -> bool:
        return len(self._parts) in states

    def _with_skips(self, states: Iterable[int]) -> States:
        """A `**` may stand for no directory at all."""
        reached = set(states)
        for state, part in enumerate(self._parts):
            if part is _ANY_DEPTH and state in reached:
                reached.add(state + 1)
        return frozenset(reached)


def _anything(_: str) -> bool:
    return True


def _checked(pattern: str) -> str:
    sent = quote(pattern)
    if len(pattern) > MAX_PATTERN:
        raise TooMuch(f"The pattern {sent} is too long: it holds at most {MAX_PATTERN:,} characters.")
    if "\\" in pattern:
        raise Forbidden(f"The pattern {sent} holds a backslash. Write / between names, like 'docs/**/*.md'.")
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise Forbidden(f"The pattern {sent} leads out. It starts at path, like 'docs/**/*.md'.")
    if "{" in pattern.replace("[{]", ""):
        raise Unknown(f"The pattern {sent} has braces, which are no part of a glob here. Ask once for each.")
    return pattern
