"""Checks the built image, run as Docker would run it; `.ci/image` calls this in a network of its own."""
# ruff: noqa: S101, T201 - a script for a terminal, whose work is to start processes

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastmcp import Client
from image_box import PATIENCE, Image, check, ended, first_process

TOOLS = 22
MCP = "http://127.0.0.1:8000/mcp"
HELLO: tuple[dict[str, Any], ...] = (
    {
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "image-checks", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
)
WRITES = {"ALMANAC_FILES_WRITE": "true"}


def _call(number: int, tool: str, **arguments: str) -> dict[str, Any]:
    return {"id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def examine_configuration(image: Image) -> None:
    config = image.config
    unprivileged = image.user.isdecimal() and int(image.user) > 0
    check(unprivileged, f"a numeric user that is not root: {config['User']}")
    check(config["ExposedPorts"] == {"8000/tcp": {}}, "port 8000 is exposed, and only it")
    check(config["StopSignal"] == "SIGTERM", "stopped by SIGTERM")
    check(set(config["Volumes"]) == {"/state", "/files"}, "volumes for what is kept and for what is served")
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    check(labels["version"] != "unreleased" and labels["revision"] != "unknown", f"labelled {labels}")
    said = json.dumps([config["Env"], config["Labels"], config["Entrypoint"], config["Cmd"]])
    check("://" not in said, "no address in the environment or the labels", said)
    secretive = re.compile(r"(?i)\b\w*(token|secret|passw|key|pip_|proxy|index)\w*=")
    check(not secretive.search(said), "no secret or registry setting in the environment", said)


def examine_files(image: Image) -> None:
    app, environment = image.root / "app", image.root / "venv"
    never = ("tests", ".git", ".ci", ".venv", ".env", "docs", "data/world", "data/build_world.py")
    unwanted = [name for name in never if (app / name).exists()]
    check(not unwanted, "only what runs was copied", unwanted)
    check(not list(environment.glob("lib/*/site-packages/pip")), "no installer in the environment")
    check((image.root / "etc/pip.conf").stat().st_size == 0, "no pip settings of this machine")
    certificates = image.root / "run/certificates.crt"
    check(not certificates.exists() or certificates.stat().st_size == 0, "no certificate of this machine")
    loose = [
        str(path)
        for top in (app, environment)
        for path in top.rglob("*")
        if not path.is_symlink() and (path.stat().st_uid != 0 or path.stat().st_mode & stat.S_IWOTH)
    ]
    check(not loose, "its own user can change nothing of the code", loose[:3])


def examine_bytecode(image: Image) -> None:
    imported = image.run(["python", "-v", "-c", "import sys; sys.path.insert(0, '/app'); import server"])
    check(imported.returncode == 0, "the server can be imported", imported.stderr[-2000:])
    compiled = re.findall(r"^# code object from '?(/\S+?\.py)'?$", imported.stderr, re.MULTILINE)
    ready = imported.stderr.count(".pyc matches") or len(re.findall(r"# .*\.pyc'? matches", imported.stderr))
    check(not compiled and ready > 500, f"every module starts from bytecode ({ready})", compiled[:5])


def until_it_answers(box: subprocess.Popen[bytes]) -> float:
    """Wait for /health and give the seconds it took."""
    since = time.monotonic()
    while (waited := time.monotonic() - since) < PATIENCE and box.poll() is None:
        try:
            with urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=2) as answer:
                check(answer.status == 200, f"/health answers {waited:.1f} s after the start")
                return waited
        except OSError:
            time.sleep(0.1)
    check(False, "the service starts", f"Its status is {box.poll()}.")
    return waited


@contextlib.contextmanager
def service(image: Image) -> Iterator[tuple[int, str]]:
    """The image started without arguments, until it answers; then SIGTERM must end it.

    Gives its process and the token that it has printed.
    """
    with tempfile.TemporaryFile("w+") as log:
        box = image.serve(stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until_it_answers(box)
            process = first_process(box)
            log.seek(0)
            told = re.search(r"^  (\S+)$", log.read(), re.MULTILINE)
            check(told is not None, "it prints a token for this run, as others can reach it")
            yield process, told[1] if told else ""
            os.kill(process, signal.SIGTERM)
            ended(box, "SIGTERM ends the service")
        except BaseException:
            log.seek(0)
            print(log.read()[-5000:])
            raise
        finally:
            box.kill()
            box.wait()


def examine_service(image: Image, process: int) -> None:
    status = Path(f"/proc/{process}/status").read_text()
    users = re.findall(r"^[UG]id:\s+(.*)$", status, re.MULTILINE)
    check(all("0" not in line.split() for line in users), f"it runs as {image.user}, not as root", users)
    rows = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A"]
    check(listening == ["00000000:1F40"], "it listens on 0.0.0.0:8000 and nowhere else", listening)
    test = image.config["Healthcheck"]["Test"]
    check(test[0] == "CMD", "the health check needs no shell")
    asked = image.run(test[1:])
    check(asked.returncode == 0, "the image's own health check passes", asked.stderr)
    try:
        urllib.request.urlopen(MCP, data=b"{}", timeout=5)
        check(False, "nobody without a token is served")
    except urllib.error.HTTPError as refused:
        check(refused.code == 401, "nobody without a token is served", refused.code)


async def _unheard(_: object) -> None:
    """The messages to the client are its tests' business."""


async def translated(client: Client[Any], language: str) -> dict[str, Any]:
    """What comes back for a sentence; asked again once, as a loaded machine starts thirty programs slowly."""
    asked = {"text": "The house is big.", "source": "en", "target": language}
    answer = await client.call_tool("translate_text", asked, raise_on_error=False)
    if answer.is_error:
        answer = await client.call_tool("translate_text", asked)
    return answer.structured_content or {}


async def examine_sessions(token: str) -> None:
    for era in ("auto", "legacy"):
        async with Client(MCP, mode=era, log_handler=_unheard, auth=token) as client:
            tools = await client.list_tools()
            check(len(tools) == TOOLS, f"{TOOLS} tools ({era})", [tool.name for tool in tools])
            largest = await client.call_tool(
                "sql_query", {"sql": "SELECT name FROM city ORDER BY population DESC", "limit": 1}
            )
            rows = (largest.structured_content or {})["rows"]
            check(len(rows) == 1, f"sql_query answers {rows} ({era})")
            for language, word in (("es", "casa"), ("ca", "casa"), ("fr", "maison")):
                given = await translated(client, language)
                claim = f"translate_text answers {given['text']!r} by Apertium, offline ({era})"
                check(given["provider"] == "apertium" and word in given["text"], claim, given)
            found = await client.call_tool("files_search", {"text": "whose house"})
            check(found.structured_content is not None, f"files_search looks through /files ({era})")


def examine_volumes(image: Image) -> None:
    """What is mounted from outside is served, and what is written is in the volume and nowhere else."""
    check(image.run(["rg", "--version"]).returncode == 0, "ripgrep is there")
    owners = {volume.stat().st_uid for volume in image.volumes.values()}
    check(owners == {int(image.user)}, "a new volume belongs to the image's user", owners)
    audit = image.volumes["state"] / "audit" / "audit.jsonl"
    check(audit.stat().st_size > 0, "calls were recorded in the state volume")
    mine = image.volumes["files"] / "mine.txt"
    mine.write_text("from outside")
    with image.serve(
        "stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, settings=WRITES
    ) as box:
        read = converse(box, _call(1, "files_read", path="mine.txt"))[-1]
        check("from outside" in json.dumps(read), "a file of the mounted sandbox is read")
        written = converse(box, _call(2, "files_write", path="new.txt", text="from inside"))[-1]
        check(not written["result"].get("isError"), "a file is written, where that is switched on", written)
        assert box.stdin
        box.stdin.close()
    check((image.volumes["files"] / "new.txt").read_text() == "from inside", "and is in the volume")


def converse(box: subprocess.Popen[bytes], *messages: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers to these messages, after the handshake if they are the first."""
    assert box.stdin
    assert box.stdout
    answers: list[dict[str, Any]] = []
    for message in (*HELLO, *messages) if messages[0]["id"] == 1 else messages:
        box.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        box.stdin.flush()
        while "id" in message:  # what comes before is told, not asked for
            answer = json.loads(box.stdout.readline())
            if "id" in answer:
                answers.append(answer)
                break
    return answers


def examine_stdio(image: Image) -> None:
    pipe = subprocess.PIPE
    with image.serve("stdio", stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as box:
        assert box.stdin
        assert box.stdout
        answers = converse(box, {"id": 1, "method": "tools/list", "params": {}})
        check(answers[0]["result"]["serverInfo"]["name"] == "almanac", "`stdio` answers initialize")
        check(len(answers[1]["result"]["tools"]) == TOOLS, f"{TOOLS} tools over STDIO")
        box.stdin.close()
        rest = box.stdout.read()
        ended(box, "`stdio` ends when its input does")
    check(all(json.loads(line)["jsonrpc"] for line in rest.splitlines()), "nothing but JSON on its output")
    with image.serve("stdio", stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as box:
        converse(box, {"id": 1, "method": "ping"})
        os.kill(first_process(box), signal.SIGTERM)
        ended(box, "SIGTERM ends `stdio` too")


def examine_commands(image: Image) -> None:
    version = image.run([*image.config["Entrypoint"], "--version"])
    said = version.stdout.strip()
    check(version.returncode == 0 and said != "", f"--version says {said}")
    doctor = image.run([*image.config["Entrypoint"], "doctor"])
    check(
        doctor.returncode in (0, 1) and doctor.stdout != "" and "Traceback" not in doctor.stderr,
        f"doctor reports (status {doctor.returncode}: this network has nobody else in it)",
        doctor.stderr[-2000:],
    )


def _out_of_time(*_: object) -> None:
    raise SystemExit("The image fails: its checks take longer than three minutes.")


def main() -> None:
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(180)
    image = Image(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"started as: {shlex.join(image.config['Entrypoint'])}")
    examine_configuration(image)
    examine_files(image)
    examine_bytecode(image)
    with service(image) as (process, token):
        examine_service(image, process)
        asyncio.run(examine_sessions(token))
    examine_volumes(image)
    examine_stdio(image)
    examine_commands(image)


if __name__ == "__main__":
    main()
