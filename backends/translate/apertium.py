"""Apertium: rule-based translation on this machine, its programs kept alive between texts.

Starting the eleven programs of a pair takes 0.2 s, a sentence through the live ones 2 ms. Where no pair
is installed for two languages, a text goes by way of a third, but never of two.
"""

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from backends.translate.engine import Pair, Rendering
from backends.translate.languages import canonical, kin, other_variant
from backends.translate.live import LivePair, Stable
from backends.translate.pieces import render_in_pieces
from backends.translate.protection import MASK

PIECE_BYTES = 2_000  # one turn on the pipe stays under 0.1 s, so that short texts get theirs

_MODE = re.compile(r"([a-z]{2,3}(?:_[A-Za-z]+)?)-([a-z]{2,3}(?:_[A-Za-z]+)?)")

Ends = tuple[str, str]


class Route(NamedTuple):
    """The pairs a text goes through, and the language in the middle if there are two."""

    hops: tuple[LivePair, ...]
    via: str = ""


class Apertium:
    """The pairs that are installed on this machine, each started when it is first used.

    Args:
        modes: The directory of installed modes.
        most_alive: How many pairs may be alive at once, 100 to 170 MB each.
        idle_s: After how long without a text a pair is closed.
    """

    name = "apertium"

    def __init__(self, modes: Path, most_alive: int = 3, idle_s: float = 300.0) -> None:
        self._directory = modes
        self._stable = Stable(most_alive, idle_s)
        self._pairs: dict[Ends, LivePair] = {}
        self._routes: dict[Ends, Route] = {}
        self._loaded = False
        self.generation = ""

    def load(self) -> None:
        for path in sorted(self._directory.glob("*.mode")):
            match = _MODE.fullmatch(path.stem)
            source, target = (canonical(code) for code in match.groups()) if match else ("", "")
            if source and target:
                with contextlib.suppress(OSError, ValueError):  # a mode that cannot be read is not installed
                    live = LivePair(path)
                    if all(shutil.which(program) for program in live.programs):
                        self._pairs.setdefault((source, target), live)
        direct = {ends: Route((live,)) for ends, live in sorted(self._pairs.items())}
        self._routes = direct | dict(self._pivots())
        self.generation = self._installed()
        self._loaded = True

    def _installed(self) -> str:
        """The pairs as they lie on this machine; a package that is replaced changes the times."""
        try:
            modes = sorted(self._directory.glob("*.mode"))
            return " ".join(f"{path.stem}:{path.stat().st_mtime_ns}" for path in modes)
        except OSError:
            return ""

    async def refresh(self) -> bool:
        return False

    def _pivots(self) -> Iterator[tuple[Ends, Route]]:
        """The shortest way for every two languages that no pair joins; a plain middle before a region's."""
        languages = {tag: kin(tag) for ends in self._pairs for tag in ends}
        joined = {(languages[source], languages[target]) for source, target in self._pairs}
        found: dict[Ends, Route] = {}
        by_middle = sorted(self._pairs.items(), key=lambda item: ("-" in item[0][1], item[0][1], item[0][0]))
        for (source, middle), first in by_middle:
            for (resumed, target), second in sorted(self._pairs.items()):
                ends = languages[source], languages[target]
                if languages[middle] == languages[resumed] and ends[0] != ends[1] and ends not in joined:
                    found.setdefault((source, target), Route((first, second), middle))
        yield from sorted(found.items())

    def missing(self) -> str:
        if not any(self._directory.glob("*.mode")):
            return "no language pair is installed"
        return "its programs are not installed" if self._loaded and not self._pairs else ""

    def local_pairs(self) -> list[Ends]:
        return list(self._routes)

    def names(self) -> Mapping[str, str]:
        return {}

    def languages(self) -> list[str]:
        return sorted({tag for pair in self._pairs for tag in pair})

    def pair(self, source: str | None, target: str) -> Pair | None:
        """The way between two languages; a region it has is preferred, one it lacks is told."""
        if source is None:
            return None
        fitting = [
            (into != target, "-" in into, out_of != source, out_of, into)
            for out_of, into in self._routes
            if kin(out_of) == kin(source) and kin(into) == kin(target)
        ]
        if not fitting:
            return None
        *_, out_of, into = min(fitting)
        notices = [other_variant(self.name, target, into)]
        if via := self._routes[out_of, into].via:
            notices.append(f"apertium has no {out_of} to {into}; it went by way of {via}, twice as roughly.")
        return Pair(out_of, into, " ".join(filter(None, notices)))

    async def translate(self, text: str, pair: Pair) -> Rendering:
        route = self._routes[pair.source, pair.target]
        unknown = 0

        async def ask(question: str) -> str:
            nonlocal unknown
            missed: Counter[str] = Counter()
            for live in route.hops:
                question, words = await self._stable.translate(live, question)
                missed |= words  # the second does not know what the first did not
            unknown += sum(times for word, times in missed.items() if not MASK.search(word))
            return question

        rendering = await render_in_pieces(text, PIECE_BYTES, ask, "")
        way = f", by way of {route.via}" if route.via else ""
        words = f"; {unknown} word{'s' if unknown != 1 else ''} unknown" if unknown else ""
        return rendering._replace(quality=f"rule-based, rough{way}{words}")

    async def aclose(self) -> None:
        self._stable.aclose()
        for live in self._pairs.values():
            live.kill()  # all at once, then see each gone
        for live in self._pairs.values():
            await live.aclose()
