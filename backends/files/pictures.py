"""A smaller copy of a picture that is too large to be given as it is; bombs are told by their size first."""

import io
import os
import struct
import threading
import zlib
from typing import Any, NamedTuple

from backends.files.beneath import Opened
from backends.files.work import Work
from errors import TooMuch, quote

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")  # each is decoded by size, none runs what it holds
_MOST_FILE = 200_000_000  # bytes
_MOST_POINTS = 80_000_000  # a point takes up to four bytes; Pillow itself warns of more
_SIDE = 2_048  # points of the copy's longer side: more than models look at
_SMALLEST = 64
_one = threading.Lock()  # one picture at a time: 320 MB


class Copy(NamedTuple):
    """A smaller picture, and what it was made from."""

    data: bytes
    mime_type: str
    size: tuple[int, int]
    original: tuple[int, int]


def smaller(opened: Opened, path: str, most: int, work: Work) -> Copy:
    """A copy of at most so many bytes.

    Raises:
        TooMuch: It is too large to be decoded, or is not what its first bytes say.
    """
    if opened.status.st_size > _MOST_FILE:
        raise TooMuch(f"{quote(path)} is too large for a smaller copy to be made. {_INSTEAD}")
    from PIL import Image, ImageOps

    while not _one.acquire(timeout=0.05):
        if work.late():
            raise TooMuch(f"Other pictures are being made smaller. Ask for {quote(path)} again.")
    try:
        os.lseek(opened.handle, 0, os.SEEK_SET)
        with (
            os.fdopen(os.dup(opened.handle), "rb") as file,
            Image.open(file, formats=_FORMATS) as image,
        ):
            original = image.size
            if original[0] * original[1] > _MOST_POINTS:
                raise Image.DecompressionBombError("too many points")
            image.draft("RGB", (_SIDE, _SIDE))  # a JPEG can be decoded smaller at once
            image.thumbnail((_SIDE, _SIDE))
            copy = _plain(ImageOps.exif_transpose(image))
            data, mime_type = _encoded(copy, most, path)
            return Copy(data, mime_type, copy.size, original)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooMuch(f"{quote(path)} has too many points to be made smaller. {_INSTEAD}") from error
    except _BROKEN as error:
        raise TooMuch(f"{quote(path)} cannot be decoded to be made smaller. {_INSTEAD}") from error
    finally:
        _one.release()


_INSTEAD = "files_info says what is known of it."


# What Pillow raises for what is broken, where warnings are errors too: it has no one class for it.
_BROKEN = (
    Warning, OSError, SyntaxError, ValueError, EOFError, MemoryError, TypeError, KeyError, IndexError,
    struct.error, zlib.error, OverflowError, ZeroDivisionError,
)  # fmt: skip


def _plain(image: Any) -> Any:
    """The picture in colours that PNG and JPEG have, without what came along in the file."""
    image = _eight_bits(image)
    see_through = image.mode in ("RGBA", "LA", "PA", "La") or "transparency" in image.info
    copy = image.convert("RGBA" if see_through else "RGB")
    copy.info.clear()
    return copy


def _eight_bits(image: Any) -> Any:
    """Scans and measurements have more levels of grey than a copy keeps; Pillow alone shows them as white."""
    if image.mode.startswith("I;16"):
        image = image.convert("I")
    if image.mode not in ("I", "F"):
        return image
    low, high = image.getextrema()
    if image.mode == "I" and low >= 0 and 255 < high <= 65_535:
        low, high = 0, 65_535
    scale = 255 / ((high - low) or 1)
    return image.point(lambda level: level * scale - low * scale).convert("L")


def _encoded(copy: Any, most: int, path: str) -> tuple[bytes, str]:
    """The copy as PNG where it is see-through and else as JPEG, shrunk until it fits."""
    kind, mime_type = ("PNG", "image/png") if copy.mode == "RGBA" else ("JPEG", "image/jpeg")
    while True:
        into = io.BytesIO()
        copy.save(into, kind, **({"quality": 85} if kind == "JPEG" else {}))
        if len(data := into.getvalue()) <= most:
            return data, mime_type
        if max(copy.size) <= _SMALLEST:
            raise TooMuch(f"{quote(path)} cannot be made small enough. {_INSTEAD}")
        copy.thumbnail((copy.width * 2 // 3 or 1, copy.height * 2 // 3 or 1))
