"""Languages as callers name them, and what the engines in use can do with them."""

from collections.abc import Mapping
from functools import partial

import anyio
import anyio.to_thread

from backends.translate.chain import Chain
from backends.translate.elsewhere import Elsewhere
from backends.translate.languages import Languages, same
from backends.translate.results import Language, LanguageList
from config import TranslateSettings
from errors import Unknown

MOST_NAMED = 5


class Pairs:
    """Which pairs there are; the tables of the engines are read when first needed."""

    def __init__(self, chain: Chain, settings: TranslateSettings) -> None:
        self._chain = chain
        self._elsewhere = Elsewhere({engine.name for engine in chain.engines}, settings.local_only)
        self._loading = anyio.Lock()
        self._known: Languages | None = None

    async def known(self) -> Languages:
        """The tables of all engines, read once: 0.4 s, in a thread."""
        async with self._loading:
            if self._known is None:
                await anyio.to_thread.run_sync(self._load)
            changed = [await engine.refresh() for engine in self._chain.engines if self._chain.awake(engine)]
            if self._known is None or any(changed):
                self._known = await anyio.to_thread.run_sync(self._tables)
        return self._known

    def _load(self) -> None:
        for engine in self._chain.engines:
            engine.load()

    def _tables(self) -> Languages:
        names: dict[str, str] = {}
        for engine in self._chain.engines:
            names = {**engine.names(), **names}  # of two meanings of a name, the first engine's
        advice = partial(self._elsewhere.advice, None)
        return Languages({e.name: e.languages() for e in self._chain.engines}, names, advice)

    async def resolve(self, target: str, source: str) -> tuple[str, str | None]:
        known = await self.known()
        into = await known.resolve(target, "target")
        if source.strip().casefold() in ("", "auto"):
            return into, None
        out_of = await known.resolve(source, "source")
        if not same(out_of, into) and not self._chain.fitting(out_of, into):
            raise await self.unsupported(out_of, into)
        return into, out_of

    async def unsupported(self, source: str, target: str) -> Unknown:
        """The refusal of a pair that no engine here does: what is near to it, and who could."""
        known = await self.known()
        names = await known.all_names()
        near = [tag for tag in known.of_language(target) if self._chain.fitting(source, tag)]
        said = ""
        if near:
            said = f" Nearest: {_named(near, names)}."
        elif here := self._only_here(source):
            said = f" From {source} there is {_named(here, names)}."
        advice = await anyio.to_thread.run_sync(self._elsewhere.advice, source, target)
        lacks = "; ".join(f"{e.name}: {e.missing()}" for e in self._chain.engines if e.missing())
        return Unknown(
            f"No engine here translates from {source} to {target}{f' ({lacks})' if lacks else ''}.{said}"
            f"{advice} translate_languages lists what can be done."
        )

    def _only_here(self, source: str) -> list[str]:
        """What can be made of a language, if only engines with a few pairs are in use."""
        engines = [engine for engine in self._chain.engines if engine.languages()]
        if not all(engine.local_pairs() for engine in engines):
            return []
        return sorted({into for e in engines for out_of, into in e.local_pairs() if out_of == source})

    async def listing(self, query: str | None = None) -> LanguageList:
        """Languages and the engines that can do them now; without a query, less their regional variants."""
        known = await self.known()
        names = await known.all_names()
        engines = self._chain.engines
        able = [e.name for e in engines if not e.missing() and self._chain.awake(e)]
        resting = [e.name for e in engines if not self._chain.awake(e)]
        doing = {
            tag: tuple(p for p in known.providers[tag] if p in able) for tag in known.matching(query or "")
        }
        now = [tag for tag in doing if doing[tag]]
        shown = now if query else [tag for tag in now if not known.is_variant(tag)]
        variants = len(now) - len(shown)
        notices = []
        if resting:
            notices.append(
                f"{' and '.join(resting)} failed just now, and what no other engine does is left out."
            )
        if variants:
            notices.append(f"{variants} regional variants are left out: ask with a query.")
        for engine in engines:
            if pairs := ", ".join(f"{source} to {target}" for source, target in engine.local_pairs()):
                notices.append(f"{engine.name} translates only {pairs}.")
        return LanguageList(
            languages=tuple(Language(code=tag, name=names[tag], providers=doing[tag]) for tag in shown),
            notices=tuple(notices),
        )


def _named(tags: list[str], names: Mapping[str, str]) -> str:
    return ", ".join(f"{names[tag]} ({tag})" for tag in tags[:MOST_NAMED])
