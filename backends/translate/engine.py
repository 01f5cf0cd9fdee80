"""What the chain asks of an engine, and the one way an engine tells that it could not."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Trouble(Exception):
    """An engine failed: `str()` is what it did, to be read after its name ("google did not answer").

    It holds nothing of the text, the address or a key. `rest` says whether the engine itself is in
    trouble and should be left alone for a while if that happens again, or only this text was; `rest_s`
    that it should be left alone at once, for so long.
    """

    def __init__(self, reason: str, rest: bool = True, rest_s: float | None = None) -> None:
        super().__init__(reason)
        self.rest, self.rest_s = rest, rest_s


class Pair(NamedTuple):
    """Source and target in an engine's own codes, and what the caller should know about that choice."""

    source: str
    target: str
    notice: str = ""


class Rendering(NamedTuple):
    """A translation; `notices` is what the caller should know of it, such as a placeholder that was lost."""

    text: str
    quality: str
    notices: tuple[str, ...] = ()


class Engine(Protocol):
    name: str

    @property
    def generation(self) -> str:
        """What its answers depend on besides the question: another generation may answer otherwise."""

    def load(self) -> None:
        """Read its tables; runs once, in a worker thread, before anything below."""

    async def refresh(self) -> bool:
        """Ask what it can do, if that changes and was long ago; whether it is something else now."""

    def missing(self) -> str:
        """Why it cannot work on this machine, or nothing."""

    def languages(self) -> list[str]:
        """Canonical tags of all it can do, regional variants included."""

    def names(self) -> Mapping[str, str]:
        """English names it knows, to canonical tags."""

    def local_pairs(self) -> list[tuple[str, str]]:
        """The pairs it does on this machine."""

    def pair(self, source: str | None, target: str) -> Pair | None:
        """Its own codes for two canonical tags (a source of None: let it detect), if it can do them."""

    async def translate(self, text: str, pair: Pair) -> Rendering:
        """Translate a text that holds letters; raises Trouble."""

    async def aclose(self) -> None: ...
