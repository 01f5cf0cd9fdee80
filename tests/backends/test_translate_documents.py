"""Documents: structure and code stay, prose goes to be translated and comes back in its form."""

import math
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translate.documents import PACK, Document, packed, structure_of
from backends.translate.markdown import LONGEST, Markdown, Part, Plain
from backends.translate.results import TextResult
from backends.translate.wrapping import Shape
from errors import Refusal, Unavailable, Unknown

DOCUMENT = """\
---
title: Not for translation
---

# The first heading #

A paragraph of two lines that was wrapped by
hand at some width, with `code` in it.

Setext heading
--------------

- An item
- [ ] A task
  that goes on
  1. A nested one

> A quotation
> of two lines

```python
print("Hello there")
```

    indented code

| Name | What it is |
|------|:----------:|
| `x`  | The first \\| value |

Name | What
--- | ---
bare | table

<!-- a comment
of two lines -->

<pre>
kept as it is
</pre>

[reference]: https://example.com "Title"
[^1]: A footnote.

$$
x = y
$$

Line with a hard break{two}
and the next one\\
and the last.

***

The end""".replace("{two}", "  ")

TRANSLATED = [
    "The first heading",
    "A paragraph of two lines that was wrapped by hand at some width, with `code` in it.",
    "Setext heading", "An item", "A task that goes on", "A nested one", "A quotation of two lines",
    "Name", "What it is", "`x`", "The first \\| value", "Name", "What", "bare", "table", "A footnote.",
    "Line with a hard break", "and the next one", "and the last.", "The end",
]  # fmt: skip


def taken_apart(text: str, structure: Markdown | Plain | None = None) -> list[Part]:
    structure = structure or Markdown()
    parts = [part for line in text.splitlines(keepends=True) for part in structure.feed(line)]
    return [*parts, *structure.end()]


def together(parts: list[Part]) -> str:
    return "".join(part.shape.fit(part.text, part.text) if part.shape else part.text for part in parts)


def texts(parts: list[Part]) -> list[str]:
    return [part.text for part in parts if part.shape and part.text]


def test_prose_is_translated_and_nothing_else() -> None:
    assert texts(taken_apart(DOCUMENT)) == TRANSLATED


def test_a_document_with_nothing_translated_is_the_document() -> None:
    assert together(taken_apart(DOCUMENT)) == DOCUMENT
    windows = DOCUMENT.replace("\n", "\r\n")
    assert together(taken_apart(windows)) == windows


@pytest.mark.parametrize(
    "text",
    [
        "```\ncode\n\n# code\n", "~~~ py\n```\ncode\n~~~\n",
        "````\n```\ncode\n````\n", "- a\n\n      code\n", "> ```\n> code\n> ```\n",
        "1. ```\n   code\n   ```\n", "    code\n\n    more\n", "\tcode\n", "<!-- one line -->\n",
        "<script>\nvar x\n</script>\n",
        "+++\na = 1\n+++\n", "$$ x $$\n", "---\n", "* * *\n", "===\n", "|---|---|\n", "[a]: b\n",
        "::: note\n", "{% include x %}\n",
        "```\nnever closed\n", "", "\n\n \n", "![[embed]]\n",
    ],
)  # fmt: skip
def test_what_is_no_prose_is_not_touched(text: str) -> None:
    parts = taken_apart(text)
    assert "code" not in " ".join(texts(parts))
    assert together(parts) == text
    assert texts(parts) in ([], ["a"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# *Title* {#id}\n", ["*Title*"]), ("- one\n- two\n", ["one", "two"]), ("* a\n  b\n", ["a b"]),
        ("A list:\n- one\n", ["A list:", "one"]), ("> a\nb\n", ["a", "b"]),
        ("*emphasis* at the start\n", ["*emphasis* at the start"]),
        ("First sentence.\nSecond one.\n", ["First sentence.", "Second one."]),
        ("- item\n\n  its second paragraph\n", ["item", "its second paragraph"]),
        ("a | b\n--|--\nc | d\n\nafter | it\n", ["a", "b", "c", "d", "after | it"]),
        ("| a `x|y` | b |\n", ["a `x|y`", "b"]), ("Term\n: What it means\n", ["Term", "What it means"]),
        ("<b>bold</b> text\n", ["<b>bold</b> text"]), ("2020. was a year\n", ["was a year"]),
    ],
)  # fmt: skip
def test_prose_within_structure_is_found(text: str, found: list[str]) -> None:
    assert texts(taken_apart(text)) == found
    assert together(taken_apart(text)) == text


def test_plain_text_that_was_wrapped_is_one_text_and_other_lines_are_each_their_own() -> None:
    wrapped = (
        "This text was wrapped at about fifty characters\nby somebody who wrote it in an editor, long ago,\n"
        "as one did.\n"
    )
    assert len(texts(taken_apart(wrapped, Plain()))) == 1
    assert together(taken_apart(wrapped, Plain())) == wrapped
    poem = "Roses are red\n  Violets are blue and so are many other things\n# Sugar\n\n- and so\n"
    assert texts(taken_apart(poem, Plain())) == [
        "Roses are red", "Violets are blue and so are many other things", "# Sugar", "- and so",
    ]  # fmt: skip
    assert together(taken_apart(poem, Plain())) == poem


