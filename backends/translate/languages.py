"""Languages by BCP-47 code or English name in, canonical codes out; never a guess taken for an answer."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, lru_cache

import anyio.to_thread

from errors import Unknown, did_you_mean, quote

_CODE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
MOST_CHARACTERS = 60  # the longest English name in the tables has 33
KEPT = 4_096  # of what langcodes says of a code: 20 µs each, and a text asks ninety times
_SAME_LANGUAGE = {"nb": "no"}  # besides those that langcodes knows, such as cmn and zh


@lru_cache(KEPT)
def canonical(code: str) -> str:
    """'iw' -> 'he', 'zh_tw' -> 'zh-TW', 'eng' -> 'en'; '' when there is no such language."""
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    if not _CODE.fullmatch(code):
        return ""
    try:
        language = langcodes.get(code)
    except LanguageTagError:
        return ""
    if language.extlangs or not language.is_valid():
        return ""
    return language.to_tag()


@lru_cache(KEPT)
def kin(tag: str) -> tuple[str, str]:
    """Language and script, which tell whether two tags are the same writing: 'nb' and 'no' are,
    'zh-HK' and 'zh-TW' are, 'sr' and 'sr-Latn' are not."""
    import langcodes

    language = langcodes.get(tag)
    general = langcodes.standardize_tag(language.language or "und", macro=True)
    return _SAME_LANGUAGE.get(general, general), language.maximize().script or ""


@lru_cache(KEPT)
def same(one: str, other: str) -> bool:
    """Whether there is nothing to translate: the same writing, and no two different regions."""
    import langcodes

    regions = {langcodes.get(tag).territory for tag in (one, other)} - {None}
    return kin(one) == kin(other) and len(regions) < 2


class Table:
    """One engine's codes by canonical tag."""

    def __init__(
        self, codes: Iterable[str], prefer: Iterable[str] = (), means: Mapping[str, str] | None = None
    ) -> None:
        """`codes` are the engine's own, the preferred one of several regional variants first; `means` has
        the tags of those that are no BCP-47."""
        self.codes: dict[str, str] = {}
        self._kin: dict[tuple[str, str], str] = {}
        for code in (*prefer, *codes):
            # Some of MyMemory's regions are none ('ln-LIN'); the language before them is meant.
            tag = (means or {}).get(code) or canonical(code) or canonical(code.partition("-")[0])
            if tag:
                self.codes.setdefault(tag, code)
                self._kin.setdefault(kin(tag), tag)

    def find(self, tag: str) -> tuple[str, str] | None:
        """The engine's code for a tag and the tag it stands for, which may lack the region asked for."""
        found = tag if tag in self.codes else self._kin.get(kin(tag))
        return (self.codes[found], found) if found else None

    def tags(self) -> list[str]:
        """All it can do; a language with several variants also by itself."""
        return list({*self.codes, *(self._short(tag) for tag in self._kin.values())})

    @staticmethod
    def _short(tag: str) -> str:
        import langcodes

        language = langcodes.get(tag)
        alone = language.language or tag
        return alone if kin(alone) == kin(tag) else tag


@lru_cache(KEPT)
def other_variant(engine: str, asked: str, found: str) -> str:
    """A notice when a region was asked for and another, or none, is what an engine writes."""
    import langcodes

    wanted, got = langcodes.get(asked).territory, langcodes.get(found).territory
    if langcodes.get(found).script:
        got = langcodes.get(found).maximize().territory  # zh-Hant is what zh-TW is written in
    return f"{engine} has no {asked}; its {found} was used." if wanted and wanted != got else ""


