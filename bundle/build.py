"""Builds dist/almanac.mcpb, which Claude Desktop installs by a click, and the registry's entry for it.

What is in it is what is in the container image (.dockerignore says), with the manifest and the versions of
requirements/run.txt. It holds no compiled code, so that one file serves every platform: uv, which the host
brings, installs that. The same files give the same bytes.
"""

import fnmatch
import hashlib
import json
import re
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
MANIFEST = HERE / "bundle" / "manifest.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip file can tell
PYPROJECT = """\
[project]
name = "almanac"
version = "{version}"
requires-python = "{python}"
dependencies = [
{dependencies}]

[tool.uv]
package = false
"""


def files() -> Iterator[Path]:
    """What the container image holds, and so what runs."""
    lines = (HERE / ".dockerignore").read_text(encoding="utf-8").split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    wanted = [rule[1:] for rule in rules if rule.startswith("!")]
    unwanted = [rule.replace("**/", "*") for rule in rules if not rule.startswith("!") and rule != "*"]
    for pattern in wanted:
        for top in sorted(HERE.glob(pattern)):
            yield from (
                path
                for path in sorted([top] if top.is_file() else top.rglob("*"))
                if path.is_file() and not _is_one_of(path.relative_to(HERE), unwanted)
            )


def _is_one_of(path: Path, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatch(str(each), pattern) for each in (path, *path.parents) for pattern in patterns)


def pyproject(version: str) -> str:
    """The dependencies as they are locked: the host installs what is named here."""
    python = json.loads(MANIFEST.read_text(encoding="utf-8"))["compatibility"]["runtimes"]["python"]
    lines = (HERE / "requirements" / "run.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.removesuffix("\\").strip() for line in lines if re.match(r"[a-z0-9].*==", line)]
    named = "".join(f"    {json.dumps(each)},\n" for each in pinned)
    return PYPROJECT.format(version=version, python=python, dependencies=named)


def build(directory: Path) -> Path:
    """Write the bundle, and server.json with its digest, into a directory."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    directory.mkdir(parents=True, exist_ok=True)
    bundle = directory / "almanac.mcpb"
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as packed:
        _put(packed, "manifest.json", MANIFEST.read_bytes())
        _put(packed, "pyproject.toml", pyproject(project["version"]).encode())
        for path in files():
            _put(packed, path.relative_to(HERE).as_posix(), path.read_bytes())
    entry = json.loads((HERE / "server.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    for package in entry["packages"]:
        if package["registryType"] == "mcpb":
            package["fileSha256"] = digest
    (directory / "server.json").write_text(json.dumps(entry, indent=2) + "\n", encoding="utf-8")
    return bundle


def _put(packed: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o100644 << 16
    packed.writestr(entry, content)


if __name__ == "__main__":
    made = build(HERE / "dist")
    print(f"{made.relative_to(HERE)}: {made.stat().st_size / 1e6:.1f} MB")  # noqa: T201 - for who typed it
