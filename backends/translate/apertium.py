"""Apertium: rule-based translation on this machine, its programs kept alive between texts.

Starting the eleven programs of a pair takes 0.2 s, a sentence through the live ones 2 ms.
"""

import contextlib
import itertools
import re
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

import anyio

from backends.translate.engine import Pair, Rendering, Trouble
from backends.translate.languages import canonical, kin, other_variant
from backends.translate.pieces import translate_in_pieces
from backends.translate.pipeline import REAP_S, OutOfStep, Pipeline

PIECE_BYTES = 2_000  # one turn on the pipe stays under 0.1 s, so that short texts get theirs
HANG_S = 5.0  # the slowest pair tried takes 0.1 s for a piece, and 0.3 s to start

_MODE = re.compile(r"([a-z]{2,3}(?:_[A-Za-z]+)?)-([a-z]{2,3}(?:_[A-Za-z]+)?)")
_BLANK = re.compile(r"([ \t\r\n~]+)")
_SPECIAL = re.compile(r"[\[\]\\^$/<>{}@]")
_FORMAT = re.compile(r"\.\[\]|\\(.)|[\[\]]", re.DOTALL)
_UNKNOWN = re.compile(r"\\.|\^([*@])", re.DOTALL)


def to_stream(text: str) -> str:
    """What `apertium-destxt` makes of a text: blanks in brackets, the stream's own signs escaped."""
    body = text.rstrip(" \t\r\n~")
    end = text[len(body) :]
    stream = "".join(
        part if part == " " else _as_blank(part) if _BLANK.fullmatch(part) else _SPECIAL.sub(r"\\\g<0>", part)
        for part in _BLANK.split(body)
    )
    return f"{stream}.[]" + (end if end in ("", " ") else f"[{end}]")


def _as_blank(blank: str) -> str:
    # A blank line ends a sentence, whether or not it has a full stop.
    return (".[]" if "\n\n" in blank else "") + f"[{blank}]"


def from_stream(stream: str) -> str:
    """What `apertium-retxt` makes of a stream."""
    return _FORMAT.sub(lambda match: match[1] or "", stream)


class LivePair:
    """The programs of one language pair, in two rows, so that what is unknown is seen in between.

    The last row writes words. Only before it are unknown words told from asterisks in the text; after
    it, the command line's `*` marks and the text's own look the same.
    """

    def __init__(self, mode: Path) -> None:
        commands = [shlex.split(part) for part in mode.read_text().split("|")]
        writing = next((n for n, command in enumerate(commands) if "$1" in command), len(commands))
        # -n: words it does not know are written as they are, without a mark.
        commands = [
            [program, "-z", *("-n" if word == "$1" else word for word in words if word != "$2")]
            for program, *words in commands
        ]
        self.programs = {command[0] for command in commands}
        self._rows = [Pipeline(row) for row in (commands[:writing], commands[writing:]) if row]
        self._lock = anyio.Lock()
        self._numbers = itertools.count(1)
        self._closed = False

    async def translate(self, text: str) -> tuple[str, int]:
        """The translation, and how many words are unknown."""
        async with self._lock:
            # Live programs may have died or lost step since the last text, and get a second chance.
            for _ in range(2 if self._alive else 1):
                if self._closed:
                    break
                with contextlib.suppress(OutOfStep, TimeoutError):
                    return await self._once(text)
        raise Trouble("could not translate this text", rest=False)

    async def _once(self, text: str) -> tuple[str, int]:
        in_step = False
        # It stands behind the text in a blank, which every program hands on: an answer that lacks it
        # is not the answer to this question.
        number = f"[#{next(self._numbers)}]"
        try:
            with anyio.fail_after(HANG_S):
                if not self._alive:
                    for row in self._rows:
                        await row.start()
                stream = answer = f"{to_stream(text)}{number}".encode()
                for row in self._rows:
                    stream, answer = answer, await row.exchange(answer)
            written = answer.decode()
            if not written.endswith(number):
                raise OutOfStep
            in_step = True
        finally:
            if not in_step:  # also when this task is cancelled: the answer is still on its way
                self.kill()
        unknown = sum(1 for mark in _UNKNOWN.findall(stream.decode()) if mark)
        return from_stream(written.removesuffix(number)), unknown

    @property
    def _alive(self) -> bool:
        return all(row.alive for row in self._rows)

    def kill(self) -> None:
        for row in self._rows:
            row.kill()

    async def aclose(self) -> None:
        """End the programs, and the text that is on its way through them."""
        self._closed = True
        self.kill()
        with anyio.CancelScope(shield=True), anyio.move_on_after(REAP_S):
            async with self._lock:  # whoever had it may just have been starting programs
                self.kill()
        for row in self._rows:
            await row.aclose()


class Apertium:
    """The pairs that are installed on this machine, each started when it is first used."""

    name = "apertium"
    detects = False

    def __init__(self, modes: Path) -> None:
        self._directory = modes
        self._pairs: dict[tuple[str, str], LivePair] = {}
        self._loaded = False

    def load(self) -> None:
        for path in sorted(self._directory.glob("*.mode")):
            match = _MODE.fullmatch(path.stem)
            source, target = (canonical(code) for code in match.groups()) if match else ("", "")
            if source and target:
                with contextlib.suppress(OSError, ValueError):  # a mode that cannot be read is not installed
                    live = LivePair(path)
                    if all(shutil.which(program) for program in live.programs):
                        self._pairs.setdefault((source, target), live)
        self._loaded = True

    def missing(self) -> str:
        if not any(self._directory.glob("*.mode")):
            return "no language pair is installed"
        return "its programs are not installed" if self._loaded and not self._pairs else ""

    def local_pairs(self) -> list[tuple[str, str]]:
        return sorted(self._pairs)

    def names(self) -> Mapping[str, str]:
        return {}

    def languages(self) -> list[str]:
        return sorted({tag for pair in self._pairs for tag in pair})

    def pair(self, source: str | None, target: str) -> Pair | None:
        """The installed pair for two languages; a region it has is preferred, one it lacks is told."""
        if source is None:
            return None
        fitting = [
            (into != target, "-" in into, out_of != source, out_of, into)
            for out_of, into in self._pairs
            if kin(out_of) == kin(source) and kin(into) == kin(target)
        ]
        if not fitting:
            return None
        *_, out_of, into = min(fitting)
        return Pair(out_of, into, other_variant(self.name, target, into))

    async def translate(self, text: str, pair: Pair) -> Rendering:
        live = self._pairs[pair.source, pair.target]
        unknown = 0

        async def ask(question: str) -> str:
            nonlocal unknown
            answer, more = await live.translate(question)
            unknown += more
            return answer

        translated = await translate_in_pieces(text, PIECE_BYTES, ask)
        words = f"; {unknown} word{'s' if unknown != 1 else ''} unknown" if unknown else ""
        return Rendering(translated, f"rule-based, rough{words}")

    async def aclose(self) -> None:
        for live in self._pairs.values():
            live.kill()  # all at once, then see each gone
        for live in self._pairs.values():
            await live.aclose()
