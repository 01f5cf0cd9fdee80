"""How near two spellings are, and which spellings are one slip of the finger away."""

from collections.abc import Iterator

# Slips with letters that were not typed are tried for these only; 700 spellings of a 12 letter name.
ALPHABET = "abcdefghijklmnopqrstuvwxyz "


SHORT = 12  # letters, up to which two swaps are tried; a longer name keeps trigrams
MOST_SLIPS = 3  # in any name; nobody makes more who means it


def slips_allowed(word: str, letters: int = 4) -> int:
    """How many slips a name of this length may hold and be taken for another: one in so many letters."""
    return min(len(word) // letters, MOST_SLIPS)


def distance(one: str, other: str, most: int) -> int:
    """Damerau-Levenshtein: insertions, deletions, replacements and swapped neighbours; `most + 1` if more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if before and j > 1 and a == other[j - 2] and b == one[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most and min(above) > most:  # two rows, because a swap reaches back over one
            return most + 1
        before, above = above, row
    return min(above[-1], most + 1)


def trigrams(word: str) -> set[str]:
    """Every three neighbouring characters; none for a shorter word."""
    return {word[n : n + 3] for n in range(len(word) - 2)}


def one_slip_away(word: str) -> set[str]:
    """Every spelling one slip away, and those with two swaps, which leave a short name no trigram."""
    swapped = set(_swapped(word))
    near = swapped.union(*(_swapped(once) for once in swapped)) if len(word) <= SHORT else swapped
    for n in range(len(word) + 1):
        head, tail = word[:n], word[n:]
        near.add(head + tail[1:])
        near.update(head + letter + tail for letter in ALPHABET)
        near.update(head + letter + tail[1:] for letter in ALPHABET)
    near.discard(word)
    return near


def _swapped(word: str) -> Iterator[str]:
    for n in range(len(word) - 1):
        yield word[:n] + word[n + 1] + word[n] + word[n + 2 :]
