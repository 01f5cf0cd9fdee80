"""Apertium kept alive: the same answers as the command line, whatever is cancelled, killed or odd."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.translate.apertium import Apertium
from backends.translate.engine import Trouble
from backends.translate.live import LivePair
from backends.translate.stream import from_stream, to_stream
from tests.fakes import apertium as fake

SENTENCES = [
    f"{subject} {verb} {thing}{end}"
    for subject in ("The old city", "My sister", "A zork", "We")
    for verb in ("has seen", "opened", "doesn't find", "can buy")
    for thing, end in (
        ("the house", "."),
        ("three books and a river", "?"),
        ("what I said in Madrid", "!"),
        ("it", ""),
    )
]
ODD = [
    "[x] {name} ^word$ a/b <b>bold</b> foo@bar.com ~5 \\n *star* #tag",
    "$5 * 3 = 15% & more", "C:\\dir\\file~1",
    "a  double   space", "tab\there", "\"quoted\" 'words' (and) [more]",
    "café naïve Ünïcode 北京 🎉 ẞ so\u00adft",
    "http://example.org/a?b=1&c=[2]", "{{x}} %s {0} ${y} `code`",
    "~ a ~", "*zork* *zork", "^", "@", "a@", "[", "\\x",
    "<a href=\"x\">link</a>", "...", "x.[]y", "][", "a\u200bb zero", "¿Qué? — … «no»",
]  # fmt: skip
ODDER = [
    "The house \ufffd is old", "house[[t:b:abc]]old[[/]] city", "the \\[house\\]", "^house/casa$",
    "{^house$}", "^house<n>$", "~~~house~~~", "**", "@house", "#house", "house#", "\\", "house\\",
    "soft \u00ad", "\u00ad", "\u200fhouse\u200e", "\u2060house", "e\u0301 house", "$^", "//", ".[][",
    "ho\u00a0use", "\x7fhouse", "house\u0085old", "1,000.50 houses", "don\u2019t", "İ ßẞ ŉ ﬁre",
    "🏳️\u200d🌈 house", "*^*", "\U0010fffd \ue000 house", "𝐡𝐨𝐮𝐬𝐞",
    "a*b*c", "@@", "house [#7]", "a" * 3_000, "x " * 500,
]  # fmt: skip


@asynccontextmanager
async def opened(modes: Path = fake.MODES, **bounds: Any) -> AsyncIterator[Apertium]:
    engine = Apertium(modes, **bounds)
    engine.load()
    try:
        yield engine
    finally:
        await engine.aclose()
        assert processes() == []


@asynccontextmanager
async def alive(pair: str) -> AsyncIterator[LivePair]:
    """The programs themselves, which get each text as it is."""
    live = LivePair(fake.MODES / f"{pair}.mode")
    try:
        yield live
    finally:
        await live.aclose()
        assert processes() == []


def processes() -> list[int]:
    """Every process that this test has started and that is not gone."""
    return [child for child in _children() if child not in _OTHERS]


_OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    _OTHERS.clear()
    _OTHERS.update(_children())


def _children() -> list[int]:
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            children.append(int(stat.parent.name))
    return children


async def ask(engine: Apertium, text: str, source: str = "en", target: str = "es") -> str:
    pair = engine.pair(source, target)
    assert pair is not None
    return (await engine.translate(text, pair)).text


def command_line(texts: list[str], pair: str) -> list[str]:
    """What `apertium -u` makes of each text by itself; started side by side, for each takes 0.2 s."""

    def start(text: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            f'printf %s "$TEXT" | apertium -u {pair}',
            shell=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "TEXT": text},
        )

    answers = []
    for at in range(0, len(texts), 8):
        for process in [start(text) for text in texts[at : at + 8]]:
            answers.append(process.communicate()[0].decode().strip())
    return answers


@pytest.fixture(params=["eng-spa", "eng-cat"])
def real(request: pytest.FixtureRequest) -> str:
    return fake.installed(request.param)


async def test_answers_are_the_command_lines(real: str) -> None:
    """Sixty sentences and oddities as one document, for the command line takes 0.2 s to start."""
    text = "\n\n".join(random.Random(7).sample(SENTENCES, 40) + [odd for odd in ODD if _has_letters(odd)])
    async with alive(real) as live:
        answer, _ = await live.translate(text)
    (expected,) = await asyncio.to_thread(command_line, [text], real)
    assert answer.split("\n\n") == expected.split("\n\n")
    assert text.count("\n\n") >= 50


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_each_answer_by_itself_is_the_command_lines(real: str) -> None:
    texts = SENTENCES[::8] + ODD + ODDER
    async with alive(real) as live:
        answers = [(await live.translate(text))[0].strip() for text in texts]
    expected = await asyncio.to_thread(command_line, texts, real)
    assert dict(zip(texts, answers, strict=True)) == dict(zip(texts, expected, strict=True))


def _has_letters(text: str) -> bool:
    return any(character.isalpha() for character in text)


async def test_a_page_keeps_its_lines_and_reads_like_the_command_lines() -> None:
    fake.installed("eng-spa")
    text = "The houses\n\nof the city\nare very old.\n\n\tThe end"
    async with opened() as engine:
        answer = await ask(engine, f"  {text}\n\n\0 {text} \n")
    (expected,) = await asyncio.to_thread(command_line, [text], "eng-spa")
    assert answer == f"  {expected}\n\n\0 {expected} \n"


async def test_unknown_words_are_counted_and_not_marked() -> None:
    fake.installed("eng-spa")
    async with opened() as engine:
        pair = engine.pair("en", "es")
        assert pair is not None
        two = await engine.translate("The zork and the blarg *are* old.", pair)
        assert (two.text, two.quality) == (
            "El zork y el blarg *es* viejo.", "rule-based, rough; 2 words unknown",
        )  # fmt: skip
        assert (await engine.translate("The city is old.", pair)).quality == "rule-based, rough"
        assert (await engine.translate("The zork.", pair)).quality == "rule-based, rough; 1 word unknown"


async def test_regions_that_are_installed_are_used_and_others_are_told(tmp_path: Path) -> None:
    fake.stand_in(tmp_path, "spa-eng")
    modes = fake.stand_in(tmp_path, "spa-eng_US")
    fake.stand_in(tmp_path, "eng-spa-tagger")
    async with opened(modes) as engine:
        assert engine.local_pairs() == [("es", "en"), ("es", "en-US")]
        pairs = [
            engine.pair(*ends) for ends in (("es", "en"), ("es", "en-US"), ("es-MX", "en-GB"), ("en", "es"))
        ]
        assert [pair and pair.target for pair in pairs] == ["en", "en-US", "en", None]
        assert [pair and pair.notice for pair in pairs] == [
            "",
            "",
            "apertium has no en-GB; its en was used.",
            None,
        ]


async def test_a_pair_that_is_not_installed_goes_by_way_of_one_language(tmp_path: Path) -> None:
    for mode in ("spa-eng", "eng-cat", "eng_US-cat", "cat-fra", "fra-deu", "spa-spa_MX"):
        modes = fake.stand_in(tmp_path, mode)
    async with opened(modes) as engine:
        assert engine.local_pairs()[6:] == [("ca", "de"), ("en", "fr"), ("en-US", "fr"), ("es", "ca")]
        assert await ask(engine, "hola {name}", "es", "ca") == "HOLA {name}"
        pair = engine.pair("es", "ca")
        assert pair is not None
        assert tuple(pair) == (
            "es",
            "ca",
            "apertium has no es to ca; it went by way of en, twice as roughly.",
        )
        assert (await engine.translate("hola", pair)).quality == "rule-based, rough, by way of en"
        assert engine.pair("es", "fr") is None  # two languages between
        assert engine.pair("es", "es-MX") == ("es", "es-MX", "")


async def test_on_the_way_over_a_language_no_word_is_marked_or_counted_twice(tmp_path: Path) -> None:
    for mode in ("eng-cat", "spa-eng"):  # a machine may have the direct pair as well
        fake.installed(mode)
        (tmp_path / f"{mode}.mode").symlink_to(fake.MODES / f"{mode}.mode")
    async with opened(tmp_path) as engine:
        pair = engine.pair("es", "ca")
        assert pair is not None
        first = await ask(engine, "El zork y la casa vieja de {name}.", "es", "en")
        answer = await engine.translate("El zork y la casa vieja de {name}.", pair)
        assert answer.text == await ask(engine, first, "en", "ca")
        assert answer.quality == "rule-based, rough, by way of en; 1 word unknown"
        assert "zork" in answer.text
        assert "{name}" in answer.text
        assert not set(answer.text) & set("*@#")


async def test_placeholders_and_markup_come_through_the_real_programs() -> None:
    fake.installed("eng-spa")
    text = (
        "# The {count} houses\n\n- See [the **old** city](https://example.org/a?b=1) &amp; `the code`.\n"
        "- Hello %(name)s, you have {n, plural, one {# house} other {# houses}}.\n\n```\nthe code\n```\n"
    )
    async with opened() as engine:
        pair = engine.pair("en", "es")
        assert pair is not None
        answer = await engine.translate(text, pair)
    for kept in (
        "# ", "{count}", "\n\n- Ve [", "](https://example.org/a?b=1)", "**", "&amp;", "`the code`",
        "%(name)s", "{n, plural, one {# Casa} other {# Casas}}", ".\n\n```\nthe code\n```\n",
    ):  # fmt: skip
        assert kept in answer.text
    assert "ciudad" in answer.text
    assert answer.quality == "rule-based, rough"  # what hides a placeholder is no unknown word


async def test_a_pair_that_is_idle_is_closed_and_starts_again(tmp_path: Path) -> None:
    async with opened(fake.stand_in(tmp_path), idle_s=0.5) as engine:
        assert await ask(engine, "hello") == "HELLO"
        for _ in range(6):  # in use it stays
            await asyncio.sleep(0.1)
            before = processes()
            assert await ask(engine, "hello") == "HELLO"
            assert processes() == before != []
        await asyncio.to_thread(_until, lambda: not processes())
        assert await ask(engine, "again") == "AGAIN"


async def test_a_long_text_is_not_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.translate.live.HANG_S", 0.6)
    async with opened(fake.stand_in(tmp_path), idle_s=0.01) as engine:
        assert await ask(engine, "well") == "WELL"
        with pytest.raises(Trouble):
            await ask(engine, "hang")


async def test_the_idlest_pair_makes_room_for_another(tmp_path: Path) -> None:
    for pair in ("eng-spa", "spa-eng", "eng-cat"):
        modes = fake.stand_in(tmp_path, pair)
    async with opened(modes, most_alive=2) as engine:
        await ask(engine, "one")
        spanish = processes()
        await ask(engine, "two", "es", "en")
        await ask(engine, "three")
        assert set(spanish) < set(processes())
        await ask(engine, "four", "en", "ca")
        await asyncio.to_thread(_until, lambda: len(processes()) == 4)
        assert set(spanish) < set(processes())  # the other was idle for longer


async def test_more_pairs_than_may_be_alive_take_turns(tmp_path: Path) -> None:
    pairs = [
        ("eng-spa", "en", "es"),
        ("spa-eng", "es", "en"),
        ("eng-cat", "en", "ca"),
        ("cat-eng", "ca", "en"),
    ]
    for pair, _, _ in pairs:
        modes = fake.stand_in(tmp_path, pair)
    most = 0
    async with opened(modes, most_alive=1) as engine:

        async def one(number: int, source: str, target: str) -> None:
            nonlocal most
            with anyio.move_on_after(0.03 if number == 2 else 20):
                text = f"text {number} of {source} {target}"
                assert await ask(engine, text, source, target) == text.upper()
            most = max(most, len(processes()))

        async with anyio.create_task_group() as tasks:
            for number in range(4):
                for _, source, target in pairs:
                    tasks.start_soon(one, number, source, target)
    assert most <= 4  # one pair, and one that is on its way out


async def test_answers_stay_right_through_cancelled_calls_and_killed_programs() -> None:
    fake.installed("eng-spa")
    texts, chance = SENTENCES[:16], random.Random(3)
    async with opened() as engine:
        expected = {text: await ask(engine, text) for text in texts}
        for turn in range(60):
            if turn % 10 == 5:
                os.kill(
                    chance.choice(processes()),
                    chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGPIPE]),
                )
            if turn % 4 == 1:
                with anyio.move_on_after(chance.random() * 0.01):
                    await ask(engine, "The text that nobody waits for.")
            text = chance.choice(texts)
            assert await ask(engine, text) == expected[text]


async def test_a_call_cancelled_at_any_moment_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    modes = fake.stand_in(tmp_path)
    for step in range(12):
        async with opened(modes) as engine:
            with anyio.move_on_after(step * 0.004):
                await ask(engine, "hello")
            task = asyncio.create_task(ask(engine, "hello"))
            await asyncio.sleep(step * 0.004)
            task.cancel()
            await asyncio.wait([task])


async def test_a_program_whose_start_is_cancelled_is_seen_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = asyncio.create_subprocess_exec

    async def slow(*words: Any, **options: Any) -> Any:
        process = await real(*words, **options)
        await asyncio.sleep(0.02)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
    async with opened(fake.stand_in(tmp_path)) as engine:
        with anyio.move_on_after(0.01) as scope:
            await ask(engine, "hello")
        assert scope.cancelled_caught


async def test_concurrent_callers_each_get_their_own_answer(tmp_path: Path) -> None:
    modes = fake.stand_in(tmp_path)
    answers: dict[str, str] = {}
    async with opened(modes) as engine:

        async def one(text: str, patience: float) -> None:
            with anyio.move_on_after(patience):
                answers[text] = await ask(engine, text)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(one, f"text number {number}", 0.001 if number % 7 == 3 else 20)
    assert len(answers) >= 80
    assert all(answer == text.upper() for text, answer in answers.items())


@pytest.mark.parametrize("text", ["die", "twice", "noise", "late"])
async def test_programs_that_lose_step_fail_their_text_and_no_other(tmp_path: Path, text: str) -> None:
    async with opened(fake.stand_in(tmp_path)) as engine:
        for _ in range(2):
            with contextlib.suppress(Trouble):  # or it was answered after all
                assert await ask(engine, text) == text.upper()
            await asyncio.sleep(0.1)  # what comes late has come
            assert await ask(engine, "well") == "WELL"


async def test_a_program_that_hangs_is_ended_and_the_next_text_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.translate.live.HANG_S", 0.5)
    async with opened(fake.stand_in(tmp_path)) as engine:
        assert await ask(engine, "well") == "WELL"
        started = time.monotonic()
        with pytest.raises(Trouble, match="could not translate this text"):
            await ask(engine, "hang")
        assert time.monotonic() - started < 2
        assert await ask(engine, "well") == "WELL"
        os.kill(processes()[0], signal.SIGSTOP)
        assert await ask(engine, "again") == "AGAIN"


async def test_closing_ends_a_text_that_is_on_its_way_and_those_that_wait(tmp_path: Path) -> None:
    async with opened(fake.stand_in(tmp_path)) as engine:
        asking = [asyncio.create_task(ask(engine, text)) for text in ("hang", "well", "well")]
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await engine.aclose()
        assert time.monotonic() - started < 1
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Trouble] * 3


async def test_nothing_of_our_environment_reaches_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMANAC_CANARY", "k3y")
    async with opened(fake.stand_in(tmp_path)) as engine:
        await ask(engine, "hello")
        for process in processes():
            assert _environment(process) == b"LC_ALL=C.UTF-8\0"
            assert os.getsid(process) == process


def _environment(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


@pytest.mark.parametrize("modes", ["nothing", "empty", "broken", "programs gone"])
async def test_without_programs_it_is_missing_and_raises_nothing(tmp_path: Path, modes: str) -> None:
    directory = tmp_path / "modes"
    if modes != "nothing":
        directory.mkdir()
    if modes == "broken":
        (directory / "eng-spa.mode").write_text("lt-proc 'unclosed | ")
        (directory / "spa-eng.mode").write_text("")
        (directory / "xxx-yyy.mode").write_text("cat")
    if modes == "programs gone":
        (directory / "eng-spa.mode").write_text("no-such-program -x 'a' | lt-proc $1 'b'")
    async with opened(directory) as engine:
        assert engine.pair("en", "es") is None
        assert engine.missing() == (
            "no language pair is installed"
            if modes in ("nothing", "empty")
            else "its programs are not installed"
        )


async def test_programs_that_vanish_after_the_start_are_trouble(tmp_path: Path) -> None:
    async with opened(fake.stand_in(tmp_path)) as engine:
        (tmp_path / "program").unlink()
        with pytest.raises(Trouble, match="could not be started"):
            await ask(engine, "hello")


@pytest.mark.parametrize(
    ("how", "loop"),
    [
        ("killed", "uvloop"),
        ("killed while it hangs", "asyncio"),
        *(
            pytest.param(how, loop, marks=pytest.mark.slow)
            for how in ("finished", "cancelled", "interrupted", "killed")
            for loop in ("uvloop", "asyncio")
            if (how, loop) != ("killed", "uvloop")
        ),
    ],
)
def test_no_program_outlives_the_process_however_it_ends(tmp_path: Path, how: str, loop: str) -> None:
    modes = fake.stand_in(tmp_path)
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    code = f"""
        import anyio, asyncio, os, sys
        from pathlib import Path
        from backends.translate import Translator
        from config import TranslateSettings

        async def main():
            settings = TranslateSettings(providers=("apertium",), apertium_modes=Path({str(modes)!r}))
            async with Translator(settings) as t:
                print((await t.text("hello", "es", "en")).text, flush=True)
                if {how!r} == "cancelled":
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(t.text, "hang", "es", "en")
                        await anyio.sleep(0.2)
                        tasks.cancel_scope.cancel()
                        tasks.start_soon(anyio.sleep, 9)
                elif {how!r} == "interrupted":
                    await t.text("hang", "es", "en")
                elif {how!r} == "killed while it hangs":
                    await t.text("stuck", "es", "en")
                elif {how!r} == "killed":
                    await anyio.sleep(60)

        anyio.run(main, backend_options={{"use_uvloop": {loop!r} == "uvloop"}})
    """
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"HELLO\n"
    if how == "killed while it hangs" and not (sys.platform == "linux" and shutil.which("setpriv")):
        pytest.skip("nothing here ties a program's life to ours")
    if how.startswith(("interrupted", "killed")):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
    _, errors = process.communicate(timeout=15)
    if how in ("finished", "cancelled"):
        assert (process.returncode, errors) == (0, b"")
    program = str(tmp_path / "program").encode()
    _until(lambda: not any(program in _command(pid) for pid in Path("/proc").glob("[0-9]*")))


def _command(pid: Path) -> bytes:
    try:
        return (pid / "cmdline").read_bytes()
    except OSError:
        return b""


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 3
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@settings(max_examples=60, deadline=None)
@given(st.text(st.sampled_from("ab .!?\n~\t[]{}^$/<>@\\*#_-é🎉"), max_size=14))
def test_texts_become_streams_as_apertiums_own_programs_make_them(text: str) -> None:
    fake.installed("eng-spa")
    text = text.strip()
    if not text:
        return
    stream = _through("apertium-destxt", text)
    assert to_stream(text) == stream
    assert from_stream(stream) == _through("apertium-retxt", stream) == text


def _through(program: str, text: str) -> str:
    return subprocess.run([program], input=text.encode(), capture_output=True, check=True).stdout.decode()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_ten_thousand_sentences_stay_right_while_calls_are_cancelled_and_programs_killed() -> None:
    """Two pairs, three callers, every answer against what the command line gives for that text alone."""
    chance = random.Random(5)
    texts = {fake.installed("eng-spa"): SENTENCES, fake.installed("eng-cat"): SENTENCES[::2]}
    expected = {
        pair: dict(zip(own, await asyncio.to_thread(command_line, own, pair), strict=True))
        for pair, own in texts.items()
    }
    asked = 0

    async def caller(engine: Apertium) -> None:
        nonlocal asked
        while asked < 10_000:
            asked += 1
            pair, target = ("eng-cat", "ca") if asked % 10 == 0 else ("eng-spa", "es")
            if asked % 100 == 4:  # and half of these cost a start
                with anyio.move_on_after(chance.random() * 0.006):
                    await ask(engine, "The text that nobody waits for.", target=target)
            if asked % 250 == 25 and (alive := processes()):
                os.kill(chance.choice(alive), chance.choice([signal.SIGKILL, signal.SIGTERM]))
            text = chance.choice(texts[pair])
            answer = ""
            for _ in range(3):  # a pair that is killed while it starts fails that text
                with contextlib.suppress(Trouble):
                    answer = await ask(engine, text, target=target)
                    break
            assert answer == expected[pair][text]

    async with opened() as engine, anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(caller, engine)


async def test_restarts_leave_no_open_files(tmp_path: Path) -> None:
    modes = fake.stand_in(tmp_path)

    async def churn(times: int) -> int:
        async with opened(modes) as engine:
            for _ in range(times):
                await ask(engine, "well")
                os.kill(processes()[0], signal.SIGKILL)
                with contextlib.suppress(Trouble):
                    await ask(engine, "die")
        await asyncio.sleep(0.05)
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, of files that come and go

    few = await churn(1)
    assert await churn(8) <= few
