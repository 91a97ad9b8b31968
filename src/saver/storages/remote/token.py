"""What shows a server who asks: a token, from an argument, the environment or a file. It is never shown."""

from __future__ import annotations

import os
import re
from typing import Any

VARIABLE, FILE_VARIABLE = "SAVER_TOKEN", "SAVER_TOKEN_FILE"
LONGEST = 4096
_LOOKS = re.compile(r"saver_[0-9a-f]{12}_[A-Za-z0-9_-]{43}")
_FORM = re.compile(r"[!-~]{1,4096}")
"""Visible ASCII: what else could be in a header would end it."""


class Token:
    """A token, or none. Its text is in no `repr` and in no pickle."""

    __slots__ = ("_text", "source")

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self.source = source
        """Where it is from, for messages; "" if there is none."""

    def __repr__(self) -> str:
        return f"Token(from {self.source})" if self.source else "Token(none)"

    def __reduce__(self) -> tuple[Any, ...]:
        return token_from, ()

    def headers(self) -> dict[str, str]:
        """What a request shows."""
        return {"authorization": f"Bearer {self._text}"} if self._text else {}

    def hidden(self, text: str) -> str:
        """A text from elsewhere without the token, should it contain it."""
        return text.replace(self._text, "…") if self._text else text


def token_from(given: Any = None) -> Token:
    """The token that is given: its text, or the path of a file; or else that of the environment. Raises
    ValueError, which does not repeat what was given, as that may be a token with an error in it."""
    if given is not None:
        if isinstance(given, str) and _LOOKS.fullmatch(given.strip()):
            return _checked(given, "token=")
        if not isinstance(given, str | os.PathLike):
            raise ValueError("token: pass the text of a token, or the path of a file that holds it")
        return _from_file(given, "token=")
    text = os.environ.get(VARIABLE)
    if text:
        return _checked(text, VARIABLE)
    path = os.environ.get(FILE_VARIABLE)
    return _from_file(path, FILE_VARIABLE) if path else Token("", "")


def _from_file(path: str | os.PathLike[str], source: str) -> Token:
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(LONGEST + 2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise ValueError(
            f"token: what {source} says is neither the text of a token, which begins with saver_, nor the "
            f"path of a file that can be read ({reason}); make a token with `saver token new`"
        ) from None
    return _checked(text, f"the file of {source}")


def _checked(text: str, source: str) -> Token:
    found = text.strip()
    if _FORM.fullmatch(found) is None:
        raise ValueError(
            f"token: what {source} holds has not the form saver_ID_SECRET of a token; copy it whole, or make "
            "another one with `saver token new`"
        )
    return Token(found, source)
