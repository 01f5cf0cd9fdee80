"""Who else could translate a pair that no engine here can: told from tables, nobody is asked."""

from functools import cached_property

from backends.translate.codes import (
    APERTIUM_PACKAGES,
    DEEPL_SOURCES,
    DEEPL_TARGETS,
    LIBRETRANSLATE,
    LIBRETRANSLATE_MEANS,
)
from backends.translate.languages import Table, canonical, kin


class Elsewhere:
    """The engines that are not in use.

    Args:
        used: Names of those that are.
        local_only: Whether texts may not leave this machine.
    """

    def __init__(self, used: set[str], local_only: bool) -> None:
        self._used, self._local_only = used, local_only

    @cached_property
    def _tables(self) -> dict[str, tuple[Table, Table]]:
        """Sources and targets by engine; read when first needed, for deep-translator takes 0.2 s."""
        from backends.translate.deep import KINDS, table

        deepl = (Table(DEEPL_SOURCES), Table(DEEPL_TARGETS))
        libretranslate = Table(LIBRETRANSLATE, means=LIBRETRANSLATE_MEANS)
        found = {"deepl": deepl, "libretranslate": (libretranslate, libretranslate)}
        for name in KINDS:
            both = table(name)
            found[name] = (both, both)
        return {name: tables for name, tables in found.items() if name not in self._used}

    def advice(self, source: str | None, target: str) -> str:
        """A sentence on who could translate it if configured or installed, or nothing."""
        remote = [
            name
            for name, (sources, targets) in self._tables.items()
            if targets.find(target) and (source is None or sources.find(source))
        ]
        said = ""
        if remote and self._local_only:
            said = f" {_listed(remote)} could, but this server keeps every text on its machine."
        elif remote:
            said = f" {_listed(remote)} could, if the operator configured that."
        package = _package(source, target) if source else ""
        return said + (f" Apertium could with the package {package}." if package else "")


def _package(source: str, target: str) -> str:
    wanted = {kin(source), kin(target)}
    for package in APERTIUM_PACKAGES:
        if {kin(canonical(code)) for code in package.split("-")} == wanted:
            return f"apertium-{package}"
    return ""


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
