"""Which engines are used, in which order: what the operator names, or what is configured."""

from collections.abc import Callable

from pydantic import SecretStr

from backends.translate.apertium import Apertium
from backends.translate.deep import DeepTranslator
from backends.translate.deepl import DeepL
from backends.translate.engine import Engine
from backends.translate.libretranslate import LibreTranslate
from config import TranslateSettings, on_loopback


def chosen(settings: TranslateSettings, clock: Callable[[], float]) -> list[Engine]:
    """The engines, best first. One that would send a text out is not even made where none may leave."""
    names: list[str] = []
    for name in settings.providers:
        names += _configured(settings) if name == "auto" else [name]
    used = [n for n in dict.fromkeys(names) if not settings.local_only or _stays_here(n, settings)]
    # Less than an engine's share of a call, so that one that hangs is told from one that is only slow.
    question_s = settings.timeout / (1 + len(used))
    return [_made(name, settings, question_s, clock) for name in used]


def _configured(settings: TranslateSettings) -> list[str]:
    return [
        *["deepl"] * bool(settings.deepl_key),
        *["libretranslate"] * bool(settings.libretranslate_url),
        "google",
        "mymemory",
        "apertium",
    ]


def _stays_here(name: str, settings: TranslateSettings) -> bool:
    return name == "apertium" or (name == "libretranslate" and on_loopback(settings.libretranslate_url or ""))


def _made(name: str, settings: TranslateSettings, question_s: float, clock: Callable[[], float]) -> Engine:
    match name:
        case "deepl":
            return DeepL(_open(settings.deepl_key), settings.deepl_url or "", question_s)
        case "libretranslate":
            url, key = settings.libretranslate_url or "", _open(settings.libretranslate_key)
            return LibreTranslate(url, key, question_s, clock)
        case "google":
            return DeepTranslator(name, settings.google_url, question_s)
        case "mymemory":
            return DeepTranslator(name, settings.mymemory_url, question_s)
    return Apertium(settings.apertium_modes, settings.apertium_pairs, settings.apertium_idle)


def _open(key: SecretStr | None) -> str:
    return key.get_secret_value() if key else ""
