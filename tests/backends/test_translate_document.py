"""Documents are taken apart while they are read: nothing is lost, code stays, and little is held."""

import random
import re
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.translate.document import Document, Part
from backends.translate.pieces import translate_in_pieces

MARKDOWN = """\
---
title: A page
tags: [one, two]
---
# The title

Some text with `code` and
a second line.

```python
name = "text"

~~~
```

* an item

    a paragraph of the item

  * another

Out of the list.

    indented = code

    more = code
A last paragraph
    goes on here.

<!-- a note

over lines -->
<pre>
as it is
</pre>
$$
x = y
$$
~~~~
open to the end
"""
TEXT = """\
# The title

Some text with `code` and
a second line.

* an item

    a paragraph of the item

  * another

Out of the list.

A last paragraph
    goes on here.

"""


def parts(chunks: Iterable[str], markdown: bool = True, most: int = 4_000) -> list[Part]:
    document = Document(markdown, most)
    return [part for chunk in chunks for part in document.feed(chunk)] + list(document.close())


def to_translate(text: str, markdown: bool = True) -> list[str]:
    return [part.text for part in parts([text], markdown) if part.translate]


@given(
    st.lists(
        st.sampled_from(
            [
                *("---\n", "a: b\n", "```\n", "~~~\r\n", "    code\n", "- item\n", "\n", " \n", "text. "),
                *("<pre>\n", "</pre>\n", "<!--", "-->\n", "$$\n", "> quote\n", "long " * 20, "\tx\n"),
                *("\u2028", "\x85", "\r"),
            ]
        )
        | st.text(max_size=9),
        max_size=40,
    ),
    st.booleans(),
    st.integers(1, 60),
)  # fmt: skip
def test_the_parts_joined_are_the_document(chunks: list[str], markdown: bool, most: int) -> None:
    found = parts(chunks, markdown, most)
    assert "".join(part.text for part in found) == "".join(chunks)
    assert all(len(part.text) <= most for part in found if part.translate)


def test_code_headers_and_formulas_stay_and_text_is_translated() -> None:
    assert re.sub(r"\n{3,}", "\n\n", "".join(to_translate(MARKDOWN))) == TEXT
    assert to_translate(MARKDOWN, markdown=False) == [MARKDOWN]


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_it_makes_no_difference_how_the_document_is_cut_for_reading(size: int) -> None:
    chunks = [MARKDOWN[at : at + size] for at in range(0, len(MARKDOWN), size)]
    assert parts(chunks) == parts([MARKDOWN])


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("---\n\nA line above", "A line above"),
        ("---\nNo header at all, but text", "No header at all, but text"),
        ("a\n---\nb: c\n", "a\n---\nb: c\n"),
        ("> ```\n> code\n> ```\n> text\n", "> text\n"),
        ("1. item\n\n       code of it?\n", "1. item\n\n       code of it?\n"),
        ("<pre>one line</pre>\ntext\n", "<pre>one line</pre>\ntext\n"),
        ("```\nnever closed\n\ntext", ""),
        ("`` ` ``` not a fence\n", "`` ` ``` not a fence\n"),
        ("\tcode\n\n\tcode\n\ntext", "\n\ntext"),
        ("", ""),
    ],
)
def test_the_odd_places_of_markdown(text: str, translated: str) -> None:
    assert "".join(to_translate(text)) == translated


def test_parts_end_at_paragraphs_where_they_can() -> None:
    text = "One paragraph of text.\n" * 3 + "\n" + "Another paragraph of text.\n" * 3
    assert [part.text for part in parts([text], most=100)] == [text[:70], text[70:]]
    sentences = "A sentence of some words. " * 30
    assert all(part.text.strip() in ("A sentence of some words.", "") for part in parts([sentences], most=30))


@pytest.mark.parametrize(
    "paragraph", ["A line of text.\n" * 9 + "\n", "```\n" + "code\n" * 30 + "```\n", "words "]
)
def test_five_megabytes_are_held_a_part_at_a_time(paragraph: str) -> None:
    document, length = Document(markdown=True), 0
    chunk = paragraph * (8_192 // len(paragraph))
    tracemalloc.start()
    for _ in range(20):  # a part of it: what is held does not grow
        length += sum(len(part.text) for part in document.feed(chunk))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    length += sum(len(part.text) for part in document.close())
    assert length == 20 * len(chunk)
    assert most < 150_000


async def test_a_document_comes_back_whole_from_an_engine_that_changes_only_words() -> None:
    async def shout(question: str) -> str:
        return question.upper()

    chance = random.Random(1)
    written = "".join(
        [
            await translate_in_pieces(part.text, chance.randrange(40, 500), shout)
            if part.translate
            else part.text
            for part in parts([MARKDOWN], most=200)
        ]
    )
    assert written.upper() == MARKDOWN.upper()
    for kept in ('name = "text"', "`code`", "    indented = code\n", "title: A page", "as it is", "x = y"):
        assert kept in written
    assert "SOME TEXT WITH `code` AND\nA SECOND LINE." in written
