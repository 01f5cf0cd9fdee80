"""What must not be translated is hidden from every engine, and comes back whatever the engine does."""

import random
import re
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backends.translate.engine import Trouble
from backends.translate.pieces import has_words, render_in_pieces
from backends.translate.protection import MASK, protect

KEPT = [
    "{name}", "{0}", "{}", "{user.name!r:>10}", "{0:.2f}", "{ name }", "{{x}}", "{{ user.name | upper }}",
    "{{{raw}}}", "{% if x %}", "<%= x %>", "${x}", "${a + b}", "$HOME", "#{x}", "%{count}", "%s", "%d",
    "%1$s", "%5.2f", "%(x)d", "%(name)s", "%-10s", "%lu", "%@", "%%", "%Y-%m-%d", "%NAME%", "[[page]]",
    "<b>", "</b>", "<br/>", '<a href="x?a=1&b=2" title="a > b">', "<img src='x.png' alt='of a dog'>", "<0>",
    "<x-y:z a=1 b>", "<!-- a note -->", "<code>some code</code>", "&amp;", "&#39;", "&#x27;", "&nbsp;",
    "`code`", "``a ` b``", "`{x}`", "https://example.org/a_b?c=d&e=[2]#f", "http://example.org/{id}/x",
    "https://example.org/{{ user.id }}/edit?at={% now %}",
    "https://en.wikipedia.org/wiki/A_(b)", "www.example.org", "example.com/path", "ftp://x.y/z",
    "mailto:a@b.org", "me.too+x@mail.example.org", "<me@example.org>", "<https://example.org>",
    "\\n", "\\t", "\\u00e9", "C:\\new\\dir", "[^1]", "![](x.png)",
    "{n, number, ::currency/USD}", "{d, date, short}",
]  # fmt: skip
WORDS = [
    "the house",
    "is old",
    "of",
    "We go",
    "Öl",
    "东京",
    "100",
    "5%",
    ".",
    ",",
    "!",
    "'s",
    "(",
    ")",
    "—",
    "🎉",
]


async def in_pieces(text: str, limit: int, ask: Callable[[str], Awaitable[str]]) -> str:
    return (await render_in_pieces(text, limit, ask, "")).text


async def echo(question: str) -> str:
    return question


async def shout(question: str) -> str:
    return question.upper()


@pytest.mark.parametrize("kept", KEPT)
async def test_placeholders_of_every_kind_come_back_as_they_were(kept: str) -> None:
    asked = []

    async def note(question: str) -> str:
        asked.append(question)
        return question.upper()

    text = f"before {kept} after, ({kept}) and {kept}."
    assert await in_pieces(text, 500, note) == f"BEFORE {kept} AFTER, ({kept}) AND {kept}."
    assert not any(kept in question for question in asked)
    assert await in_pieces(kept, 500, shout) == kept
    assert not has_words(kept)


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("a <b>bold</b> word", "A <b>BOLD</b> WORD"),
        ("see [the docs](https://x.y/z 'of it'), please", "SEE [THE DOCS](https://x.y/z 'of it'), PLEASE"),
        ("see ![a dog](dog.png) here", "SEE ![A DOG](dog.png) HERE"),
        ("[![build](b.svg)](https://x.y) is it", "[![BUILD](b.svg)](https://x.y) IS IT"),
        ("see [the docs][1] now", "SEE [THE DOCS][1] NOW"),
        ("[1]: https://x.y 'its title'\nand text", "[1]: https://x.y 'its title'\nAND TEXT"),
        ("this is **very *much* so** and ~~not~~ it", "THIS IS **VERY *MUCH* SO** AND ~~NOT~~ IT"),
        ("use snake_case_name and 2 * 3 * x", "USE SNAKE_CASE_NAME AND 2 * 3 * X"),
        ("{name}'s house", "{name}'S HOUSE"),
        ("caf&eacute; &amp; tea&nbsp;time", "CAF&eacute; &amp; TEA&nbsp;TIME"),
        ("it costs $5, or 50% of {price}", "IT COSTS $5, OR 50% OF {price}"),
        ("100% sure, 50%of it", "100% SURE, 50%OF IT"),
        ("see https://x.y/z. Or (http://a.b).", "SEE https://x.y/z. OR (http://a.b)."),
        ("a < b and c > d & e", "A < B AND C > D & E"),
        ("a [note] of it (here)", "A [NOTE] OF IT (HERE)"),
        ("an unclosed {brace and `tick and <tag", "AN UNCLOSED {BRACE AND `TICK AND <TAG"),
        ("# Title #\n\n* one\n- [ ] two\n3. x\n> four", "# TITLE #\n\n* ONE\n- [ ] TWO\n3. X\n> FOUR"),
        ("| a | `b|c` d |\n|:--|---|\n| e | f |", "| A | `b|c` D |\n|:--|---|\n| E | F |"),
        ("x\n```py\nname = 1\n```\ny\n~~~\nz\n~~~", "X\n```py\nname = 1\n```\nY\n~~~\nz\n~~~"),
        ("> ```\n> code\n> ```\n> said", "> ```\n> code\n> ```\n> SAID"),
        ("title\n~~~~~\ntext", "TITLE\n~~~~~\nTEXT"),
        ("<p>one</p>\n<pre>\ntwo\n</pre>", "<p>ONE</p>\n<pre>\ntwo\n</pre>"),
        ("see <a\n href='x'>the docs</a> now", "SEE <a\n href='x'>THE DOCS</a> NOW"),
        ("{n, plural, one {# item} other {# items}}", "{n, plural, one {# ITEM} other {# ITEMS}}"),
        (
            "you have {n, plural, =0 {none} other {# from {who}}} of {g, select, male {his} other {theirs}}",
            "YOU HAVE {n, plural, =0 {NONE} other {# FROM {who}}} OF {g, select, male {HIS} other {THEIRS}}",
        ),
        ("{a, plural, other {x {b, select, c {d}}}}", "{a, plural, other {X {b, select, c {D}}}}"),
        ("{n, plural, one {unclosed", "{N, PLURAL, ONE {UNCLOSED"),
    ],
)  # fmt: skip
async def test_words_are_translated_and_what_is_round_them_is_not(text: str, translated: str) -> None:
    assert await in_pieces(text, 500, shout) == translated
    assert await in_pieces(text, 500, echo) == text


