"""Codes and English names come in, canonical codes go out, and what is not known is never guessed."""

import pytest

from backends.translate.deep import DeepTranslator
from backends.translate.languages import Languages, Table, canonical, other_variant, same
from errors import Unknown


@pytest.fixture(scope="module")
def google() -> DeepTranslator:
    engine = DeepTranslator("google", "http://127.0.0.1:9", 1)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def mymemory() -> DeepTranslator:
    engine = DeepTranslator("mymemory", "http://127.0.0.1:9", 1)
    engine.load()
    return engine


@pytest.fixture(scope="module")
def languages(google: DeepTranslator, mymemory: DeepTranslator) -> Languages:
    engines = (mymemory, google)
    names = {name: tag for engine in engines for name, tag in engine.names().items()}
    return Languages({engine.name: engine.languages() for engine in engines}, names)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("es", "es"), ("ES", "es"), ("spa", "es"), ("Spanish", "es"), (" spanish ", "es"), ("pt-BR", "pt-BR"),
        ("pt_br", "pt-BR"), ("Brazilian Portuguese", "pt-BR"), ("Portuguese (Brazil)", "pt-BR"),
        ("zh", "zh"), ("zh-TW", "zh-TW"),
        ("Chinese (Traditional)", "zh-TW"), ("Chinese (Simplified)", "zh-CN"),
        ("Traditional Chinese", "zh-Hant"), ("he", "he"), ("iw", "he"), ("Hebrew", "he"), ("nb", "nb"),
        ("Norwegian", "no"), ("Farsi", "fa"), ("Bengali", "bn"), ("Burmese", "my"), ("Myanmar", "my"),
        ("Kurdish (Sorani)", "ckb"), ("Scots Gaelic", "gd"), ("British English", "en-GB"), ("jw", "jv"),
        ("tl", "fil"), ("es-419", "es-419"), ("sr-Latn", "sr-Latn"), ("Thai", "th"), ("Urdu", "ur"),
    ],
)  # fmt: skip
async def test_codes_and_english_names_become_canonical_codes(
    languages: Languages, given: str, code: str
) -> None:
    assert await languages.resolve(given, "target") == code


@pytest.mark.parametrize(
    "given",
    [
        "", " ", "a", "xx", "xyz", "frenchh", "Spansh", "Spain", "en-", "en--US", "en-USA", "e n",
        "x-private",
        "auto", "und", "mul", "zxx", "qaa", "root", "12", "🎉", "en-US-u-ca-buddhist", "es;DROP TABLE",
        "a" * 5_000,
        "\0", "\ud800", "español\n" * 100, "Anus",
    ],
)  # fmt: skip
async def test_what_is_no_language_is_refused_and_never_guessed(languages: Languages, given: str) -> None:
    with pytest.raises(Unknown, match="translate_languages") as caught:
        await languages.resolve(given, "target")
    assert len(str(caught.value)) < 300


async def test_a_refusal_names_the_nearest_languages_and_the_parameter(languages: Languages) -> None:
    with pytest.raises(Unknown, match=r"^source takes .* not 'Spansh'\. Did you mean 'Spanish'"):
        await languages.resolve("Spansh", "source")


@pytest.mark.parametrize("given", ["tlh", "Klingon"])
async def test_a_real_language_that_no_engine_knows_is_refused(languages: Languages, given: str) -> None:
    with pytest.raises(Unknown):
        await languages.resolve(given, "target")


