"""Hides what a translation must not touch behind words that engines leave alone, and brings it back.

`protect` takes a text apart into lines to translate and what is between them. An engine that loses,
doubles, spoils or swaps a hidden part is found out: `Line.restored` gives None, and the line can then be
translated around its hidden parts (`Line.fragments`, `Line.rebuilt`), which no engine can spoil.
`pieces.render_in_pieces` does all of this and is what an engine calls.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backends.translate.placeholders import Kind, is_letter, spans

# White space, and characters that no engine's text holds: controls, noncharacters (U+FFFF reads as an
# end of file in Apertium) and halves of surrogate pairs. Runs are found once, so this stays linear.
_GAP = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]+")
_SENTENCE_END = re.compile(r"[.!?…。！？]['\"”’»)\]]?$")

# Words of no language, that no engine inflects or knows; without vowels nothing is read into them.
_STEMS = ("ZQX", "QZV", "XVQ", "VZX", "QXZ", "XZV")
_LETTERS = "BCDFGHJKLMNPRSTW"
MASK = re.compile(rf"(?:{'|'.join(_STEMS)})[{_LETTERS}]{{2,5}}", re.IGNORECASE)


def has_letters(text: str) -> bool:
    """Whether there is anything to translate: emoji, digits and punctuation are the same everywhere."""
    return any(character.isalpha() for character in text)


@dataclass(slots=True)
class Hidden:
    """A part that no engine sees."""

    text: str
    markup: bool  # stands round words, so that at a line's edge it is none of the line
    ordered: bool  # may not change places with another such
    glued: bool  # a letter of the word it stands in


Atom = str | Hidden


class Stem:
    """The words that stand for the hidden parts of one text: none of them is in it."""

    def __init__(self, text: str, hidden: int) -> None:
        folded = text.casefold()
        self.word = next((stem for stem in _STEMS if stem.casefold() not in folded), "")
        self._width = 2
        while len(_LETTERS) ** self._width < hidden:
            self._width += 1
        self.pattern = re.compile(rf"{self.word}([{_LETTERS}]{{{self._width}}})", re.IGNORECASE)

    def mask(self, number: int) -> str:
        letters = ""
        for _ in range(self._width):
            number, digit = divmod(number, len(_LETTERS))
            letters = _LETTERS[digit] + letters
        return self.word + letters

    def number(self, letters: str) -> int:
        value = 0
        for letter in letters.upper():
            value = value * len(_LETTERS) + _LETTERS.index(letter)
        return value

    def stands_in(self, text: str) -> bool:
        return bool(self.word) and self.word.casefold() in text.casefold()


class Line:
    """Words of one line and the hidden parts among them; it begins and ends in no white space."""

    def __init__(self, atoms: list[Atom], first: int, stem: Stem) -> None:
        self._atoms = atoms
        self._stem = stem
        self._first = first
        self.hidden = [atom for atom in atoms if isinstance(atom, Hidden)]
        self._pads: list[tuple[bool, bool]] = []
        self.masked = self._mask()

    def _mask(self) -> str:
        """The line with a word for each hidden part, with a space of ours where it touches another."""
        text = ""
        for place, atom in enumerate(self._atoms):
            if isinstance(atom, str):
                text += atom
                continue
            after = self._atoms[place + 1] if place + 1 < len(self._atoms) else ""
            before_it = text[-1:].isalnum() and not atom.glued
            after_it = isinstance(after, str) and after[:1].isalnum() and not atom.glued
            text += " " * before_it + self._stem.mask(self._first + len(self._pads)) + " " * after_it
            self._pads.append((before_it, after_it))
        return text

    def restored(self, answer: str) -> str | None:
        """An answer with the hidden parts back in their places; None if not each is there just once."""
        if not self._stem.word and self.hidden:
            return None
        texts: list[str] = []
        numbers: list[int] = []
        position = 0
        for mask in self._stem.pattern.finditer(answer) if self._stem.word else ():
            texts.append(answer[position : mask.start()])
            numbers.append(self._stem.number(mask[1]) - self._first)
            position = mask.end()
        texts.append(answer[position:])
        if sorted(numbers) != list(range(len(self.hidden))):
            return None
        ordered = [n for n in numbers if self.hidden[n].ordered]
        if ordered != sorted(ordered):
            return None
        if any(self._stem.stands_in(text) for text in texts):  # what is left of a spoilt one
            return None
        if any(self._is_grown(n, texts[place], texts[place + 1]) for place, n in enumerate(numbers)):
            return None
        for place, number in enumerate(numbers):
            before_it, after_it = self._pads[number]
            if before_it:
                texts[place] = texts[place].removesuffix(" ")
            if after_it:
                texts[place + 1] = texts[place + 1].removeprefix(" ")
        return "".join(
            text + (self.hidden[numbers[place]].text if place < len(numbers) else "")
            for place, text in enumerate(texts)
        )

    def _is_grown(self, number: int, before: str, after: str) -> bool:
        """Whether letters were put to a word that stands for a hidden part."""
        touching = before[-1:] + after[:1]
        return not self.hidden[number].glued and any(c.isascii() and c.isalpha() for c in touching)

    @property
    def fragments(self) -> list[str]:
        """The words between the hidden parts."""
        return [atom.strip() for atom in self._atoms if isinstance(atom, str) and has_letters(atom)]

    def rebuilt(self, answers: Sequence[str]) -> str:
        """The line of its fragments' answers."""
        left = iter(answers)
        return "".join(
            atom.text
            if isinstance(atom, Hidden)
            else atom.replace(atom.strip(), next(left), 1)
            if has_letters(atom)
            else atom
            for atom in self._atoms
        )

    def is_spoilt(self, answer: str) -> bool:
        """Whether a fragment's answer holds what only stands for a hidden part."""
        return self._stem.stands_in(answer)


