"""The arithmetic of the benchmarks, and that no goal is dropped from their table."""

import importlib
import json
import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import benchmarks.__main__ as runner
from benchmarks import report, wire
from benchmarks.contenders import Bench
from benchmarks.goals import COMPARISONS, GOALS, HANDSHAKE, MODERN, NAIVE, START, Goal, http
from benchmarks.rounds import OURS, Absent, Line, Spread, compare, lines, turns

HERE = Path(report.__file__).parent
LESS = Goal("stdio", "a call", "a peer", "<= 0.5")
MORE = Goal("http", "calls a second", "a peer", ">= 8", "a remark")
TOLD = Goal("http", "calls a second", "a floor")

WANTED = {  # what is promised: work and peer as the table has them
    (START, NAIVE): "<= 0.75",
    (START, "FastMCP, 1 tool"): "<= 0.95",
    ("trivial tool, STDIO, p50", NAIVE): "<= 0.65",
    ("trivial tool, STDIO, p50", "mcp low-level"): "<= 1.5",
    (http(HANDSHAKE, "requests/s"), NAIVE): ">= 1.8",
    (http(HANDSHAKE, "p99"), NAIVE): "<= 0.5",
    (http(MODERN, "requests/s"), NAIVE): ">= 8",
    (http(MODERN, "requests/s"), "TypeScript SDK 1"): ">= 1.0",
    (http(MODERN, "requests/s"), "TypeScript SDK 2"): ">= 1.0",
    ("tools/list, STDIO", NAIVE): "<= 0.35",
    ("sql_query 1 rows", "mcp-server-sqlite"): "<= 0.8",
    ("sql_query 100 rows", "mcp-server-sqlite"): "<= 0.8",
    ("sql_query 10,000 rows", "mcp-server-sqlite"): "<= 0.6",
    ("sql_query 10,000 rows", "raw JSON loop"): "<= 2.0",
    ("files_read 1 MB", "server-filesystem"): "<= 0.5",
    ("files_list 10,000", "server-filesystem"): "<= 1.5",
    ("files_find in 10,000", "server-filesystem"): "<= 0.05",
    ("files_search of 10,000 files", "ripgrep"): "<= 1.5",
    ("forecast from cache", "trivial tool"): "<= 1.2",
    ("translation from cache", "trivial tool"): "<= 1.2",
    ("all guards on, STDIO", "guards off"): "<= 1.15",
    ("all guards on, HTTP, 32 callers", "guards off"): "<= 1.15",
    ("memory after 100,000 calls, stateless HTTP", "after 1,000"): "<= 1.02",
    (f"2 workers, HTTP {HANDSHAKE}, requests/s", "1 worker"): ">= 1.7",
    (f"2 workers, HTTP {MODERN}, requests/s", "1 worker"): ">= 1.7",
}


@pytest.fixture(autouse=True)
def goals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.goals.GOALS", (*GOALS, LESS, MORE, TOLD))


def test_every_promised_goal_is_a_line_of_a_comparison_that_can_be_run() -> None:
    bounds = {(goal.work, goal.against): goal.bound for goal in GOALS}
    assert {line: bounds.get(line) for line in WANTED} == WANTED
    assert len(bounds) == len(GOALS)
    for name in COMPARISONS:
        assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_a_bound_says_which_way_it_points() -> None:
    for goal in GOALS:
        assert re.fullmatch(r"([<>]= \d+(\.\d+)?)?", goal.bound)


def test_less_is_better_below_a_bound_and_more_above_one() -> None:
    fast, even = Spread(0.4, 0.3, 0.6), Spread(1.0, 0.9, 1.1)
    assert Line(LESS, "ms", even, even, fast).met
    assert not Line(LESS, "ms", even, even, even).met
    nine, seven = Spread(9, 8, 16), Spread(7, 4, 9)
    assert Line(MORE, "1/s", even, even, nine).met
    assert not Line(MORE, "1/s", even, even, seven).met
    assert Line(TOLD, "1/s", even, even, seven).met is None
    assert Line(MORE, "1/s", even, even, nine).of_goal == Spread(8 / 9, 0.5, 1)
    assert Line(LESS, "ms", even, even, fast).of_goal == Spread(0.8, 0.6, 1.2)
    assert Line(TOLD, "1/s", even, even, nine).of_goal is None


def test_the_ratio_is_taken_within_each_round() -> None:
    (line,) = lines("a call", {OURS: [1.0, 10.0, 3.0], "a peer": [2.0, 40.0, 4.0]})
    assert line.ratio == Spread(0.5, 0.25, 0.75)
    assert line.ours == Spread(3, 1, 10)
    assert line.met


def test_the_order_turns_and_the_first_round_does_not_count() -> None:
    assert list(turns(["a", "b"], 2)) == [
        ("a", False), ("b", False), ("b", True), ("a", True), ("a", True), ("b", True),
    ]  # fmt: skip


def test_a_round_is_the_median_of_its_calls_and_the_warming_up_is_dropped() -> None:
    ours, theirs = count(1), count(100, 100)
    (line,) = compare("a call", {OURS: lambda: next(ours), "a peer": lambda: next(theirs)}, 1, 3)
    assert line.ours == Spread(5, 5, 5)
    assert line.theirs == Spread(500, 500, 500)


def test_a_peer_that_is_not_here_is_a_line_that_says_why() -> None:
    found = lines("calls a second", {OURS: [8.0], "a peer": Absent("needs Node"), "a floor": [4.0]}, "1/s")
    assert [line.not_run for line in found] == ["needs Node", ""]
    text = report.table(found)
    assert "not run: needs Node" in text
    assert "1) a remark" in text
    assert report.summary(found) == "0 of 1 goals met, 1 not run"