@pytest.mark.parametrize(
    ("engine", "source", "target", "codes"),
    [
        ("google", "en", "he", ("en", "iw")), ("google", "en", "jv", ("en", "jw")),
        ("google", "en", "fil", ("en", "tl")),
        ("google", "nb", "zh", ("no", "zh-CN")), ("google", "en", "zh-Hant", ("en", "zh-TW")),
        ("google", "en", "zh-HK", ("en", "zh-TW")), ("google", "en-US", "pt-BR", ("en", "pt")),
        ("google", "en", "mni-Mtei", ("en", "mni-Mtei")), ("google", None, "es", ("auto", "es")),
        ("mymemory", "en", "es", ("en-GB", "es-ES")), ("mymemory", "de", "fr", ("de-DE", "fr-FR")),
        ("mymemory", "en-US", "es-MX", ("en-US", "es-MX")),
        ("mymemory", "no", "sr", ("nb-NO", "sr-Cyrl-RS")),
        ("mymemory", "en", "sr-Latn", ("en-GB", "sr-Latn-RS")),
        ("mymemory", "zh", "zh-TW", ("zh-CN", "zh-TW")),
        ("mymemory", "pt-BR", "pt-PT", ("pt-BR", "pt-PT")), ("mymemory", "ar", "ln", ("ar-SA", "ln-LIN")),
        ("mymemory", "en", "nl", ("en-GB", "nl-NL")), ("mymemory", "en", "it", ("en-GB", "it-IT")),
        ("mymemory", "en", "rm", ("en-GB", "roh-CH")),  # its rm-RO is no Romansh
    ],
)  # fmt: skip
def test_each_engine_is_asked_in_its_own_codes(
    request: pytest.FixtureRequest, engine: str, source: str | None, target: str, codes: tuple[str, str]
) -> None:
    pair = request.getfixturevalue(engine).pair(source, target)
    assert pair is not None
    assert (pair.source, pair.target) == codes


@pytest.mark.parametrize(
    ("engine", "source", "target"),
    [
        ("google", "en", "sr-Latn"),  # it writes Serbian in Cyrillic only
        ("google", "en-GB", "en-US"), ("google", "en", "yue"), ("google", "tlh", "en"),
        ("mymemory", None, "es"),  # it does not detect
        ("mymemory", "en", "cav"),  # its cav-ES is no Cavineña
    ],
)  # fmt: skip
def test_an_engine_does_not_pretend_to_do_what_it_cannot(
    request: pytest.FixtureRequest, engine: str, source: str | None, target: str
) -> None:
    assert request.getfixturevalue(engine).pair(source, target) is None


def test_a_region_that_an_engine_lacks_is_told(google: DeepTranslator, mymemory: DeepTranslator) -> None:
    pair = google.pair("en", "pt-BR")
    assert pair is not None
    assert pair.notice == "google has no pt-BR; its pt was used."
    for engine, target in ((mymemory, "pt-BR"), (mymemory, "es"), (google, "es"), (google, "nb")):
        pair = engine.pair("en", target)
        assert pair is not None
        assert pair.notice == ""
    assert other_variant("x", "zh-HK", "zh-TW") == "x has no zh-HK; its zh-TW was used."


def test_the_tables_are_as_large_as_deep_translators(
    google: DeepTranslator, mymemory: DeepTranslator
) -> None:
    assert len(google.pair("en", "es") or ()) == 3
    assert len(set(google.names().values())) == 133
    assert (
        len(set(mymemory.names().values())) == 311
    )  # 322, less those that share a code or have another language's


def test_every_code_of_every_engine_leads_back_to_itself(
    google: DeepTranslator, mymemory: DeepTranslator
) -> None:
    for engine in (google, mymemory):
        for tag in engine.languages():
            if tag not in ("en", "es"):
                assert (engine.pair("en", tag) or engine.pair("es", tag)) is not None, tag


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("en", "en", True), ("en", "en-GB", True), ("en-GB", "en-US", False), ("zh", "zh-CN", True),
        ("zh", "zh-TW", False), ("nb", "no", True), ("sr", "sr-Latn", False), ("pt-BR", "pt-PT", False),
        ("es", "gl", False),
    ],
)  # fmt: skip
def test_the_same_writing_needs_no_translation(one: str, other: str, equal: bool) -> None:
    assert same(one, other) is same(other, one) is equal


def test_canonical_codes_are_what_bcp_47_calls_them() -> None:
    assert [canonical(code) for code in ("iw", "zh_tw", "eng", "sh", "xx", "en-USA", "EN-latn-gb")] == [
        "he", "zh-TW", "en", "sr-Latn", "", "", "en-Latn-GB",
    ]  # fmt: skip


def test_the_first_of_several_variants_is_the_main_one() -> None:
    table = Table(["de-AT", "de-DE", "es"], prefer=["de-DE"])
    assert table.find("de") == ("de-DE", "de-DE")
    assert table.find("de-AT") == ("de-AT", "de-AT")
    assert table.find("de-CH") == ("de-DE", "de-DE")
    assert table.find("fr") is None
    assert sorted(table.tags()) == ["de", "de-AT", "de-DE", "es"]
