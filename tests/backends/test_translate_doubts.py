"""What cannot be a translation is doubted; what good translations look like is not."""

import pytest

from backends.translate.doubts import Doubts, is_echo
from backends.translate.engine import Pair, Trouble

PAIR = Pair("en", "es")
LONG = "The quick brown fox jumps over the lazy dog and runs away into the dark forest. " * 4


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Hello", "Hola"), ("one", "1"), ("Twelve", "12"), ("Madrid", "Madrid"), ("OK", "OK"),
        ("New York Times", "New York Times"), ("He paid 1,000 on 5 May", "Pagó 1.000 el 5 de mayo"),
        ("in the 1990s and 1980s", "en los años 90 y 80"), ("10 to 11 pm", "de 22 a 23"),
        ("at 3 pm and 4 pm", "a las 15 y a las 16"),
        ("Chapter 3, page 12", "第三章第12页"), ("pages 3 and 4", "الصفحتان ٣ و ٤"),
        (LONG, "敏捷的棕色狐狸跳过懒狗，跑进黑暗的森林。" * 4), ("好", "That is good, I like it very much"),
        ("The page said 502 Bad Gateway", "La página decía 502 Bad Gateway"),
        ("What does MYMEMORY WARNING mean?", "¿Qué significa MYMEMORY WARNING?"),
        ("<html>", "<html>"), ("No.", "否。"), ("a b c", "a b c"),
    ],
)  # fmt: skip
def test_good_translations_are_not_doubted(question: str, answer: str) -> None:
    assert Doubts().check(question, answer, PAIR) == answer


@pytest.mark.parametrize(
    ("question", "answer", "reason"),
    [
        ("Hello", "", "gave no translation"), ("Hello", None, "gave no translation"),
        ("Hello", ["Hola"], "gave no translation"), ("Hello", " \n", "gave no translation"),
        ("Hello there", "...", "gave no translation"), (LONG, "1" * 40, "gave no translation"),
        ("Hello", "<!DOCTYPE html><html><body>Log in", "warning"), ("Hello", "502 Bad Gateway", "warning"),
        ("Hello", "Error 500 (Server Error)!!1500.That’s an error.", "warning"),
        ("Hello", "MYMEMORY WARNING: YOU USED ALL AVAILABLE FREE TRANSLATIONS", "warning"),
        ("Hello", "Attention Required! | Cloudflare", "warning"),
        ("Hello", "Our systems have detected unusual traffic from your computer network", "warning"),
        (LONG, "Hola", "another length"), ("Hi", "Hola " * 60, "another length"),
        ("The weather is sunny today", "The weather is sunny today", "untranslated"),
        ("今天 天气 很 好 吗 我", "今天 天气 很 好 吗 我", "untranslated"),
        ("Hello", "Ho\x1b[31mla", "cannot be read"), ("Hello", "Hola\0", "cannot be read"),
        ("Text 311 of turn 47", "Texto 522 de la vuelta 68", "another text"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_translation_is_doubted(question: str, answer: object, reason: str) -> None:
    with pytest.raises(Trouble, match=reason) as caught:
        Doubts().check(question, answer, PAIR)
    assert "Hola" not in str(caught.value)


def test_a_text_may_come_back_as_it_was_within_one_language() -> None:
    text = "The weather is sunny today"
    assert Doubts().check(text, text, Pair("en-GB", "en-US")) == text
    kanji = "東京都立大学附属図書館本館東側"
    assert Doubts().check(kanji, kanji, Pair("ja", "zh-CN")) == kanji
    with pytest.raises(Trouble, match="untranslated"):
        Doubts().check(kanji, kanji, Pair("ja", "en"))
    assert is_echo(text, f" {text}\n")
    assert not is_echo(text, text.upper())


def test_one_answer_to_questions_that_have_nothing_in_common_is_doubted_and_to_alike_ones_is_not() -> None:
    doubts = Doubts()
    said = "El servicio no está disponible por ahora"
    for question in (
        "The service is not available now",
        "Service is not available now",
        "The service is not available now!",
    ):
        assert doubts.check(question, said, PAIR) == said
    with pytest.raises(Trouble, match="another text") as caught:
        doubts.check("My brother bought five kilos of apples", said, PAIR)
    assert caught.value.rest


def test_two_wordings_of_one_question_may_have_one_answer() -> None:
    doubts = Doubts()
    chinese, french = Pair("zh", "en"), Pair("fr", "es")
    short = "Inténtelo de nuevo más tarde."
    whole = "Por favor, envíeme el documento completo para mañana"
    file = "Are you sure you want to delete this file forever?"
    for question, answer, pair in (
        ("Please try again later.", short, PAIR),
        ("Kindly retry after some time.", short, PAIR),
        ("Please send me the whole document by tomorrow", whole, PAIR),
        ("Veuillez m'envoyer le document entier d'ici demain", whole, french),
        ("您确定要永久删除此文件吗？", file, chinese),
        ("是否确认永久性地删除该文件？", file, chinese),
    ):
        assert doubts.check(question, answer, pair) == answer
    with pytest.raises(Trouble, match="another text"):
        doubts.check("我昨天在市场上买了五公斤苹果", file, chinese)


@pytest.mark.parametrize(("source", "target"), [("nb", "da"), ("DA", "NB"), ("id", "ms"), ("cs-CZ", "sk-SK")])
def test_a_sentence_may_be_one_of_a_near_language_too(source: str, target: str) -> None:
    text = "Vi ses i morgen ved skolen"
    assert Doubts().check(text, text, Pair(source, target)) == text


def test_what_was_answered_before_is_not_kept_in_clear_nor_for_ever() -> None:
    doubts = Doubts()
    for n in range(1_000):
        doubts.check(
            f"This is the canary sentence with the number {n}", f"Esta es la frase del canario {n} aquí", PAIR
        )
    assert len(doubts._answers) <= 256
    assert "canar" not in repr(vars(doubts))
