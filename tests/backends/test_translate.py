"""The translator as a whole: who answers, who steps in, what is told, and what is refused."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from backends.translate import Translator
from config import TranslateSettings
from errors import TooMuch, Unavailable, Unknown
from tests.fakes import Upstream
from tests.fakes import apertium as fake_apertium
from tests.fakes.google_translate import GoogleTranslate
from tests.fakes.mymemory import MyMemory
from tests.fakes.troubles import TROUBLES

NOBODY = "http://127.0.0.1:9"
ENGLISH = "The weather is sunny today"


class World(SimpleNamespace):
    google: GoogleTranslate
    mymemory: MyMemory
    settings: TranslateSettings
    now: float


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[GoogleTranslate, str, MyMemory, str]]:
    google, mymemory = GoogleTranslate(), MyMemory()
    with Upstream(google) as one, Upstream(mymemory) as two:
        yield google, one.url + "/m", mymemory, two.url + "/get"


@pytest.fixture
def world(servers: tuple[GoogleTranslate, str, MyMemory, str], tmp_path: Path) -> World:
    """Google, MyMemory and Apertium (en to es, in capitals), all well."""
    google, google_url, mymemory, mymemory_url = servers
    for fake in (google, mymemory):
        fake.trouble, fake.habit, fake.times = "", "plain", 1_000_000
        fake.seen.clear()
    mymemory.pause_s = 0.0
    settings = TranslateSettings(
        google_url=google_url,
        mymemory_url=mymemory_url,
        apertium_modes=fake_apertium.stand_in(tmp_path),
        timeout=4,
        max_chars=2_000,
    )
    return World(google=google, mymemory=mymemory, settings=settings, now=1_000.0)


@asynccontextmanager
async def opened(world: World, **over: Any) -> AsyncIterator[Translator]:
    settings = world.settings.model_copy(update=over)
    async with Translator(settings, clock=lambda: world.now) as translator:
        yield translator


async def test_the_first_engine_answers_and_is_named(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text("  Hello there\n", "Spanish", "en")
    assert result.text == "  Hello there (es)\n"
    assert (result.provider, result.source, result.target) == ("google", "en", "es")
    assert (result.source_confidence, result.quality, result.notices) == (None, "machine translation", ())
    assert world.mymemory.seen == []


async def test_the_order_of_the_settings_is_kept(world: World) -> None:
    async with opened(world, providers=("apertium", "mymemory", "google")) as translator:
        assert (await translator.text("hello", "es", "en")).provider == "apertium"
        assert (await translator.text("hello", "fr", "en")).provider == "mymemory"
    assert world.google.seen == []


async def test_a_source_that_is_detected_is_told_with_its_confidence(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text(ENGLISH, "es")
    assert result.source == "en"
    assert result.source_confidence is not None
    assert result.source_confidence > 0.9


async def test_an_undetermined_source_is_left_to_an_engine_that_detects(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text("hello", "es")
    assert (result.text, result.provider, result.source) == ("hello (es)", "google", "und")
    assert world.google.seen[0][1]["sl"] == "auto"


async def test_an_undetermined_source_is_asked_for_when_no_engine_detects(world: World) -> None:
    async with opened(world, providers=("mymemory", "apertium")) as translator:
        with pytest.raises(Unknown, match=r"^The language of 'hello' cannot be told\..* its source"):
            await translator.text("hello", "es")
    assert world.mymemory.seen == []


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_next_engine_steps_in_for_one_in_trouble_and_that_is_told(
    world: World, trouble: str
) -> None:
    world.google.trouble = trouble
    async with opened(world) as translator:
        await translator.text("warm", "fr", "de")
        world.now += 100
        world.google.seen.clear()
        started = time.monotonic()
        result = await translator.text(ENGLISH, "fr")
        assert time.monotonic() - started < 3
    assert (result.text, result.provider) == (f"{ENGLISH} (fr-FR)", "mymemory")
    assert len(result.notices) == 1
    assert result.notices[0].startswith("google ")
    assert result.notices[0].endswith(", so mymemory translated.")
    assert len(world.google.seen) == 1


@pytest.mark.parametrize("habit", ["error page", "captcha", "cut page", "empty"])
async def test_rubbish_of_one_engine_is_never_returned(world: World, habit: str) -> None:
    world.google.habit, world.mymemory.habit = habit, "warning"
    async with opened(world) as translator:
        result = await translator.text("hello", "es", "en")
    assert (result.text, result.provider) == ("HELLO", "apertium")
    assert "google" in result.notices[0]
    assert "mymemory" in result.notices[0]


async def test_an_engine_that_failed_three_times_rests_a_minute_and_is_then_asked_again(
    world: World,
) -> None:
    world.google.trouble = "500"
    async with opened(world) as translator:
        for text in ("one", "two", "three"):
            await translator.text(text, "fr", "en")
        assert len(world.google.seen) == 3
        world.now += 59
        result = await translator.text("four", "fr", "en")
        assert result.notices == ("google answered with status 500 just now, so mymemory translated.",)
        assert len(world.google.seen) == 3
        world.google.trouble = ""
        world.now += 1
        assert (await translator.text("four", "fr", "en")).provider == "google"


@pytest.mark.parametrize("trouble", ["slow", "429", "429 with seconds"])
async def test_an_engine_that_hangs_or_has_had_enough_rests_at_once(world: World, trouble: str) -> None:
    world.google.trouble, world.google.retry_after = trouble, "30"
    async with opened(world, timeout=2) as translator:
        for text in ("one", "two"):
            assert (await translator.text(text, "fr", "en")).provider == "mymemory"
        assert len(world.google.seen) == 1
        world.google.trouble = ""
        world.now += 31
        later = await translator.text("three", "fr", "en")
        assert later.provider == ("google" if trouble == "429 with seconds" else "mymemory")


async def test_after_its_rest_one_text_is_let_through_to_see(world: World) -> None:
    world.google.trouble = "429"
    async with opened(world) as translator:
        await translator.text("one", "fr", "en")
        world.google.seen.clear()
        world.google.trouble = "500"
        world.now += 60
        await asyncio.gather(*(translator.text(f"text {n}", "fr", "en") for n in range(8)))
        assert len(world.google.seen) == 1


async def test_a_text_that_alone_fails_does_not_put_the_engine_to_rest(world: World) -> None:
    world.google.habit = "empty"
    async with opened(world) as translator:
        await translator.text("hello", "fr", "en")
        world.google.habit = "plain"
        assert (await translator.text("hello", "fr", "en")).provider == "google"


async def test_offline_answers_come_from_this_machine_at_once(world: World) -> None:
    async with opened(world, google_url=NOBODY, mymemory_url=NOBODY) as translator:
        assert (await translator.text(ENGLISH, "es")).provider == "apertium"
        started = time.monotonic()
        result = await translator.text(ENGLISH, "es")
        assert time.monotonic() - started < 2
    assert result.text == ENGLISH.upper()
    assert result.notices == (
        "google could not be reached; mymemory could not be reached, so apertium translated.",
    )


async def test_when_nobody_is_left_the_refusal_says_who_was_tried_and_what_would_help(world: World) -> None:
    world.google.trouble, world.mymemory.habit = "slow", "quota"
    async with opened(world, timeout=3) as translator:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await translator.text("secret words", "de", "en")
        assert time.monotonic() - started < 3
        assert str(caught.value) == (
            "No engine translated from en to de: google did not answer in time; mymemory has had too many "
            "requests; apertium: not this pair. google is asked again in 60 s. A network connection or "
            "Apertium with this pair on the server would help; translate_languages lists what works now."
        )
        started = time.monotonic()
        world.now += 20
        with pytest.raises(Unavailable, match=r"google did not answer in time just now.*asked again in 40 s"):
            await translator.text("secret words", "de", "en")
        assert time.monotonic() - started < 1.5  # it would take 3 s to ask it


async def test_engines_that_all_hang_are_given_up_at_the_deadline(world: World) -> None:
    world.google.trouble = world.mymemory.trouble = "slow body"
    async with opened(world, timeout=0.8) as translator:
        await translator.languages("es")  # tables are read
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await translator.text("hello", "de", "en")
        assert time.monotonic() - started < 3


async def test_an_engine_too_slow_for_a_long_text_gets_its_share_of_the_time_and_no_rest(
    world: World,
) -> None:
    world.mymemory.pause_s = 0.3  # five questions are longer than its half of the time
    long = "\n".join(f"{ENGLISH} and tomorrow {n}" for n in range(45))
    async with opened(world, providers=("mymemory", "apertium"), timeout=2) as translator:
        await translator.languages("es")
        started = time.monotonic()
        result = await translator.text(long, "es", "en")
        assert time.monotonic() - started < 3
        assert (result.text, result.provider) == (long.upper(), "apertium")
        assert result.notices == ("mymemory did not finish in time, so apertium translated.",)
        assert (await translator.text(ENGLISH, "es", "en")).provider == "mymemory"


async def test_an_answer_after_the_deadline_reaches_nobody(world: World) -> None:
    world.google.trouble, world.google.times = "slow", 1
    async with opened(world, providers=("google",), timeout=3) as translator:
        with pytest.raises(Unavailable):
            await translator.text("first", "de", "en")
        world.now += 60
        assert (await translator.text("second", "de", "en")).text == "second (de)"


@pytest.mark.parametrize(
    ("providers", "source", "target", "told"),
    [
        (
            ("google", "apertium"), "en", "sr-Latn",
            "No engine here translates from en to sr-Latn. Nearest: Serbian (sr). mymemory could, if the "
            "operator configured that. Apertium could with the package apertium-hbs-eng. translate_languages "
            "lists what can be done.",
        ),
        (
            ("apertium",), "en", "es-MX", "",
        ),
        (
            ("apertium",), "es", "en",
            "No engine here translates from es to en. deepl, libretranslate, google or mymemory could, if "
            "the operator configured that. Apertium could with the package apertium-eng-spa. "
            "translate_languages lists what can be done.",
        ),
        (
            ("deepl", "libretranslate", "apertium"), "en", "ca",
            "'ca' is a language that no engine here knows; see translate_languages. google or mymemory "
            "could, if the operator configured that.",
        ),
    ],
)  # fmt: skip
async def test_a_pair_that_no_engine_has_is_refused_with_what_is_near_and_who_could(
    world: World, providers: tuple[str, ...], source: str, target: str, told: str
) -> None:
    async with opened(world, providers=providers) as translator:
        for call in (
            translator.text("hello there", target, source),
            translator.batch(["hello"], target, source),
        ):
            if not told:
                await call
                continue
            with pytest.raises(Unknown) as caught:
                await call
            assert str(caught.value) == told
    assert world.google.seen == []


async def test_a_text_without_letters_and_one_in_the_target_language_come_back_as_they_are(
    world: World,
) -> None:
    async with opened(world) as translator:
        for text in ("", "🎉", "!!! ???\n", " 12:30 ", "\0"):
            result = await translator.text(text, "es")
            assert (result.text, result.provider) == (text, "none")
            assert result.quality == "nothing to translate: no words"
        result = await translator.text(ENGLISH, "en")
        assert (result.text, result.provider) == (ENGLISH, "none")
        assert result.quality == "nothing to translate: it is en already; name the source if that is wrong"
        named = await translator.text("hello", "Spanish", "es")
        assert (named.text, named.quality) == ("hello", "nothing to translate: it is es already")
    assert world.google.seen == []


async def test_an_echo_is_flagged_and_not_refused(world: World) -> None:
    world.google.habit = "echo"
    async with opened(world) as translator:
        result = await translator.text("Madrid", "es", "en")
    assert (result.text, result.quality) == ("Madrid", "machine translation; came back unchanged")


async def test_a_region_that_the_engine_lacks_is_told(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text("hello", "Brazilian Portuguese", "en")
    assert (result.target, result.notices) == ("pt-BR", ("google has no pt-BR; its pt was used.",))


async def test_halves_of_characters_are_replaced_and_that_is_told(world: World) -> None:
    async with opened(world) as translator:
        result = await translator.text("a \ud800 b \ud83c\udf89", "es", "en")
        assert result.notices == ("Halves of characters were replaced.",)
        assert result.text == "a \ufffd b 🎉 (es)"
        assert result.model_dump_json()
        assert (await translator.text("a \ufffd b", "es", "en")).notices == ()


@pytest.mark.parametrize(
    ("target", "source"), [("Spansh", "en"), ("es", "Englsh"), ("", "en"), ("auto", "en")]
)
async def test_a_language_that_is_none_is_refused(world: World, target: str, source: str) -> None:
    async with opened(world) as translator:
        with pytest.raises(Unknown):
            await translator.text("hello", target, source)
        with pytest.raises(Unknown):
            await translator.batch(["hello"], target, source)


async def test_too_many_characters_are_refused_with_the_limit(world: World) -> None:
    async with opened(world) as translator:
        for call in (
            translator.text("a" * 2_001, "es"),
            translator.batch(["a" * 1_000, "b" * 1_001], "es"),
            translator.detect("a" * 2_001),
        ):
            with pytest.raises(TooMuch, match=r"2,001 characters; one call takes 2,000"):
                await call
        await translator.text("a " * 1_000, "es", "en")


async def test_a_batch_answers_in_order_and_equal_texts_are_asked_once(world: World) -> None:
    texts = ["one", "two", "one", "🎉", "three", "two"]
    reports: list[tuple[int, int]] = []

    async def report(done: int, total: int) -> None:
        reports.append((done, total))

    async with opened(world) as translator:
        result = await translator.batch(texts, "es", "en", report)
    assert [item.text for item in result.items] == [f"{t} (es)" if t != "🎉" else t for t in texts]
    assert (result.failed, result.target, result.notices) == (0, "es", ())
    assert sorted(query["q"] for _, query in world.google.seen) == ["one", "three", "two"]
    assert reports == [(n, 4) for n in range(1, 5)]


async def test_a_text_that_fails_is_its_own_items_error(world: World) -> None:
    async with opened(world, providers=("apertium",)) as translator:
        result = await translator.batch(["good", "die", "well", "twice", ENGLISH], "es", "en")
    assert [item.text for item in result.items] == ["GOOD", "", "WELL", "", ENGLISH.upper()]
    assert [bool(item.error) for item in result.items] == [False, True, False, True, False]
    assert result.failed == 2
    assert "apertium could not translate this text" in result.items[1].error


async def test_each_text_of_a_batch_has_its_own_language(world: World) -> None:
    async with opened(world, providers=("apertium",)) as translator:
        result = await translator.batch([ENGLISH, "Hola, ¿cómo estás, amigo?", "xyzzy"], "es")
    assert [item.source for item in result.items] == ["en", "es", ""]
    assert [item.provider for item in result.items] == ["apertium", "none", ""]
    assert "source" in result.items[2].error


async def test_a_batch_that_fails_as_one_is_refused_as_one(world: World) -> None:
    world.google.trouble = world.mymemory.trouble = "500"
    async with opened(world) as translator:
        with pytest.raises(Unavailable, match="No engine translated from en to de"):
            await translator.batch([f"text {n}" for n in range(100)], "de", "en")
    assert len(world.google.seen) <= 8  # those under way when the first failed


async def test_a_batch_that_runs_out_of_time_keeps_what_it_has(world: World) -> None:
    texts = ["good", *(f"hang {n}" for n in range(60))]
    async with opened(world, providers=("apertium",), timeout=0.4) as translator:
        await translator.languages("es")
        started = time.monotonic()
        result = await translator.batch(texts, "es", "en")
        assert 1.1 < time.monotonic() - started < 4
    assert result.items[0].text == "GOOD"
    assert result.failed == 60
    assert result.items[-1].error == "There was no time left for this text; send it again."


@pytest.mark.slow
async def test_a_hundred_texts_through_every_engine_are_each_their_own(world: World) -> None:
    texts = [f"Text number {n}" for n in range(100)]
    async with opened(world, timeout=20, max_chars=50_000) as translator:
        results = await asyncio.gather(
            *(translator.batch(texts, target, "en") for target in ("es", "fr", "he", "zh-TW"))
        )
    for result, code in zip(results, ("es", "fr", "iw", "zh-TW"), strict=True):
        assert [item.text for item in result.items] == [f"{text} ({code})" for text in texts]


@pytest.mark.parametrize(
    ("text", "best"),
    [
        (ENGLISH, "en"), ("Hola, ¿cómo estás?", "es"), ("Здравствуйте, как дела?", "ru"), ("東京", "ja"),
        ("你好吗", "zh"), ("שלום", "he"), ("Wie ist das Wetter heute in Berlin?", "de"),
    ],
)  # fmt: skip
async def test_languages_are_detected_best_first_without_network(world: World, text: str, best: str) -> None:
    async with opened(world, google_url=NOBODY) as translator:
        found = (await translator.detect(text)).languages
    assert found[0].code == best
    assert [guess.confidence for guess in found] == sorted((g.confidence for g in found), reverse=True)
    assert 0.5 <= found[0].confidence <= 1


@pytest.mark.parametrize("text", ["", "12", "🎉", "?!", "xyzzy", "hello", "\0", "\ud800", "\n", "x" * 2_000])
async def test_what_cannot_be_told_is_und(world: World, text: str) -> None:
    async with opened(world) as translator:
        found = (await translator.detect(text)).languages
    assert [(guess.code, guess.confidence) for guess in found] == [("und", 0)]


async def test_languages_name_the_engines_that_can_do_them_now(world: World) -> None:
    async with opened(world) as translator:
        everything = await translator.languages()
        by_code = {language.code: language for language in everything.languages}
        assert by_code["es"].name == "Spanish"
        assert by_code["es"].providers == ("google", "mymemory", "apertium")
        assert by_code["de"].providers == ("google", "mymemory")
        assert "es-MX" not in by_code
        assert [name.name for name in everything.languages] == sorted(n.name for n in everything.languages)
        assert any("regional variants are left out" in notice for notice in everything.notices)
        assert "apertium translates only en to es." in everything.notices
        found = await translator.languages("pt")
        assert {language.code for language in found.languages} >= {"pt", "pt-BR", "pt-PT"}
        assert [x.code for x in (await translator.languages("norwegian")).languages] == [
            "no", "nb", "nb-NO", "nn", "nn-NO",
        ]  # fmt: skip
        assert (await translator.languages("no such language")).languages == ()


async def test_a_failing_engine_is_left_out_of_the_languages_and_that_is_told(world: World) -> None:
    world.google.trouble = "429"
    async with opened(world, providers=("google", "apertium")) as translator:
        await translator.text("hello", "es", "en")
        now = await translator.languages()
        assert [(language.code, language.providers) for language in now.languages] == [
            ("en", ("apertium",)), ("es", ("apertium",)),
        ]  # fmt: skip
        assert now.notices[0] == "google failed just now, and what no other engine does is left out."
        asked = await translator.languages("german")
        assert (asked.languages, asked.notices[0]) == ((), now.notices[0])


async def test_health_without_a_probe_asks_nobody(world: World) -> None:
    async with opened(world) as translator:
        health = await translator.health()
        assert [(p.name, p.state) for p in health.providers] == [
            ("google", "untried"), ("mymemory", "untried"), ("apertium", "untried"),
        ]  # fmt: skip
        assert (health.state, health.mend) == ("ready", "")
        assert health.summary == "google, mymemory, apertium can be asked."
    assert world.google.seen == []


async def test_a_probe_really_asks_each_engine(world: World) -> None:
    world.mymemory.trouble = "slow"
    async with opened(world) as translator:
        started = time.monotonic()
        health = await translator.health(probe=True)
        assert time.monotonic() - started < 4
        assert [(p.state, p.note) for p in health.providers] == [
            ("ready", ""), ("failing", "did not answer in time"), ("ready", ""),
        ]  # fmt: skip
        assert health.state == "degraded"
        assert health.summary == "google, apertium can translate; mymemory: did not answer in time."
        assert health.mend == "Check this machine's network."
        world.now += 61
        assert (await translator.health()).summary == (
            "google, apertium can translate; mymemory can be asked."
        )
        world.mymemory.trouble = ""
        assert (await translator.health(probe=True)).state == "ready"


async def test_a_machine_where_nothing_works_is_open_and_says_so(world: World, tmp_path: Path) -> None:
    async with opened(
        world, google_url=NOBODY, mymemory_url=NOBODY, apertium_modes=tmp_path / "none"
    ) as translator:
        health = await translator.health(probe=True)
        assert health.state == "unavailable"
        assert [p.state for p in health.providers] == ["failing", "failing", "missing"]
        assert health.mend.startswith(
            "Check this machine's network. Translate without network: apt-get install"
        )
        assert str(tmp_path) not in health.model_dump_json()
        assert (await translator.languages()).languages == ()
        with pytest.raises(Unavailable, match="apertium: no language pair is installed"):
            await translator.text("hello", "es", "en")


async def test_completions_are_codes_and_names(world: World) -> None:
    async with opened(world) as translator:
        assert set(translator.completers()) == {"target", "language"}  # as prompts and resources call them
        for complete in translator.completers().values():
            assert await complete("Span", {}) == [
                "Spanish", "Spanish (Argentina)", "Spanish (Colombia)", "Spanish (Latin America)",
                "Spanish (Mexico)", "Spanish (Spain)", "Spanish (United States)",
            ]  # fmt: skip
            assert (await complete("pt", {})) == ["pt", "pt-BR", "pt-PT"]
            assert len(await complete("", {})) > 200
            assert await complete("\0", {}) == []


async def test_it_opens_and_closes_again_and_again(world: World) -> None:
    translator = Translator(world.settings)
    for _ in range(3):
        async with translator:
            assert (await translator.text("hello", "es", "en")).text == "hello (es)"


async def test_closing_while_texts_are_on_their_way_leaves_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.google.trouble = "slow"
    async with anyio.create_task_group() as tasks, opened(world, timeout=20) as translator:
        for text in ("hang", "hello", "bye"):
            tasks.start_soon(translator.text, text, "es", "en")
        await anyio.sleep(0.3)
        tasks.cancel_scope.cancel()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert caplog.records == []
