"""What a file holds, told from its first bytes: its media type, whether it is text, and in which encoding."""

import codecs
import re
from typing import NamedTuple

SAMPLE = 65_536  # bytes looked at

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyphei", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"),
    (8, b"WAVE", "audio/wav"),
    (0, b"ID3\2", "audio/mpeg"),
    (0, b"ID3\3", "audio/mpeg"),
    (0, b"ID3\4", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"OggS\0", "audio/ogg"),
    (0, b"fLaC\0", "audio/flac"),
    (0, b"\xff\xf1", "audio/aac"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (4, b"1AY&SY", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\x7fELF", "application/x-executable"),
)
_BEGINNINGS = {magic[:2] for _, magic, _ in _MAGIC}  # tells a text in a tenth of the time
_BINARY = "application/octet-stream"
_OFFICE = {  # each a zip with a purpose
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".epub": "application/epub+zip",
}
# Python's mimetypes reads the machine's own tables, so the same file would differ from host to host.
_TEXT = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".html": "text/html",
    ".htm": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".py": "text/x-python",
    ".ics": "text/calendar",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".sql": "application/sql",
}
_BOMS = (  # UTF-32's first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What charset-normalizer may answer, likeliest first: stateful and EBCDIC code pages break lines elsewhere.
# fmt: off
_CODE_PAGES = [
    "cp1252", "latin_1", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256",
    "cp1257", "cp932", "euc_jp", "gb18030", "big5", "cp949",
]
# fmt: on
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_NAMES = {"latin_1": "iso-8859-1", "iso8859_2": "iso-8859-2", "cp932": "shift_jis"}


class Content(NamedTuple):
    """What a sample tells. `codec` is Python's; "" for what is not text."""

    mime: str
    codec: str = ""
    bom: int = 0  # bytes of byte order mark before the text
    guessed: bool = False

    @property
    def is_text(self) -> bool:
        return bool(self.codec)

    @property
    def encoding(self) -> str:
        """What people call the encoding."""
        name = _NAMES.get(self.codec, self.codec.replace("cp125", "windows-125").replace("_", "-"))
        return f"{name} with BOM" if self.bom else name


def examine(sample: bytes, whole: bool, name: str) -> Content:
    """Tell what a file holds.

    Args:
        sample: Its first bytes, `SAMPLE` of them or all.
        whole: Whether they are all.
        name: Its name; the extension tells one kind of text from another.
    """
    suffix = "." + name.lower().rpartition(".")[2]
    if mime := _media(sample):
        return Content(_OFFICE.get(suffix, mime) if mime == "application/zip" else mime)
    mime = _TEXT.get(suffix, "text/plain")
    for mark, codec in _BOMS:
        if sample.startswith(mark):
            return Content(mime, codec, len(mark))
    if b"\0" in sample:
        return Content(mime, codec, guessed=True) if (codec := _wide(sample)) else Content(_BINARY)
    if sample.isascii():
        return Content(mime, "utf-8")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        codec = _guess(sample)
        return Content(mime, codec, guessed=True) if codec else Content(_BINARY)
    return Content(mime, "utf-8")


def _media(sample: bytes) -> str:
    if not (sample[:2] in _BEGINNINGS or sample[4:6] in _BEGINNINGS or sample[8:10] in _BEGINNINGS):
        return ""
    for offset, magic, mime in _MAGIC:
        if not sample.startswith(magic, offset):
            continue
        if offset == 8 and not sample.startswith(b"RIFF"):
            continue
        # Letters alone are too few to tell a picture from a text that begins with them.
        if magic[:2] in (b"BM", b"ft") and b"\0" not in sample[:26]:
            continue
        return mime
    return ""


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark: every other byte of what is mostly Latin is zero, and nothing else is; or ""."""
    sample = sample[: len(sample) // 2 * 2]
    for codec, high, low in (
        ("utf-16-le", sample[1::2], sample[::2]),
        ("utf-16-be", sample[::2], sample[1::2]),
    ):
        if len(high) < 4 or high.count(0) < len(high) * 0.7 or 0 in low:
            continue
        text = codecs.getincrementaldecoder(codec)("replace").decode(sample)
        if "\ufffd" not in text and not _CONTROL.search(text):
            return codec
    return ""


def _guess(sample: bytes) -> str:
    """The likeliest code page, from the lines that are not plain ASCII; "" for what is no text."""
    import charset_normalizer

    lines = b"\n".join(line[:1000] for line in sample.split(b"\n") if not line.isascii())[:4096]
    found = charset_normalizer.from_bytes(lines, cp_isolation=_CODE_PAGES)
    if (best := found.best()) is None:
        return ""
    level = [m for m in found if (m.chaos, m.coherence) == (best.chaos, best.coherence)]
    names = {name for match in level for name in match.could_be_from_charset}
    return next((name for name in _CODE_PAGES if name in names), best.encoding)
