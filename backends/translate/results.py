"""What translating returns: every text says who translated it, from what, and how good that is."""

from backends import Result


class TextResult(Result):
    text: str
    provider: str  # "none": nothing had to be translated
    source: str
    source_confidence: float | None = None  # only when the source was detected
    target: str
    quality: str
    notices: tuple[str, ...] = ()


class BatchItem(Result):
    text: str = ""
    error: str = ""
    provider: str = ""
    source: str = ""
    quality: str = ""


class BatchResult(Result):
    items: tuple[BatchItem, ...]
    target: str
    failed: int
    notices: tuple[str, ...] = ()


class Guess(Result):
    code: str
    confidence: float


class Detection(Result):
    languages: tuple[Guess, ...]


class Language(Result):
    code: str
    name: str
    providers: tuple[str, ...]


class LanguageList(Result):
    languages: tuple[Language, ...]
    notices: tuple[str, ...] = ()