def test_a_contender_without_a_goal_and_a_goal_without_a_contender_are_errors() -> None:
    with pytest.raises(ValueError, match="goals for"):
        lines("a call", {OURS: [1.0], "another": [1.0]})
    with pytest.raises(ValueError, match="goals for"):
        lines("calls a second", {OURS: [1.0], "a peer": [1.0]})


def test_what_a_comparison_did_not_give_stands_in_the_table_as_failed() -> None:
    one = Spread(1, 1, 1)
    found = runner.complete("stdio", [Line(GOALS[0], "ms", one, one, one)])
    assert [line.goal for line in found] == [goal for goal in GOALS if goal.comparison == "stdio"]
    assert [bool(line.not_run) for line in found] == [False] + [True] * (len(found) - 1)


def test_one_comparison_that_fails_leaves_the_others_and_is_told_by_the_status(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(bench: Bench) -> list[Line]:
        raise RuntimeError("the peer answers wrongly")

    monkeypatch.setattr("benchmarks.places.run", broken)
    monkeypatch.setattr("benchmarks.apertium.PAIRS", {})
    monkeypatch.setattr("benchmarks.apertium.run", lambda bench: lines_of("apertium"))
    monkeypatch.setattr(runner, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--peers", "nowhere/bin/python", "places", "apertium"])
    assert runner.main() == 1
    told = capsys.readouterr()
    assert "not run: it failed, see above" in told.out
    assert "6 of 8 goals met, 2 not run" in told.out
    assert "no picture" in told.out
    assert "the peer answers wrongly" in told.err
    assert not (tmp_path / "latest.json").exists()


def lines_of(comparison: str) -> list[Line]:
    """Each of its goals just met."""
    return [
        Line(goal, "ms", Spread(1, 1, 1), Spread(1, 1, 1), Spread(goal.limit, goal.limit, goal.limit))
        for goal in GOALS
        if goal.comparison == comparison and goal.bound
    ]


def test_the_json_has_every_line_with_all_its_keys() -> None:
    about = {"machine": report.machine(), "versions": {"python": "3"}, "rounds": 9, "short": False}
    told = json.loads(json.dumps(report.as_json([*lines_of("sql"), Line(MORE, not_run="why")], about)))
    assert set(told) == {"taken", "machine", "versions", "rounds", "short", "lines"}
    assert set(told["machine"]) == {"cpu", "cores", "load_at_start", "os"}
    spread = {"median": (int, float), "least": (int, float), "most": (int, float)}
    keys: dict[str, Any] = {
        "comparison": str, "work": str, "against": str, "unit": str, "ours": spread, "theirs": spread,
        "ratio": spread, "goal": str, "of_goal": spread, "met": bool, "not_run": str, "note": str,
    }  # fmt: skip
    for line in told["lines"]:
        assert set(line) == set(keys)
        for key, kind in keys.items():
            if line[key] is None:
                continue
            if kind is spread:
                assert set(line[key]) == set(spread)
            else:
                assert isinstance(line[key], kind)
    assert told["lines"][-1]["met"] is None
    assert told["lines"][-1]["not_run"] == "why"


def test_a_server_is_started_as_it_is_shipped_and_may_keep_its_bytecode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTHONDONTWRITEBYTECODE", "ALMANAC_FENCE", "FASTMCP_PORT"):
        monkeypatch.setenv(name, "1")
    given = wire.environment({"ALMANAC_STATE_DIR": "here"})
    assert {name for name in given if name.startswith(("ALMANAC_", "FASTMCP_", "PYTHONDONT"))} == {
        "ALMANAC_ENV_FILE",
        "ALMANAC_STATE_DIR",
    }
    assert given["ALMANAC_ENV_FILE"] == os.devnull


def test_a_short_pass_makes_a_tenth_of_the_calls(tmp_path: Path) -> None:
    assert Bench(tmp_path, tmp_path, 2, brief=True).many(200) == 20
    assert Bench(tmp_path, tmp_path, 2, brief=True).many(5) == 3
    assert Bench(tmp_path, tmp_path, 9).many(200) == 200


def test_a_wrong_answer_is_not_measured() -> None:
    wire.checked(b"one two two", b"two", 2)
    with pytest.raises(RuntimeError, match="not there 2 times"):
        wire.checked(b"one two", b"two", 2)


def test_the_names_of_the_peers_on_node_are_pinned_exactly_and_from_no_host() -> None:
    told = json.loads((HERE / "peers/package.json").read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in told["dependencies"].values())
    assert not (HERE / "peers/package-lock.json").exists()


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path: Path) -> None:
    peers = runner.PEERS
    has = peers.exists() and not subprocess.run([peers, "-c", "import matplotlib"]).returncode
    if not has:
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail("make bench has not made .venv-peers")
        pytest.skip("matplotlib is in .venv-peers, which make bench makes")
    about = {"machine": report.machine(), "versions": report.versions(peers), "rounds": 9, "short": False}
    data, picture = tmp_path / "run.json", tmp_path / "run.png"
    data.write_text(json.dumps(report.as_json(lines_of("files"), about)), encoding="utf-8")
    assert report.draw(peers, data, picture) == ""
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_comparison_runs_without_the_peers_and_names_those_that_are_missing(tmp_path: Path) -> None:
    with Bench(tmp_path, tmp_path / "bin/python", 1, brief=True) as bench:
        found = list(importlib.import_module("benchmarks.stdio").run(bench))
    assert {line.goal for line in found} == {goal for goal in GOALS if goal.comparison == "stdio"}
    missing = {line.goal.against for line in found if line.not_run}
    assert missing == {"server-everything"}