TEXTS = st.lists(st.sampled_from([*KEPT, *WORDS, " ", " ", "\n", "\n\n"]), max_size=40).map("".join)
SIGNS = st.lists(st.sampled_from([*"{}[]()<>`*_~|%$#&;\\!:/@.,-+ \nab0", "plural", "ZQX"]), max_size=60).map(
    "".join
)


@given(TEXTS | SIGNS, st.integers(1, 200))
@example("a ZQXBB b {x}", 100)
@example("ZQX QZV XVQ VZX QXZ XZV {name} a", 100)
async def test_an_engine_that_changes_nothing_gives_any_markup_back(text: str, limit: int) -> None:
    assert await in_pieces(text, limit, echo) == text


def _hostile(chance: random.Random, question: str) -> str:
    """An answer as no engine should give it, but they do."""
    words = re.split(r"(\s+)", question)
    for place, word in enumerate(words):
        if not MASK.search(word):
            continue
        match chance.randrange(8):
            case 0:
                words[place] = word.lower()
            case 1:
                words[place] = ""
            case 2:
                words[place] = f"{word} {word}"
            case 3:
                other = chance.randrange(0, len(words), 2)
                words[place], words[other] = words[other], word
            case 4:
                words[place] = word[:3] + " " + word[3:]
            case 5:
                words[place] = word.replace("Q", "K")
            case 6:
                words[place] = word.replace("ZQX", "ZQXBB")
    return "".join(words)


WRITTEN = st.lists(st.sampled_from([*KEPT, "house", "old", "we go"]), max_size=20).map(" ".join)


@settings(max_examples=300)
@given(WRITTEN, st.randoms(use_true_random=False), st.integers(20, 300))
async def test_no_placeholder_is_ever_lost_silently(text: str, chance: random.Random, limit: int) -> None:
    async def hostile(question: str) -> str:
        return _hostile(chance, question)

    try:
        answer = await in_pieces(text, limit, hostile)
    except Trouble:
        return
    before = [hidden.text for line in protect(text).lines for hidden in line.hidden]
    rest = answer
    for hidden in sorted(before, key=len, reverse=True):
        assert hidden in rest, (hidden, answer)
        rest = rest.replace(hidden, "\0", 1)
    assert not MASK.search(rest)
    assert sorted(text.split()) == sorted(answer.split())


async def test_a_tag_that_would_close_before_it_opens_is_put_right() -> None:
    async def swaps(question: str) -> str:
        masks = MASK.findall(question)
        return MASK.sub(lambda _: masks.pop(), question.upper())

    assert await in_pieces("a <b>bold</b> word", 500, swaps) == "A <b>BOLD</b> WORD"
    assert await in_pieces("{a} is {b} here", 500, swaps) == "{b} IS {a} HERE"  # as languages do


async def test_what_only_stands_for_a_placeholder_never_reaches_the_caller() -> None:
    async def mixes(question: str) -> str:
        return "Zqxbb is what another text said."

    with pytest.raises(Trouble, match="another text's"):
        await in_pieces("We saw {a} and {b}.", 500, mixes)


async def test_lines_that_an_engine_parts_elsewhere_keep_their_placeholders() -> None:
    async def parts_elsewhere(question: str) -> str:
        return " ".join(question.split("\n")).replace(" ", "\n", question.count("\n")).upper()

    text = "we saw {a} and {b}\nthen {c} came\nthen {d} went"
    assert await in_pieces(text, 500, parts_elsewhere) == ("WE SAW {a} AND {b}\nTHEN {c} CAME\nTHEN {d} WENT")


async def test_a_loss_costs_the_line_that_lost_it_and_no_other() -> None:
    asked = []

    async def drops(question: str) -> str:
        asked.append(question)
        return question.upper().replace("ZQXBC", "")

    text = "hello {a}\nbye {b}\nso long {c}"
    assert await in_pieces(text, 500, drops) == "HELLO {a}\nBYE {b}\nSO LONG {c}"
    assert asked == ["hello ZQXBB\nbye ZQXBC\nso long ZQXBD", "bye ZQXBC", "bye"]
    told = await render_in_pieces(text, 500, drops, "good")
    assert told.quality == "good"
    assert told.notices == (
        "Placeholders came back spoilt in 1 line; they were put back, and the words between them translated "
        "by themselves.",
    )
    assert (await render_in_pieces(text, 500, shout, "good")).notices == ()


async def test_half_of_what_stands_for_a_placeholder_is_not_taken_for_a_word() -> None:
    async def adds(question: str) -> str:
        return f"{question.upper()} zqx" if MASK.search(question) else question.upper()

    assert await in_pieces("we saw {a}", 500, adds) == "WE SAW {a}"
