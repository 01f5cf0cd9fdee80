"""`server.py token new NAME`: mint a token, print it once, and the entry by which the server knows it."""

import argparse
import os
import sys
from typing import get_args

from auth.tokens import mint
from config import TOKEN_NAME, Scope
from environment import ConfigurationError, load


def main(arguments: list[str]) -> int:
    """Print a new token; nothing is written anywhere."""
    options = _parse(arguments)
    try:
        tokens = load(os.environ).auth.tokens
    except ConfigurationError as error:
        print(f"The settings as they are do not hold:\n{error}", file=sys.stderr)
        return 1
    if sum(token.name == options.name for token in tokens) >= 2:
        print(
            f"{options.name} has two tokens already, an old one and a new one: take the old entry out first.",
            file=sys.stderr,
        )
        return 1
    token, entry = mint(options.name, options.scopes)
    print("The token, which is shown this once:", file=sys.stderr)
    print(token)
    print("What to set, and then to restart the server:", file=sys.stderr)
    print("ALMANAC_AUTH_MODE=tokens")
    print(f"ALMANAC_AUTH_TOKENS={','.join(token.entry() for token in (*tokens, entry))}")
    if any(token.name == options.name for token in tokens):
        print(
            f"Both tokens of {options.name} then work; take the first entry of that name out when "
            "the old one is used no more.",
            file=sys.stderr,
        )
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="server.py token",
        description="Tokens with which callers come in over HTTP; the server keeps only their hashes.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser(
        "new",
        help="make a token and print it once, with the setting that makes it valid",
        description="Scopes do not include one another, but admin is all of them. For a name that has a "
        "token already it makes the second one, which is how a token is changed without a pause.",
    )
    new.add_argument("name", type=_name, help="whose it is: a person or a program, as logs will name it")
    new.add_argument(
        "--scopes", type=_scopes, default=("read",), help="of read, write and admin, comma-separated; read"
    )
    return parser.parse_args(arguments)


def _name(text: str) -> str:
    if not TOKEN_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("a name has letters, digits, and . _ @ - after the first")
    return text


def _scopes(text: str) -> tuple[Scope, ...]:
    known: tuple[Scope, ...] = get_args(Scope)
    asked = {part.strip() for part in text.replace("+", ",").split(",")}
    if not asked <= set(known):
        raise argparse.ArgumentTypeError("scopes are read, write and admin")
    return tuple(scope for scope in known if scope in asked)
