"""Every command of docs/inspector.md does what the page says, as it is printed."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.deploy.front import CHECKERS, HERE, needed
from tests.wire.conftest import ENVIRON

PAGE = (HERE / "docs" / "inspector.md").read_text()
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SERVES = "--transport http --port"
# A network of its own: the ports on the page are free there, and nothing but loopback can be reached.
ALONE = 'ip link set lo up && exec bash "$0"'
BACKGROUND = """
( {line} ) >told 2>&1 &
for wait in $(seq 200); do
  ! kill -0 $! 2>/dev/null || {check} && break || sleep 0.1
done
{check}; echo "== $? {number}"
"""
ANSWERS = "curl --silent --fail --output /dev/null"


def script() -> str:
    """The page's commands in order; after each its status, and its output before that."""
    told = []
    for number, line in enumerate(LINES):
        if line == "make checkers":  # what this test itself needs
            told.append(f"echo '== 0 {number}'")
        elif SERVES in line:
            check = f"{ANSWERS} http://127.0.0.1:8000/health"
            told.append(BACKGROUND.format(line=line, check=check, number=number))
        elif line.startswith("mcp-inspector") and "--cli" not in line:
            check = f"{ANSWERS} http://127.0.0.1:6274/"
            told.append(BACKGROUND.format(line=f"exec {line}", check=check, number=number))
            told.append("kill $!; wait $! 2>/dev/null")
        else:
            told.append(f'{line}\nstatus=$?; echo; echo "== $status {number}"')
    return "\n".join([*told, "kill $(jobs -p) 2>/dev/null", "wait"])


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_each_documented_command_works_as_it_is_printed(tmp_path: Path) -> None:
    needed("mcp-inspector")
    alone = [needed("unshare"), "--net", *([] if os.getuid() == 0 else ["--map-root-user"])]
    for name in (".venv", ".venv-checkers", "server.py"):
        (tmp_path / name).symlink_to(HERE / name)
    (tmp_path / "script").write_text(script())
    env = {
        **ENVIRON,
        "HOME": str(tmp_path),
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_INSPECTOR_SECRET_STORE": "memory",
    }
    done = subprocess.run(
        [*alone, "bash", "-c", ALONE, "script"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    pieces = re.split(r"^== (\d+) (\d+)\n", done.stdout, flags=re.MULTILINE)
    outputs = dict(zip(map(int, pieces[2::3]), pieces[0::3], strict=False))
    statuses = dict(zip(map(int, pieces[2::3]), map(int, pieces[1::3]), strict=True))
    assert len(statuses) == len(LINES), done.stdout[-3000:] + done.stderr[-3000:]
    wrong = {
        LINES[number]: (status, outputs[number][-500:])
        for number, status in statuses.items()
        if status != (3 if "--stored-auth-only" in LINES[number] else 0)
    }
    assert not wrong, done.stderr[-3000:]
    for number, words in ((LINES.index(line), shlex.split(line)) for line in LINES if "tools/list" in line):
        if statuses[number] == 0 and "ALMANAC_SERVERS=files" not in words:
            assert '"name": "weather_forecast"' in outputs[number]
    (population,) = (outputs[number] for number, line in enumerate(LINES) if "population" in line)
    assert "Shanghai" in population


def test_the_page_is_for_the_version_that_is_tried() -> None:
    package = (HERE / "tests" / "deploy" / "package.json").read_text()
    (version,) = re.findall(r"with Inspector (\d+\.\d+)\.", PAGE)
    assert f'"@modelcontextprotocol/inspector": "{version}.' in package
    assert str(CHECKERS.name) in PAGE
