"""Texts are taken apart and put together byte for byte, whatever they hold and wherever they are cut."""

import time
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.translate.engine import Trouble
from backends.translate.pieces import cut, in_bytes, render_in_pieces, whole_characters
from backends.translate.protection import has_letters

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)  # halves of surrogate pairs too
PROSE = st.lists(
    st.sampled_from(
        ["One.", "Two two!", " ", "  ", "\n", "\r\n", "\n\n", "\t", "🎉", "東京。", "e\u0301", "\0", "…"]
    ),
    max_size=60,
).map("".join)
LINE = st.text(st.sampled_from("ab. é東🎉\u0301\u200d"), min_size=1, max_size=80).map(str.strip)


async def in_pieces(text: str, limit: int, ask: Callable[[str], Awaitable[str]]) -> str:
    return (await render_in_pieces(text, limit, ask, "")).text


async def echo(question: str) -> str:
    return question


@given(LINE, st.integers(1, 30), st.sampled_from([in_bytes, len]))
@example("👩\u200d👩\u200d👧 x", 2, len)
def test_the_parts_of_a_line_joined_are_the_line_and_none_is_too_long(
    line: str, limit: int, size: type[int]
) -> None:
    parts = cut(line, limit, size)
    assert "".join(parts) == line
    for part in parts[::2]:
        assert size(part) <= limit or len(part) == 1
        assert part == part.strip()


@given(ANYTHING | PROSE, st.integers(1, 60))
@example("a\uffffb\ufffec\ufdd0d\0e\u2028f\ud800g", 60)
async def test_an_engine_that_changes_nothing_gives_any_text_back(text: str, limit: int) -> None:
    asked = []

    async def note(question: str) -> str:
        asked.append(question)
        return question

    assert await in_pieces(text, limit, note) == text
    for question in asked:
        assert in_bytes(question) <= limit or len(question) == 1
        assert has_letters(question)
        assert question == question.strip()
        assert not set(question) & set("\r\0\uffff\ufffe\ufdd0\u2028\ud800")


@given(PROSE, st.integers(4, 60))
async def test_an_engine_that_loses_line_ends_loses_none_of_ours(text: str, limit: int) -> None:
    async def joins(question: str) -> str:
        return " ".join(question.split())

    kept = await in_pieces(text, limit, joins)
    assert kept.split() == text.split()
    assert [c for c in kept if c in "\r\n\0"] == [c for c in text if c in "\r\n\0"]


async def test_lines_are_asked_together_and_a_blank_line_stays_blank() -> None:
    asked = []

    async def shout(question: str) -> str:
        asked.append(question)
        return question.upper()

    text = "  Title\n\nfirst line \r\n\tsecond line\n🎉\nthird\n"
    assert await in_pieces(text, 500, shout) == text.upper()
    assert asked == ["Title\n\nfirst line\nsecond line\n\nthird"]


async def test_columns_and_two_blanks_after_a_sentence_stay_as_they_are() -> None:
    async def tidy(question: str) -> str:
        return "\n".join(" ".join(line.upper().split()) for line in question.split("\n"))

    text = "name\tvalue   unit\nOne.  Two"
    assert await in_pieces(text, 500, tidy) == text.upper()


@pytest.mark.parametrize("text", ["", " \n", "🎉🎉", "!!! ???", "1, 2\n3", "\0", "\ud800"])
async def test_what_has_no_letters_is_never_asked(text: str) -> None:
    async def never(question: str) -> str:
        raise AssertionError(question)

    assert await in_pieces(text, 10, never) == text


async def test_an_empty_answer_is_a_failure_of_this_text_alone() -> None:
    async def nothing(question: str) -> str:
        return " \n "

    with pytest.raises(Trouble, match="gave no translation") as caught:
        await in_pieces("Hello", 100, nothing)
    assert not caught.value.rest


def test_a_long_line_is_cut_after_a_sentence_then_a_word_then_a_character() -> None:
    assert cut("One two. Three four. Five", 19) == ["One two.", " ", "Three four. Five"]
    assert cut("one two three four", 9) == ["one two", " ", "three", " ", "four"]
    assert cut("一二。三四。", 12) == ["一二。", "", "三四。"]
    assert cut("一二。三四。", 4, len) == ["一二。", "", "三四。"]
    assert cut("abcdefgh", 3) == ["abc", "", "def", "", "gh"]
    assert cut("abe\u0301f", 3) == ["ab", "", "e\u0301", "", "f"]
    assert cut("北京word北京", 8, in_bytes) == ["北京", "", "word北", "", "京"]


@pytest.mark.parametrize(
    "text",
    [
        " " * 25_000 + "a", "a " * 12_500, "a\n" * 5_000, "a" * 25_000, "." * 25_000, "a  " * 8_000,
        "{" * 25_000, "{a," * 8_000, "{a, plural," * 2_500, "[" * 25_000 + "a", "[a](" * 6_000,
        "`a" * 6_000, "``a`" * 6_000, "<a " * 8_000, "<code>" * 4_000, "<!--" * 6_000, "&a" * 12_500,
        "a@" * 12_500, "a." * 12_500, "http://" * 3_500, "*a" * 12_500, "a *b " * 5_000, "%(" * 12_500,
        "~~~\n" * 3_001, "> " * 12_500 + "a", "|a" * 5_000, "\\" * 25_000, "{a} b " * 4_000,
        '<a b="' * 4_000, "a://(" * 5_000,
    ],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
async def test_the_work_grows_with_the_text_and_not_faster(text: str) -> None:
    started = time.process_time()
    assert await in_pieces(text, 499, echo) == text
    assert time.process_time() - started < 1


def test_surrogate_pairs_become_their_character_and_halves_are_replaced() -> None:
    assert whole_characters("a\ud83c\udf89b") == "a🎉b"
    assert whole_characters("a\ud83cb\udf89") == "a\ufffdb\ufffd"
    assert whole_characters("\ufeffa🎉") == "\ufeffa🎉"