def test_a_translation_takes_the_form_of_its_original() -> None:
    wide = Shape(20, 2, "  ", "\r\n")
    assert (
        wide.fit("x", "uno dos tres cuatro cinco seis siete")
        == "uno dos tres\r\n  cuatro cinco seis\r\n  siete"
    )
    assert wide.fit("x", "uno dos tres `a b c d` cinco") == "uno dos tres\r\n  `a b c d` cinco"
    assert wide.fit("x", "uno dos tres ocho - cinco") == "uno dos tres ocho -\r\n  cinco"
    assert Shape(cell=True).fit("or", "o|u\no") == "o\\|u o"
    assert Shape(start=True).fit("One. And", "1. Y") == "1\\. Y"
    assert Shape(start=True).fit("Minus", "- menos") == "\\- menos"
    assert Shape(start=True).fit("1. And", "1. Y") == "1. Y"
    assert Shape().fit("a", "- b") == "- b"


MARKS = st.sampled_from(
    [
        "# ", "- ", "> ", "1. ", "```", "~~~", "|", "---", "    ", "\t", "`", "<!--", "-->", "$$", "<pre>",
        "</pre>", "[a]: ", "  ", "\\", "word", "word.", "ж", "\n", "\n", "\r\n",
    ]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(MARKS | st.text(max_size=3), max_size=40).map("".join))
def test_nothing_of_any_document_is_lost(text: str) -> None:
    for structure in (Markdown(), Plain()):
        done = together(taken_apart(text, structure))
        assert "".join(done.split()) == "".join(text.split())
        assert len(done.splitlines()) <= max(len(text.splitlines()), 1)


async def translate(
    path: str, text: str, answers: dict[str, str] | None = None, fails: tuple[str, ...] = ()
) -> tuple[str, Document]:
    written = bytearray()

    async def ask(asked: str) -> TextResult:
        if any(word in asked for word in fails):
            raise Unavailable("No engine could.")
        answer = (answers or {}).get(asked, asked.upper())
        return TextResult(
            text=answer, provider="loud", source="en", target="es", quality="rough; 2 words unknown"
        )

    async def write(data: bytes) -> None:
        written.extend(data)

    async def report(done: int) -> None: ...

    async def lines() -> AsyncIterator[str]:
        for line in text.splitlines(keepends=True):
            yield line

    document = Document(ask, write, report)
    await document.run([], packed(lines(), structure_of(path)))
    return written.decode(), document


async def test_a_whole_document_is_translated_in_order() -> None:
    done, document = await translate("a.md", DOCUMENT)
    for text in TRANSLATED:
        assert together([Part(text)]).split()[0].upper() in done
    assert 'print("Hello there")' in done
    assert "title: Not for translation" in done
    assert "| NAME | WHAT IT IS |\n|------|:----------:|\n" in done
    result = document.result("a.es.md", "en", "es")
    assert (result.providers, result.quality, result.texts, result.untranslated) == (
        ("loud",),
        "loud: rough",
        len(TRANSLATED),
        0,
    )
    assert result.size == len(done.encode())
    long = "\n\n".join(f"Paragraph number {n} of many words." for n in range(3_000))
    done, _ = await translate("a.md", long)
    assert done == long.upper()


@pytest.mark.parametrize("name", ["a.md", "a.txt"])
async def test_a_book_in_one_line_is_translated_bit_by_bit(name: str) -> None:
    book = "It was a dark night.  The rain fell in torrents. " * 5_000
    done, document = await translate(name, book)
    assert done == book.upper()
    assert document.result(name, "en", "es").texts == math.ceil(len(book) / LONGEST)


async def test_texts_that_come_back_in_another_number_are_asked_for_one_by_one() -> None:
    done, _ = await translate("a.md", "one\n\ntwo\n", {"one\n\ntwo": "uno dos", "one": "uno", "two": "dos"})
    assert done == "uno\n\ndos\n"


async def test_what_nobody_can_translate_stands_as_it_was_and_that_is_said() -> None:
    done, document = await translate("a.md", "# one\n\nbad line\nof two\n\nthree\n", fails=("bad",))
    assert done == "# ONE\n\nbad line\nof two\n\nTHREE\n"
    result = document.result("x", "en", "es")
    assert result.untranslated == 1
    assert result.notices == (
        "No engine could.",
        "1 of 3 texts could not be translated and stand as they were.",
    )


async def test_a_document_that_nobody_can_translate_is_refused_before_long() -> None:
    with pytest.raises(Unavailable, match="No engine could"):
        await translate("a.md", "bad\n\nbad\n", fails=("bad",))
    many = "good\n\n" + "bad\n\n" * 10_000
    with pytest.raises(Unavailable, match="No engine could"):
        await translate("a.md", many, fails=("bad",))


@pytest.mark.parametrize("path", ["a.py", "a.html", "a.pdf", "a.json", "dir/a.docx"])
def test_what_is_no_prose_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(Unknown, match=r"neither text \(\.txt\) nor Markdown"):
        structure_of(path)


async def test_a_pack_holds_about_one_question() -> None:
    async def lines() -> AsyncIterator[str]:
        for n in range(1_000):
            yield f"Line {n} of a long document.\n"
            yield "\n"

    packs = [pack async for pack in packed(lines(), Markdown())]
    assert all(pack.size <= PACK for pack in packs)
    assert len(packs) < 10
    assert issubclass(Unavailable, Refusal)
