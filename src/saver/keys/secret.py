"""Secrets in objects that do not show them: not in a `repr`, an error, a traceback or a pickle."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import wraps
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Secret:
    """A text that is secret. Only `reveal` gives it."""

    __slots__ = ("_text",)
    _what = "a secret"

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Keep it out of variables of functions that may raise."""
        return self._text

    def __repr__(self) -> str:
        return f"<{self._what}>"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return False
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"{self._what} is not pickled or copied; pass where it comes from, such as the path of a key file"
        )


class Passphrase(Secret):
    """A passphrase."""

    __slots__ = ()
    _what = "a passphrase"


class Identity(Secret):
    """The secret key of an X25519 recipient, as age writes it: `AGE-SECRET-KEY-1…`. `public` is the
    recipient's public key, `age1…`."""

    __slots__ = ("public",)
    _what = "an identity"

    def __init__(self, text: str, public: str) -> None:
        super().__init__(text)
        self.public = public


class SecretBytes(bytes):
    """Bytes that are secret, for variables of functions that may raise: their `repr` does not show them."""

    def __repr__(self) -> str:
        return "<secret bytes>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "secret bytes are not pickled or copied; open what they are from in the other process"
        )


def shielded(act: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function that has secrets in its variables: its errors leave without its frames, and
    without the errors that they come from."""

    @wraps(act)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return act(*args, **kwargs)
        except Exception as error:
            del args, kwargs  # debuggers and crash reports show the variables of a frame
            error.__cause__ = error.__context__ = None
            raise error.with_traceback(None) from None

    return call