@dataclass(slots=True)
class Protected:
    """A text as lines to translate and what stands before each of them and after the last."""

    lines: list[Line]
    between: list[str]

    def joined(self, texts: Sequence[str]) -> str:
        return "".join(part for pair in zip(self.between, (*texts, ""), strict=True) for part in pair)


def protect(text: str) -> Protected:
    """Take a text apart. Every character is in a line, hidden in a line, or between the lines."""
    groups: list[list[Atom]] = []
    between = [""]
    count = 0
    for atoms, gap in _lines(text):
        before, inner, after = _trimmed(_merged(atoms))
        if any(isinstance(atom, str) and has_letters(atom) for atom in inner):
            groups.append(inner)
            count += sum(isinstance(atom, Hidden) for atom in inner)
            between[-1] += _plain(before)
            between.append(_plain(after) + gap)
        else:
            between[-1] += _plain(atoms) + gap
    stem = Stem(text, count)
    lines: list[Line] = []
    number = 0
    for group in groups:
        lines.append(Line(group, number, stem))
        number += len(lines[-1].hidden)
    return Protected(lines, between)


def _lines(text: str) -> Iterator[tuple[list[Atom], str]]:
    """The parts of each line, with the gap after it."""
    atoms: list[Atom] = []
    position = 0
    for start, end, kind in (*spans(text), (len(text), len(text), Kind.KEEP)):
        for gap in _GAP.finditer(text, position, start):
            if _parts(text, gap):
                yield [*atoms, text[position : gap.start()]], gap.group()
                atoms, position = [], gap.end()
        atoms.append(text[position:start])
        position = end
        part = text[start:end]
        if kind is Kind.KEEP:
            yield atoms, part
            atoms = []
        else:
            atoms.append(Hidden(part, kind is Kind.MARKUP, kind is Kind.MARKUP, is_letter(part)))


def _parts(text: str, gap: re.Match[str]) -> bool:
    """Whether white space ends a line: anything but blanks, a wide one, or two after a sentence."""
    blank = gap.group()
    return (
        len(blank) > 2
        or any(unicodedata.category(character) != "Zs" for character in blank)
        or (len(blank) == 2 and bool(_SENTENCE_END.search(text[max(0, gap.start() - 2) : gap.start()])))
    )


def _merged(atoms: list[Atom]) -> list[Atom]:
    """Hidden parts with only blanks between them as one: the fewer words, the fewer are lost."""
    merged: list[Atom] = []
    for atom in atoms:
        if isinstance(atom, str):
            if atom:
                merged.append(atom)
            continue
        blank = merged.pop() if len(merged) > 1 and _is_blank(merged[-1]) and not atom.glued else ""
        if merged and isinstance(last := merged[-1], Hidden) and not (blank and last.glued):
            merged[-1] = Hidden(
                f"{last.text}{blank}{atom.text}",
                last.markup and atom.markup,
                last.ordered or atom.ordered,
                last.glued and atom.glued,
            )
        else:
            merged += [blank, atom] if blank else [atom]
    return merged


def _is_blank(atom: Atom) -> bool:
    return isinstance(atom, str) and not atom.strip()


def _trimmed(atoms: list[Atom]) -> tuple[list[Atom], list[Atom], list[Atom]]:
    """A line without white space and markup at its ends, and these."""
    start, end = 0, len(atoms)
    while start < end and _is_edge(atoms[start]):
        start += 1
    while end > start and _is_edge(atoms[end - 1]):
        end -= 1
    before, inner, after = atoms[:start], atoms[start:end], atoms[end:]
    if inner and isinstance(first := inner[0], str):
        kept = first.lstrip()
        before, inner[0] = [*before, first[: len(first) - len(kept)]], kept
    if inner and isinstance(last := inner[-1], str):
        kept = last.rstrip()
        after, inner[-1] = [last[len(kept) :], *after], kept
    return before, inner, after


def _is_edge(atom: Atom) -> bool:
    return atom.markup if isinstance(atom, Hidden) else not atom.strip()


def _plain(atoms: list[Atom]) -> str:
    return "".join(atom.text if isinstance(atom, Hidden) else atom for atom in atoms)
