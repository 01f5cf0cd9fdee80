"""Names of what is on its way in or out: config.HIDDEN hides them, so that no client meets one."""

import re
import secrets

from backends.files.paths import Parts

_OURS = re.compile(r"\.almanac-[0-9a-f]{16}\.part")


def hidden_name() -> str:
    return f".almanac-{secrets.token_hex(8)}.part"


def is_ours(name: str) -> bool:
    return bool(_OURS.fullmatch(name))


def passing(asked: Parts, real: Parts) -> bool:
    """Whether what was asked for was replaced or taken away while it was being opened."""
    return any(map(is_ours, real)) and not any(map(is_ours, asked))
