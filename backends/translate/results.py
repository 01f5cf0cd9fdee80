"""What translating returns: every text says who translated it, from what, and how good that is."""

from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from backends import Result


class Lean(Result):
    """Its schema holds its items where they stand, each being used once: 60 characters less a tool."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = handler(core_schema)
        record = handler.resolve_ref_schema(schema)
        record.pop("required", None)  # every field is always there
        for field in record.get("properties", {}).values():
            if "$ref" in field.get("items", {}):
                field["items"] = handler.resolve_ref_schema(field["items"])
        return schema


class TextResult(Lean):
    text: str
    provider: str  # "none": nothing had to be translated
    source: str
    source_confidence: float | None = None  # only when the source was detected
    target: str
    quality: str
    notices: tuple[str, ...] = ()


class BatchItem(Lean):
    text: str = ""
    error: str = ""
    provider: str = ""
    source: str = ""
    quality: str = ""


class BatchResult(Lean):
    items: tuple[BatchItem, ...]
    target: str
    failed: int
    notices: tuple[str, ...] = ()


class Guess(Lean):
    code: str
    confidence: float


class Detection(Lean):
    languages: tuple[Guess, ...]


class Language(Lean):
    code: str
    name: str
    providers: tuple[str, ...]


class LanguageList(Lean):
    languages: tuple[Language, ...]
    notices: tuple[str, ...] = ()


class DocumentResult(Lean):
    path: str
    source: str
    target: str
    providers: tuple[str, ...]
    quality: str
    texts: int
    untranslated: int
    size: int
    notices: tuple[str, ...] = ()
