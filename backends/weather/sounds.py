"""What a name sounds like, in any script: so that "ನ್ಯೂಯಾರ್ಕ್" finds New York without anyone having listed it.

Only the standard library is imported at the top, because `data/build_world.py` loads this file by its path.
"""

import itertools
import re

# Soundex' classes: letters that one script writes for another's. Vowels and half vowels only part them.
CLASSES = str.maketrans("bfpvcgjkqsxzdtlmnr aeiouyhw0123456789", "111122222222334556 " + " " * 18)
DIGITS = "123456"
CITY = re.compile(r"\b(?:city|ciudad(?: de)?)\b")  # left out: other languages call Guatemala City Guatemala
SPELLINGS = {
    ord(letter): other
    for letter, other in zip("wycqxzh ", ("v", "i", "k", "k", "ks", "s", "", ""), strict=True)
}
VOWELS = "aeiou"
SLIGHT = 0.35  # what such a difference counts, next to 1 for another consonant
IDEOGRAPH = re.compile(r"[\u3400-\u9fff]")


def sound(norm: str) -> str:
    """The classes of a normalised Latin name's consonants, each once where they touch; "" if it has none."""
    classes = CITY.sub("", norm).replace("h", "").translate(CLASSES)
    if not all(one in " 123456" for one in classes):
        return ""  # another script
    return re.sub(r"(.)\1+", r"\1", classes).replace(" ", "")


def sound_alikes(sounded: str) -> list[str]:
    """The sound and, of a longer one, those that one consonant tells from it."""
    near = {sounded}
    for n in range(len(sounded) + 1) if len(sounded) > 3 else ():
        head, tail = sounded[:n], sounded[n:]
        near.add(head + tail[1:])
        near.update(head + one + tail for one in DIGITS)
        near.update(head + one + tail[1:] for one in DIGITS)
    return sorted(near)


def unlikeness(one: str, other: str) -> float:
    """Which part of the letters differs; a vowel or a consonant of the same class counts less."""
    one, other = _folded(one), _folded(other)
    above = list(itertools.accumulate((_alone(b) for b in other), initial=0.0))
    for a in one:
        row = [above[0] + _alone(a)]
        for j, b in enumerate(other):
            row.append(min(above[j + 1] + _alone(a), row[j] + _alone(b), above[j] + _instead(a, b)))
        above = row
    return above[-1] / max(len(one), len(other), 1)


def _folded(latin: str) -> str:
    """A spelling in which the letters that scripts write for one another are one: kuching and cucing."""
    return re.sub(r"(.)\1+", r"\1", CITY.sub("", latin).translate(SPELLINGS))


def _alone(letter: str) -> float:
    return SLIGHT if letter in VOWELS else 1.0


def _instead(one: str, other: str) -> float:
    if one == other:
        return 0.0
    if one in VOWELS or other in VOWELS:
        return SLIGHT if (one in VOWELS and other in VOWELS) or {one, other} == {"i", "j"} else 1.0
    return SLIGHT if one.translate(CLASSES) == other.translate(CLASSES) else 1.0


def romanised(name: str) -> str:
    """The name in Latin letters, roughly; "" for one in ideographs, which are read by meaning as well."""
    if IDEOGRAPH.search(name):
        return ""
    from anyascii import anyascii  # 20 ms, and most names are Latin

    return anyascii(name)
