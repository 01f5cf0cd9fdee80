"""Pictures over the cap come as a smaller copy that says so; bombs and broken ones are refused."""

import io
import random
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from backends.files import Sandbox
from config import FilesSettings
from errors import TooMuch


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(FilesSettings(root=tmp_path, max_bytes=100_000)) as opened:
        yield opened


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    channels = len(mode) if mode != "P" else 1
    return Image.frombytes(mode, (width, height), random.Random(1).randbytes(width * height * channels))


@pytest.mark.parametrize(
    ("name", "mode", "kind", "mime"),
    [
        ("a.png", "RGB", "PNG", "image/jpeg"),
        ("a.png", "RGBA", "PNG", "image/png"),
        ("a.jpg", "CMYK", "JPEG", "image/jpeg"),
        ("a.gif", "P", "GIF", "image/jpeg"),
        ("a.bmp", "RGB", "BMP", "image/jpeg"),
        ("a.webp", "RGB", "WEBP", "image/jpeg"),
        ("a.tif", "L", "TIFF", "image/jpeg"),
    ],
)
async def test_a_picture_over_the_cap_comes_smaller_and_says_so(
    tmp_path: Path, sandbox: Sandbox, name: str, mode: str, kind: str, mime: str
) -> None:
    noise(600, 400, mode).save(tmp_path / name, kind, **({"quality": 100} if kind != "PNG" else {}))
    size = (tmp_path / name).stat().st_size
    assert size > 100_000
    media, data = await sandbox.read_media(name)
    assert (media.mime_type, media.size) == (mime, len(data))
    assert len(data) <= 100_000
    with Image.open(io.BytesIO(data)) as copy:
        assert abs(copy.width / copy.height - 1.5) < 0.03
        shown = f"{copy.width:,} x {copy.height:,}"
    assert media.note == (
        f"This is a smaller copy of {shown} points; the file has 600 x 400 and {size:,} bytes."
    )


async def test_a_picture_within_the_cap_comes_as_it_is(tmp_path: Path, sandbox: Sandbox) -> None:
    noise(30, 20).save(tmp_path / "a.png")
    media, data = await sandbox.read_media("a.png")
    assert (data, media.note) == ((tmp_path / "a.png").read_bytes(), "")


async def test_the_copy_stands_as_the_picture_says_and_tells_nothing_else(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6  # a quarter turn
    tags[0x010E] = "taken at home"
    noise(600, 400).save(tmp_path / "a.jpg", quality=100, exif=tags)
    _, data = await sandbox.read_media("a.jpg")
    with Image.open(io.BytesIO(data)) as copy:
        assert copy.height > copy.width
        assert not copy.getexif()
    assert b"taken at home" not in data


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (png(60_000, 60_000, zlib.compress(bytes(200_000), 0)), "too many points"),
        (png(10_000, 9_000, zlib.compress(bytes(200_000), 0)), "too many points"),
        (png(300, 300, zlib.compress(bytes(120_000), 0)), "cannot be decoded"),  # rows that end too soon
        (b"\x89PNG\r\n\x1a\n" + bytes(200_000), "cannot be decoded"),
        (b"\xff\xd8\xff\xe0" + random.Random(2).randbytes(200_000), "cannot be decoded"),
        (b"GIF89a" + bytes(200_000), "cannot be decoded"),
        (b"II*\0" + random.Random(3).randbytes(200_000), "cannot be decoded"),
        (b"\0\0\0\x20ftypavif" + bytes(200_000), "cannot be decoded"),
    ],
)
async def test_a_bomb_or_a_broken_picture_is_refused(
    tmp_path: Path, sandbox: Sandbox, raw: bytes, says: str
) -> None:
    (tmp_path / "a.png").write_bytes(raw)
    with pytest.raises(TooMuch, match=says) as refusal:
        await sandbox.read_media("a.png")
    assert "files_info" in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


async def test_damage_anywhere_never_fails_otherwise(tmp_path: Path, sandbox: Sandbox) -> None:
    dice = random.Random(4)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        into = io.BytesIO()
        noise(220, 180).save(into, kind, **({"quality": 100} if kind == "JPEG" else {}))
        whole = into.getvalue() + bytes(120_000)
        for _ in range(15):
            damaged = bytearray(whole)
            for _ in range(4):
                damaged[dice.randrange(8, min(400, len(whole)))] = dice.randrange(256)
            (tmp_path / "a.bin").write_bytes(bytes(damaged))
            try:
                _, data = await sandbox.read_media("a.bin")
            except Exception as refusal:
                assert type(refusal).__name__ in ("TooMuch", "Forbidden"), (kind, refusal)  # noqa: PT017
            else:
                assert len(data) <= 100_000


@pytest.mark.parametrize(
    ("name", "mode", "levels", "grey"),
    [
        ("a.png", "I;16", (0, 30_000, 65_535), 117),
        ("a.tif", "I;16", (0, 300, 300), 1),
        ("a.tif", "I", (-100_000, 0, 100_000), 127),
        ("a.tif", "F", (0.0, 0.25, 1.0), 64),
        ("a.tif", "F", (0.5, 0.5, 0.5), 0),
    ],
)
async def test_more_levels_of_grey_than_a_copy_keeps_are_brought_down_to_it(
    tmp_path: Path, sandbox: Sandbox, name: str, mode: str, levels: tuple[float, ...], grey: int
) -> None:
    dark, middle, bright = (Image.new(mode, (100, 300), level) for level in levels)
    picture = Image.new(mode, (300, 300))
    for place, part in enumerate((dark, middle, bright)):
        picture.paste(part, (place * 100, 0))
    picture.save(tmp_path / name)
    with (tmp_path / name).open("ab") as file:
        file.write(b"\0" * 200_000)
    _, data = await sandbox.read_media(name)
    with Image.open(io.BytesIO(data)) as copy:
        got = copy.convert("L").getpixel((copy.width // 2, copy.height // 2))
    assert isinstance(got, int)
    assert abs(got - grey) < 4