class Languages:
    """The languages that engines can do, and how people call them."""

    def __init__(
        self,
        providers: Mapping[str, Iterable[str]],
        names: Mapping[str, str],
        advice: Callable[[str], str] = lambda tag: "",
    ) -> None:
        """`providers`: canonical tags by engine; `names`: further English names, to a canonical tag;
        `advice`: who else could do a language, as a sentence for refusals."""
        self._advice = advice
        self.providers: dict[str, list[str]] = {}
        for provider, tags in providers.items():
            for tag in tags:
                self.providers.setdefault(tag, []).append(provider)
        self._given_names = {_plain(name): tag for name, tag in names.items()}

    @cached_property
    def names(self) -> dict[str, str]:
        """English name by tag. The data behind it takes 0.12 s and 27 MB, so a code never needs it."""
        import langcodes

        named = {tag: langcodes.get(tag).display_name() for tag in self.providers}
        return dict(sorted(named.items(), key=lambda item: (item[1], item[0])))

    @cached_property
    def _tags_by_name(self) -> dict[str, str]:
        return {_plain(name): tag for tag, name in self.names.items()}

    async def all_names(self) -> dict[str, str]:
        """English names by tag, in the order of the names."""
        return await anyio.to_thread.run_sync(lambda: self.names)

    def is_variant(self, tag: str) -> bool:
        """Whether the tag names a region of a language that is listed by itself."""
        return tag.rpartition("-")[0] in self.providers

    def of_language(self, tag: str) -> list[str]:
        """Tags of the same language, in whatever script or region, the plainest first."""
        return sorted((one for one in self.providers if kin(one)[0] == kin(tag)[0]), key=len)

    def matching(self, query: str) -> list[str]:
        """Tags whose name holds the query or whose code begins with it."""
        typed = query.strip().casefold()
        return [
            tag
            for tag, name in self.names.items()
            if typed in name.casefold() or tag.casefold().startswith(typed.replace("_", "-"))
        ]

    async def beginning_with(self, typed: str) -> list[str]:
        """Codes, then names, that begin with what was typed; all codes for nothing."""
        names, start = await self.all_names(), typed.strip().casefold()
        codes = sorted(tag for tag in names if tag.casefold().startswith(start))
        return codes + [name for name in names.values() if start and name.casefold().startswith(start)]

    async def resolve(self, given: str, parameter: str) -> str:
        """The canonical tag for a code or an English name.

        Args:
            given: What the caller sent.
            parameter: The name of the parameter it came in, for the refusal.
        """
        typed = "".join(c if c.isprintable() else "?" for c in given.strip()[:MOST_CHARACTERS])
        if (tag := canonical(typed)) and self._spoken(tag):
            return tag
        if found := await anyio.to_thread.run_sync(self._by_name, typed):
            return found
        if tag:
            advice = await anyio.to_thread.run_sync(self._advice, tag)
            raise Unknown(
                f"{quote(given)} is a language that no engine here knows; see translate_languages.{advice}"
            )
        near = await anyio.to_thread.run_sync(self._near, typed)
        raise Unknown(
            f"{parameter} takes a language code such as 'pt-BR' or its English name, not {quote(given)}."
            f"{near} Find one with translate_languages."
        )

    def _spoken(self, tag: str) -> bool:
        """Whether any engine knows the language, in whatever region or script."""
        return kin(tag)[0] in self._spoken_languages

    @cached_property
    def _spoken_languages(self) -> set[str]:
        return {kin(tag)[0] for tag in self.providers}

    def _by_name(self, name: str) -> str:
        from language_data import names  # type: ignore[import-untyped]  # it ships no types
        from language_data.util import data_filename  # type: ignore[import-untyped]

        # langcodes.find also takes a mere beginning for the name ('frenchh', and 'Portuguese (Brazil)'
        # for 'pt'), so its table is asked for the whole name instead.
        table = names.load_trie(data_filename("trie/en/name_to_language.marisa"))
        if found := table.get(names.normalize_name(name)):
            tag = canonical(found[0].decode())
            return tag if tag and self._spoken(tag) else ""
        return self._given_names.get(_plain(name)) or self._tags_by_name.get(_plain(name), "")

    def _near(self, typed: str) -> str:
        return did_you_mean(typed, self.names.values())


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[(),\-]", " ", name.casefold()).split())
