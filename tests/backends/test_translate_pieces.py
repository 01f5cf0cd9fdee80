"""Texts are taken apart and put together byte for byte, whatever they hold and wherever they are cut."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.translate.engine import Trouble
from backends.translate.pieces import has_letters, split, translate_in_pieces, whole_characters

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)  # halves of surrogate pairs too
PROSE = st.lists(
    st.sampled_from(
        ["One.", "Two two!", " ", "  ", "\n", "\r\n", "\n\n", "\t", "🎉", "東京。", "e\u0301", "\0", "…"]
    ),
    max_size=60,
).map("".join)


@given(ANYTHING | PROSE, st.integers(1, 60))
@example("\ud800", 1)
@example("👩\u200d👩\u200d👧 x", 2)
def test_the_parts_of_any_text_joined_are_the_text(text: str, limit: int) -> None:
    assert "".join(split(text, limit)) == text


@given(ANYTHING | PROSE, st.integers(4, 60))
@example("a\uffffb\ufffec\ufdd0d\0e\u2028f\ud800g", 60)
def test_no_part_is_longer_than_the_limit_and_none_begins_or_ends_in_white_space(
    text: str, limit: int
) -> None:
    for part in split(text, limit)[::2]:
        assert len(part.encode()) <= limit
        assert part == part.strip()
        assert not set(part) & set("\n\r\0\uffff\ufffe\ufdd0\u2028\ud800")


@given(ANYTHING | PROSE, st.integers(4, 60))
async def test_an_engine_that_changes_nothing_gives_any_text_back(text: str, limit: int) -> None:
    asked = []

    async def echo(question: str) -> str:
        asked.append(question)
        return question

    assert await translate_in_pieces(text, limit, echo) == text
    assert all(len(question.encode()) <= limit and has_letters(question) for question in asked)


@given(PROSE, st.integers(4, 60))
async def test_an_engine_that_loses_line_ends_loses_none_of_ours(text: str, limit: int) -> None:
    async def joins(question: str) -> str:
        return " ".join(question.split())

    assert (await translate_in_pieces(text, limit, joins)).split() == text.split()
    kept = await translate_in_pieces(text, limit, joins)
    assert [c for c in kept if c in "\r\n\0"] == [c for c in text if c in "\r\n\0"]


async def test_lines_are_asked_together_and_a_blank_line_stays_blank() -> None:
    asked = []

    async def shout(question: str) -> str:
        asked.append(question)
        return question.upper()

    text = "  Title\n\nfirst line \r\n\tsecond line\n🎉\nthird\n"
    assert await translate_in_pieces(text, 500, shout) == text.upper()
    assert asked == ["Title\n\nfirst line\nsecond line\n\nthird"]


async def test_what_has_no_letters_is_never_asked() -> None:
    async def never(question: str) -> str:
        raise AssertionError(question)

    for text in ("", " \n", "🎉🎉", "!!! ???", "1, 2\n3", "\0", "\ud800"):
        assert await translate_in_pieces(text, 10, never) == text


async def test_an_empty_answer_is_a_failure_of_this_text_alone() -> None:
    async def nothing(question: str) -> str:
        return " \n "

    with pytest.raises(Trouble, match="gave no translation") as caught:
        await translate_in_pieces("Hello", 100, nothing)
    assert not caught.value.rest


def test_a_long_line_is_cut_after_a_sentence_then_a_word_then_a_character() -> None:
    assert split("One two. Three four. Five", 19) == ["One two.", " ", "Three four. Five"]
    assert split("one two three four", 9) == ["one two", " ", "three", " ", "four"]
    assert split("一二。三四。", 12) == ["一二。", "", "三四。"]
    assert split("abcdefgh", 3) == ["abc", "", "def", "", "gh"]
    assert split("abe\u0301f", 3) == ["ab", "", "e\u0301", "", "f"]


@pytest.mark.parametrize(
    "text", [" " * 200_000 + "a", "a " * 100_000, "a\n" * 100_000, "a" * 200_000, "." * 200_000]
)
async def test_the_work_grows_with_the_text_and_not_faster(text: str) -> None:
    async def echo(question: str) -> str:
        return question

    started = time.perf_counter()
    assert await translate_in_pieces(text, 499, echo) == text
    assert time.perf_counter() - started < 5


def test_surrogate_pairs_become_their_character_and_halves_are_replaced() -> None:
    assert whole_characters("a\ud83c\udf89b") == "a🎉b"
    assert whole_characters("a\ud83cb\udf89") == "a\ufffdb\ufffd"
    assert whole_characters("\ufeffa🎉") == "\ufeffa🎉"
