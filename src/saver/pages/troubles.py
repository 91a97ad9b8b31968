"""Which status an error has as the answer of a page."""

from __future__ import annotations

from saver.errors import (
    CannotReadError,
    CannotWriteError,
    KeyNeededError,
    NotFoundError,
    SaverError,
    SignatureError,
    TaggedError,
    WrongKeyError,
    limited,
)
from saver.repo.refs import BadNameError
from saver.serve.refusals import Refusal

STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (NotFoundError, 404), (BadNameError, 400), (TaggedError, 409), (SignatureError, 403),
    (KeyNeededError, 403), (WrongKeyError, 403), (CannotWriteError, 409), (CannotReadError, 503),
    (SaverError, 422),
)  # fmt: skip
"""The first that fits: what is damaged or not understood is 422, a store that cannot be written 409."""


def trouble(error: Exception) -> tuple[int, str, str]:
    """The status of an error, its stable code, and its message. Of a defect of Saver, the message says no
    more than the log."""
    if isinstance(error, Refusal):
        return error.status, error.reason, str(error)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            code = error.code if isinstance(error, SaverError) else "bad-name"
            return status, code, limited(str(error))
    if isinstance(error, OSError):
        return 503, "cannot-read", limited(str(error))
    return 500, "failed", "the server failed; its log says more"
