"""With ripgrep's help a search finds what it finds without, and nothing of ripgrep gets through."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from backends.files import Sandbox, beneath, search_tree, sieve
from backends.files.deny import Deny
from backends.files.sandbox import Root
from backends.files.searching import Matches, Query
from backends.files.work import Work
from config import HIDDEN, FilesSettings
from errors import Refusal

RIPGREP = sieve.program()
if RIPGREP is None:
    if os.environ.get("TEST_REQUIRE_ALL"):
        pytest.fail("ripgrep is missing")
    pytest.skip("ripgrep is not installed", allow_module_level=True)

TEXTS = {
    "plain.txt": b"one needle\ntwo\nNEEDLE 42 end\n", "crlf.txt": b"needle\r\ntwo needle\r\n\r\n",
    "cr.txt": b"one\rneedle\rtwo\n", "empty.txt": b"", "no-end.txt": b"two\nneedle",
    "latin.txt": "Die Größe der needle für fünf Äpfel\n".encode("latin-1"),
    "utf8.txt": "Größe needle\n日本 needle\n".encode(), "bom.txt": b"\xef\xbb\xbfneedle\n",
    "utf16.txt": b"\xff\xfe" + "a needle\n".encode("utf-16-le"),
    "utf16be.txt": b"\xfe\xff" + "a needle\n".encode("utf-16-be"),
    "wide.txt": "a needle without a mark\n".encode("utf-16-le"),
    "utf32.txt": b"\xff\xfe\0\0" + "a needle\n".encode("utf-32-le"),
    "japanese.txt": "今日の天気は晴れです。needle 明日は雨。\n".encode("cp932") * 3,
    "binary.bin": b"needle\0needle", "late.txt": b"text\n" * 20_000 + b"\xff needle\n",
    "late-zero.txt": b"text\n" * 20_000 + b"\0 needle\n", "picture.txt": b"GIF89a needle\n",
    "document.txt": b"%PDF-1.7 needle\n", "riff.txt": b"RIFF    WAVE needle\n",
    "tabs.txt": b"\tneedle\x0b!\n", "escape.txt": b"\x1b[31mneedle\x1b[0m\n",
    "long.txt": b"x" * 200_000 + b"needle\n",
    "sub/deep/er.txt": b"needle\n", "sub/.env": b"needle\n", "sub/.git/config": b"needle\n",
    "sub/out.log": b"needle\n", "sub/.gitignore": b"*.log\n", ".hidden/a.txt": b"needle\n",
    "-e.txt": b"needle\n", "ünï/ç.txt": b"needle\n", "space name.txt": b"needle\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sieve")
    for name, raw in TEXTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(raw)
    (root / "link.txt").symlink_to("plain.txt")
    (root / "linked").symlink_to("sub")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_tree, "_SIEVE_FROM", 0)


@pytest.fixture
def _really(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ripgrep's word must have been taken, or the comparison says nothing."""
    taken = []
    ask = sieve.Sieve.candidates

    def watched(self: sieve.Sieve, work: Work) -> object:
        found = ask(self, work)
        taken.append(found is not None)
        return found

    monkeypatch.setattr(sieve.Sieve, "candidates", watched)
    yield
    assert all(taken)
    assert taken


def searched(root: Path, ripgrep: str | None, text: str, regex: bool = False, **over: object) -> Matches:
    held = Root(beneath.hold(root), Deny(HIDDEN))
    work = Work(30, threading.Event())
    work.start()
    try:
        query = Query(text, regex, 1, 1000, 5_000_000)
        return search_tree.search(held, work, query, ".", "**", ripgrep=ripgrep, **over)  # type: ignore[arg-type]
    finally:
        held.beneath.close()


@pytest.mark.usefixtures("_really")
@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize(
    ("text", "regex"),
    [
        ("needle", False), ("e", False), ("two", False), ("nothing like it", False), ("Größe", False),
        ("日本", False), (" ", False), ("42", False), ("\\x", False), ("-e", False), ("(?i)", False),
        ("needle", True), ("(?i)NEEDLE$", True), (r"\d+", True), ("^two$", True), ("^$", True), ("z*", True),
        (r"\bneedle\b", True), (r"[^a-z]+needle", True), (r"Gr..e", True), (r"\S!", True), ("a|b|c", True),
        (r"(one|two) ?n?", True), (r"n.{2}d", True), (r"\x6eeedle", True), ("[[:digit:]]", True),
    ],
)  # fmt: skip
def test_all_that_is_found_and_told_is_the_same(root: Path, text: str, regex: bool, ignored: bool) -> None:
    with_help = searched(root, RIPGREP, text, regex, ignored=ignored)
    without = searched(root, None, text, regex, ignored=ignored)
    assert with_help.matches == without.matches
    assert (with_help.files, with_help.truncated) == (without.files, without.truncated)
    # Ripgrep searches a long line whole, of which our engine tells a doubt; and it has gone all of the way
    # when the search is cut.
    apart = ("Pieces",) + ("Entries left out",) * without.truncated
    assert [n for n in with_help.notices if not n.startswith(apart)] == [
        n for n in without.notices if not n.startswith(apart)
    ]
    assert ".env" not in repr(with_help)
    assert ".git/" not in repr(with_help)


