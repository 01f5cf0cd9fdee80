"""One spelling for a place name: what world.db is built with and what a search for a place is turned into.

Only the standard library is imported, because `data/build_world.py` loads this file by its path in an
environment that has none of the server's dependencies.
"""

import unicodedata

# Letters that Unicode does not take apart, as people write them without that key. Casefold does ß.
LETTERS = str.maketrans(
    {
        "ı": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ħ": "h",
        "ŧ": "t", "ŋ": "n", "ə": "e", "ǝ": "e", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ƴ": "y", "ɛ": "e", "ɔ": "o",
        "ی": "ي", "ى": "ي", "ک": "ك", "ـ": "",
    }
)  # fmt: skip

# Canonical combining classes of the marks that make another letter and not an accented one: nukta,
# the voicing of kana, and the virama of the Indic scripts.
LETTER_MARKS = {7, 8, 9}


def normalise(text: str) -> str:
    """The name without accents, case and punctuation, its words parted by one space; "" if none is left.

    Names in every script keep their letters, so "Köln" and "koln" are one name and so are "東京" and
    "東京 ". Doing it twice changes nothing.
    """
    # Twice, because the compatibility forms (fullwidth, mathematical) hide capitals from the first.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).casefold()
    kept = "".join(_kept(char) for char in folded.translate(LETTERS))
    return " ".join(unicodedata.normalize("NFC", kept).split())


def _kept(char: str) -> str:
    """The character itself, nothing for an accent or an invisible one, and a space for punctuation."""
    if char.isascii():
        return char if char.isalnum() else " "
    combining = unicodedata.combining(char)
    if combining:
        return char if combining in LETTER_MARKS else ""
    category = unicodedata.category(char)
    if category == "Cf" or "\ufe00" <= char <= "\ufe0f":  # the latter choose how an emoji looks
        return ""
    # ʻ and ʼ count as letters in Unicode; in names they are typed as an apostrophe.
    return char if category[0] in "LMN" and not "ʰ" <= char <= "˿" else " "
