"""The chain of the audit: what was altered, removed, reordered or cut off is found, and how far that goes."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import Ledger, audit_files, head_path, rotated
from ledger.reading import Verdict, events, verify

KEY = b"k" * 32
HERE = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "audit.jsonl"


def body(number: int, padding: int = 0) -> bytes:
    return json.dumps({"event": "call", "n": number, "x": "y" * padding}, separators=(",", ":")).encode()


def write(path: Path, count: int, start: int = 1, max_bytes: int = 10_000_000, keep: int = 0) -> None:
    ledger = Ledger(path, KEY, max_bytes, keep)
    for number in range(start, start + count):
        ledger.append([body(number, 100)])
    ledger.close()


def whole(path: Path) -> Verdict:
    found = verify(path, KEY)
    assert found.problems == ()
    return found


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_chain_goes_on_over_restarts(path: Path) -> None:
    write(path, 3)
    write(path, 3, start=4)
    found = whole(path)
    assert (found.lines, found.first, found.last, found.notes) == (6, 1, 6, ())
    assert [event["n"] for event in events(path)] == [1, 2, 3, 4, 5, 6]


def test_a_chain_goes_on_over_rotations(path: Path) -> None:
    write(path, 100, max_bytes=2_000)
    assert len(rotated(path)) > 5
    found = whole(path)
    assert (found.files, found.lines) == (len(audit_files(path)), 100)


def test_the_oldest_files_go_and_the_chain_says_so(path: Path) -> None:
    write(path, 100, max_bytes=2_000, keep=3)
    assert len(rotated(path)) == 3
    found = whole(path)
    assert found.first > 50
    assert found.notes == (
        f"Numbers 1 to {found.first - 1} were removed by the server, as it keeps so many files.",
    )


def test_an_oldest_file_that_somebody_removed_is_missed(path: Path) -> None:
    write(path, 100, max_bytes=2_000, keep=3)
    rotated(path)[0].unlink()
    assert "are missing, and the server did not remove them" in verify(path, KEY).problems[0]


@pytest.mark.parametrize("keep", [0, 3])
def test_the_first_line_altered_is_found(path: Path, keep: int) -> None:
    write(path, 100, max_bytes=2_000, keep=keep)
    first = audit_files(path)[0]
    first.write_bytes(first.read_bytes().replace(b'"event":"call"', b'"event":"cell"', 1))
    assert len(verify(path, KEY).problems) == 1


@pytest.mark.parametrize("seed", range(25))
def test_one_bit_changed_anywhere_is_found(path: Path, seed: int) -> None:
    write(path, 60, max_bytes=3_000)
    chance = random.Random(seed)
    file = chance.choice(audit_files(path))
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)
    assert verify(path, KEY).problems


@pytest.mark.parametrize("at", [0, 1, 30, 58, 59])
def test_one_line_removed_is_found_wherever_it_was(path: Path, at: int) -> None:
    write(path, 60)
    kept = lines(path)
    del kept[at]
    path.write_bytes(b"".join(kept))
    (problem, *_) = verify(path, KEY).problems
    assert str(at + 1) in problem or str(at) in problem


def test_two_lines_changed_about_are_found(path: Path) -> None:
    write(path, 10)
    swapped = lines(path)
    swapped[3], swapped[4] = swapped[4], swapped[3]
    path.write_bytes(b"".join(swapped))
    assert verify(path, KEY).problems


def test_a_line_put_in_is_found_though_its_maker_knows_how_chains_are_made(path: Path) -> None:
    write(path, 10)
    write(path.with_name("other.jsonl"), 12)
    forged = lines(path)
    forged.insert(5, lines(path.with_name("other.jsonl"))[5])
    path.write_bytes(b"".join(forged))
    assert verify(path, KEY).problems


def test_a_chain_made_anew_without_the_key_is_found(path: Path, tmp_path: Path) -> None:
    write(path, 5)
    forger = Ledger(path.with_name("forged.jsonl"), b"another key".ljust(32), 10_000_000, 0)
    for number in range(5):
        forger.append([body(number + 100)])
    forger.close()
    path.with_name("forged.jsonl").replace(path)
    head_path(path.with_name("forged.jsonl")).replace(head_path(path))
    assert len(verify(path, KEY).problems) >= 5


@pytest.mark.parametrize("cut", [1, 5])
def test_lines_cut_off_the_end_are_missed(path: Path, cut: int) -> None:
    write(path, 10)
    path.write_bytes(b"".join(lines(path)[:-cut]))
    assert verify(path, KEY).problems == (
        f"The end is missing: the last line is number {10 - cut}, and 10 were written.",
    )


def test_half_a_line_at_the_end_is_missed(path: Path) -> None:
    write(path, 10)
    path.write_bytes(path.read_bytes()[:-20])
    assert verify(path, KEY).problems


def test_without_a_head_it_says_that_a_cut_end_cannot_be_told(path: Path) -> None:
    write(path, 10)
    path.write_bytes(b"".join(lines(path)[:-3]))
    head_path(path).unlink()
    found = verify(path, KEY)
    assert found.problems == ()
    assert found.notes == ("The head is missing: whether lines at the end are missing cannot be told.",)


def test_an_older_copy_of_everything_shows_only_by_a_line_that_was_noted(path: Path) -> None:
    write(path, 5)
    copies = {file: file.read_bytes() for file in path.parent.iterdir()}
    write(path, 5, start=6)
    noted = whole(path)
    for file, content in copies.items():
        file.write_bytes(content)
    assert verify(path, KEY).problems == (), "as far as it goes"
    assert verify(path, KEY, (noted.last, noted.chain)).problems
    earlier = json.loads(lines(path)[2])["chain"]
    assert verify(path, KEY, (3, earlier)).problems == ()


def test_a_last_line_of_another_time_is_found(path: Path) -> None:
    write(path, 5)
    copies = {file: file.read_bytes() for file in path.parent.iterdir()}
    write(path, 1, start=6)
    of_then = path.read_bytes()
    for file, content in copies.items():
        file.write_bytes(content)
    write(path, 1, start=7)
    path.write_bytes(of_then)  # number 6 as it was, with the head of the other number 6
    assert "Number 6" in str(verify(path, KEY)).replace("number 6", "Number 6")
    assert verify(path, KEY).problems


def test_the_head_altered_is_found(path: Path) -> None:
    write(path, 10)
    stored = head_path(path).read_bytes()
    head_path(path).write_bytes(stored.replace(b"10 ", b"09 ", 1))
    assert verify(path, KEY).problems == ("The head was altered, or the key is another one.",)


@pytest.mark.parametrize("how", ["cut", "removed", "torn", "appended", "head"])
def test_a_server_goes_on_after_damage_and_the_damage_stays_to_be_seen(path: Path, how: str) -> None:
    write(path, 10)
    match how:
        case "cut":
            path.write_bytes(b"".join(lines(path)[:-2]))
        case "removed":
            path.unlink()
        case "torn":
            path.write_bytes(path.read_bytes() + b'{"seq":11,"half')
        case "appended":
            path.write_bytes(path.read_bytes() + lines(path)[3])
        case "head":
            head_path(path).write_bytes(b"nonsense")
    write(path, 5, start=11)
    found = verify(path, KEY)
    assert any("the server found here" in problem for problem in found.problems)
    assert [event["n"] for event in events(path) if "n" in event][-5:] == [11, 12, 13, 14, 15]
    if how in ("torn", "appended"):
        assert b"half" in b"".join(file.read_bytes() for file in audit_files(path)) or how == "appended"


def test_lines_that_were_written_when_the_process_was_killed_before_the_head_are_kept(path: Path) -> None:
    write(path, 5)
    before = head_path(path).read_bytes()
    write(path, 1, start=6)
    head_path(path).write_bytes(before)
    write(path, 1, start=7)
    assert whole(path).lines == 7


def test_a_file_moved_away_by_somebody_is_missed_and_another_begun(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.LOOK_EVERY_S", 0.0)
    ledger = Ledger(path, KEY, 10_000_000, 0)
    ledger.append([body(1)])
    path.rename(path.with_name("taken"))
    ledger.append([body(2)])
    ledger.close()
    assert [event["event"] for event in events(path)] == ["damaged", "call"]
    assert verify(path, KEY).problems


def test_a_process_killed_while_it_began_another_file_is_no_damage(path: Path) -> None:
    write(path, 5)
    path.rename(path.with_name("audit.000000000001.jsonl"))  # and no further
    write(path, 5, start=6)
    found = whole(path)
    assert (found.files, found.lines) == (2, 10)


@pytest.mark.parametrize("gone", [0, 1])
def test_a_process_killed_while_it_removed_the_oldest_files_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch, gone: int
) -> None:
    write(path, 60, max_bytes=2_000, keep=3)
    assert whole(path).first > 1
    left, unlink = [gone], Path.unlink

    def killed(file: Path, missing_ok: bool = False) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PermissionError
        unlink(file, missing_ok)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        write(path, 40, start=61, max_bytes=2_000, keep=3)
    assert len(rotated(path)) > 3
    whole(path)


def test_any_name_may_be_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit [1]*.jsonl"
    write(path, 60, max_bytes=2_000)
    assert whole(path).files > 3


def test_a_file_begun_while_the_chain_is_read_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, 10)
    listed = audit_files(path)

    def once(_: Path) -> list[Path]:
        monkeypatch.undo()
        write(path, 40, start=11, max_bytes=2_000)
        return listed

    monkeypatch.setattr("ledger.reading.audit_files", once)
    assert whole(path).lines == 50


@pytest.mark.parametrize(
    "more", [b'{"seq":4,"event":"pruned","before":null,"left":7,"chain":"00"}', b"[" * 10_000]
)
def test_rubbish_in_the_file_is_damage_and_no_more(path: Path, more: bytes) -> None:
    write(path, 3)
    with path.open("ab") as file:
        file.write(more + b"\n")
    assert verify(path, KEY).problems
    assert len(list(events(path))) in (3, 4)


def test_a_full_disk_leaves_no_half_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path, KEY, 10_000_000, 0)
    ledger.append([body(1)])
    real = os.write
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda file, data: real(file, data[: len(data) // 2]))
        with pytest.raises(OSError, match="No space"):
            ledger.append([body(2), body(3)])
    ledger.append([body(4)])
    ledger.close()
    assert [event["n"] for event in events(path)] == [1, 4]
    whole(path)


def test_another_process_that_holds_the_lock_holds_nobody_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.PATIENCE_S", 0.02)
    one, other = Ledger(path, KEY, 10_000_000, 0), Ledger(path, KEY, 10_000_000, 0)
    one.append([body(1)])
    other.append([body(2)])
    one._take_turn()
    with pytest.raises(OSError, match="another process"):
        other.append([body(3)])
    one.append([body(3)])
    other.append([body(4)])
    one.close()
    other.close()
    assert whole(path).lines == 4


APPEND = """
import sys
from pathlib import Path
from ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), b"k" * 32, 20_000, 0)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    ledger.append([b'{"event":"call","who":"%d","n":%d}' % (int(sys.argv[3]), number)])
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def appenders(path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    path.parent.mkdir(parents=True)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", APPEND, str(path), "400", str(who)],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in range(3)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == f"{word}\n"


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_three_processes_write_one_chain_and_a_killed_one_loses_nothing(
    path: Path, appenders: list[subprocess.Popen[str]]
) -> None:
    for process in appenders:
        told(process, "ready")
    for process in appenders:
        go(process)
    for process in appenders:
        told(process, "done")
        process.kill()
    assert whole(path).lines == 1_200
    each = [[event["n"] for event in events(path) if event["who"] == str(who)] for who in range(3)]
    assert each == [list(range(400))] * 3, "each one's lines, in its order"
    assert len(rotated(path)) > 3