PIECES = [
    "a", "b", "needle", ".", "^", "$", r"\d", r"\w", r"\s", r"\S", r"\b", "(", ")", "(?:", "(?i)", "|", "*",
    "+", "?", "{2}", "{1,3}", "[ab]", "[^a]", "[a-z]", "[", "]", "&&", "--", "\\", r"\.", r"\x41", "é", " ",
    r"\Qa.b\E", r"\pL", "(?s)", "(?-m)", "[[:alpha:]]", "#", "-", "{,2}", r"\r", r"\t", r"\v",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (r"List\<int\>", False), (r"\bint\b", True), (r"o\b{start}", False), ("a{2, 3}", False),
        ("a{,3}", False), ("a{2}b{1,}c{1,3}", True), (r"f\(\) \{", True), (r"\\{2}", True),
        (r"\\{ 2}", False),
    ],
)  # fmt: skip
def test_ripgrep_is_not_asked_for_what_some_of_its_versions_read_differently(
    tmp_path: Path, text: str, asked: bool
) -> None:
    assert (sieve.expression(text, regex=True) is not None) == asked
    (tmp_path / "a.txt").write_text("List<int>\n")
    (tmp_path / "b.txt").write_text("o{start} a{2, 3} a{,3} f() {\n")
    (tmp_path / "c.txt").write_text("\\\\ \\{ 2} aabccc\n")
    assert searched(tmp_path, RIPGREP, text, True).matches == searched(tmp_path, None, text, True).matches


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join))
@examples(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_expression_finds_the_same(root: Path, expression: str) -> None:
    try:
        without = searched(root, None, expression, True)
    except Refusal:
        return
    assert searched(root, RIPGREP, expression, True).matches == without.matches


@given(st.text(alphabet="ndle\\x()[]{}.*+?^$|-'\"é日\t ~", min_size=1, max_size=8))
@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_plain_text_finds_the_same(root: Path, text: str) -> None:
    assert searched(root, RIPGREP, text).matches == searched(root, None, text).matches


@pytest.mark.parametrize("expression", ["needle", "(?i)NEEDLE$", r"^two$", r"\d+", "Gr..e", "(a+)+$", "z*"])
def test_where_the_other_engine_is_missing_ripgrep_finds_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    with_re2 = searched(root, None, expression, True)
    monkeypatch.setitem(sys.modules, "re2", None)
    found = searched(root, RIPGREP, expression, True)
    assert [(m.path, m.line) for m in found.matches] == [(m.path, m.line) for m in with_re2.matches]


@pytest.mark.parametrize("expression", ["(a", "[z-a]", "a\0b", r"(?=x)"])
def test_what_ripgrep_cannot_read_either_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(Refusal, match="regex=false") as refusal:
        searched(root, RIPGREP, expression, True)
    assert str(root) not in str(refusal.value)


def test_a_cut_search_goes_on_at_the_same_places(root: Path) -> None:
    held = Root(beneath.hold(root), Deny(HIDDEN))
    pages: dict[str | None, list[object]] = {}
    for ripgrep in (None, RIPGREP):
        cursor: str | None = None
        pages[ripgrep] = []
        while cursor != "":
            work = Work(30, threading.Event())
            work.start()
            query = Query("needle", False, 0, 3, 5_000_000)
            found = search_tree.search(held, work, query, ".", "**", cursor, ripgrep=ripgrep)
            pages[ripgrep] += found.matches
            cursor = found.next_cursor
    held.beneath.close()
    assert pages[None] == pages[RIPGREP]


@pytest.mark.parametrize("name", [".rgignore", ".ignore"])
def test_a_file_that_only_ripgrep_heeds_changes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").write_text("*\n")
    (tmp_path / "root/sub").mkdir(parents=True)
    for path in ("a.txt", "sub/b.txt"):
        (tmp_path / "root" / path).write_text("needle")
    if name == ".rgignore":
        (tmp_path / "root/sub" / name).write_text("*\n")
    else:
        (tmp_path / "root/sub" / name).symlink_to(tmp_path / "elsewhere")
    (tmp_path / ".gitignore").write_text("*\n")  # above the root: nobody's affair here
    found = searched(tmp_path / "root", RIPGREP, "needle")
    assert [match.path for match in found.matches] == ["a.txt", "sub/b.txt"]


def test_ripgrep_gets_no_environment_no_configuration_and_no_word_but_the_expression(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rc").write_text("--pre=touch\n--follow\n--invalid-option\n")
    monkeypatch.setenv("RIPGREP_CONFIG_PATH", str(tmp_path / "rc"))
    commands: list[tuple[list[str], object]] = []
    start = subprocess.Popen

    def watched(command: list[str], **given: object) -> object:
        commands.append((command, given["env"]))
        return start(command, **given)  # type: ignore[call-overload]  # as it was called

    monkeypatch.setattr(subprocess, "Popen", watched)
    for text in ("--pre=sh", "x --files", "needle\\"):
        searched(root, RIPGREP, text)
    for command, env in commands:
        assert env == {}
        assert command[-2:] == ["--", "./"]
        assert not [
            word for word in command if "pre=" in word or "files " in word or word.startswith("/root")
        ]
    assert len(commands) == 3


def test_what_ripgrep_names_is_opened_like_all_else(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("needle outside")
    names = {"": {"plain.txt", "link.txt", "pipe", "nothing"}, "..": {"outside.txt"}, "sub": {".env"}}
    monkeypatch.setattr(sieve.Sieve, "candidates", lambda *_: names)
    found = searched(root, RIPGREP, "needle")
    assert {match.path for match in found.matches} == {"plain.txt"}


def test_when_ripgrep_fails_or_dawdles_the_search_does_without(root: Path, tmp_path: Path) -> None:
    whole = searched(root, None, "needle")
    for script in ("exit 2", "exit 0", "kill -9 $$", "printf './plain.txt\\0'; exit 2"):
        fake = tmp_path / "rg"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o700)
        found = searched(root, str(fake), "needle")
        if script == "exit 0":
            assert len(found.matches) == 0  # it was believed
        else:
            assert found == whole
    assert searched(root, str(tmp_path / "missing"), "needle") == whole


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_a_cancelled_or_late_search_leaves_no_ripgrep_behind(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a.txt").write_text("needle")
    fake = tmp_path / "rg"
    fake.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\nexec sleep 60\n")
    fake.chmod(0o700)
    patch = pytest.MonkeyPatch()
    patch.setattr(sieve, "program", lambda: str(fake))
    try:
        async with Sandbox(FilesSettings(root=tmp_path / "root", timeout=0.9)) as sandbox:
            found = await sandbox.search("needle", ".", "**", regex=False, context=0, limit=10)
            assert len(found.matches) == 1  # after its share of the time it was left
            with anyio.move_on_after(0.1) as scope:
                await sandbox.search("needle", ".", "**", regex=False, context=0, limit=10)
            assert scope.cancelled_caught
        started = time.monotonic()
    finally:
        patch.undo()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    while any(map(is_running, pids)):
        assert time.monotonic() - started < 5
        await anyio.sleep(0.01)


def test_a_line_that_ripgrep_has_no_memory_for_is_searched_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sieve, "_MEMORY", 100_000_000)
    with (tmp_path / "sparse.txt").open("wb") as file:
        file.write(b"x" * 70_000)
        file.truncate(150_000_000)
    (tmp_path / "a.txt").write_text("needle")
    found = searched(tmp_path, RIPGREP, "needle")
    assert [match.path for match in found.matches] == ["a.txt"]


@pytest.mark.slow
def test_a_thousand_random_files_are_searched_alike(tmp_path: Path) -> None:
    dice = random.Random(7)
    words = ["needle", "Größe", "\r\n", "\n", "\0", "\t", " ", "x" * 50, "日本", "end", "\x1b", "\r", "42"]
    for number in range(1_000):
        text = "".join(dice.choices(words, k=dice.randrange(60)))
        codec = dice.choice(["utf-8", "utf-8", "utf-16", "latin-1", "cp932"])
        (tmp_path / f"{number}.txt").write_bytes(text.encode(codec, "replace"))
    for text, regex in (("needle", False), ("end", False), ("Größe", False), (r"\d\d$", True), ("e+n", True)):
        assert searched(tmp_path, RIPGREP, text, regex) == searched(tmp_path, None, text, regex)
    shutil.rmtree(tmp_path)
