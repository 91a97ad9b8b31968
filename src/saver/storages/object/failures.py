"""What went wrong with a request, in a sentence, and what to do about it."""

from __future__ import annotations

import re
from typing import TypeVar

from saver.errors import CannotReadError, CannotWriteError, NotFoundError

E = TypeVar("E", CannotReadError, CannotWriteError)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*(\w{1,80})\s*</Code>|\"(?:reason|code)\": \"(\w{1,80})\"")

_NO_BUCKET = ("there is no such bucket", "create it, or correct the address")
_KEYS = ("the server does not know these credentials", "correct them, as in AWS_ACCESS_KEY_ID")
_SECRET = ("the secret key does not belong to the access key", "correct AWS_SECRET_ACCESS_KEY or its like")
_EXPIRED = ("the credentials have expired", "renew them, and go on")
_CLOCK = ("the clock of this machine differs from the server's", "set it right: signatures hold the time")
_REGION = ("the bucket is in another region", "name it with ?region= or AWS_REGION")
_DENIED = ("the server denies it", "have the bucket's owner permit to read, write, list and delete objects")
_BUSY = ("the server refuses so many requests", "try again later, or with fewer processes")

CODES = {
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": _NO_BUCKET,
    "ContainerNotFound": _NO_BUCKET,
    "InvalidAccessKeyId": _KEYS,
    "InvalidToken": _KEYS,
    "AuthenticationFailed": _KEYS,
    "InvalidAuthenticationInfo": _KEYS,
    "SignatureDoesNotMatch": _SECRET,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestTimeTooLarge": _CLOCK,
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AuthorizationFailure": _DENIED,
    "AuthorizationPermissionMismatch": _DENIED,
    "SlowDown": _BUSY,
    "ServerBusy": _BUSY,
    "TooManyRequests": _BUSY,
}
"""Codes of errors of the three services, with the fact and the next step."""

STATUSES = {
    "301": _REGION,
    "307": _REGION,
    "401": _KEYS,
    "403": _DENIED,
    "429": _BUSY,
    "503": _BUSY,
}
"""The same by HTTP status, for answers without a known code."""


def code_of(error: Exception) -> str:
    """The service's code of an error, or the HTTP status; "" if there was no answer."""
    text = str(error)[:10_000]
    found = _CODE.search(text)
    if found is not None:
        return found[1] or found[2]
    status = _STATUS.search(text)
    return "" if status is None else status[1]


def was_refused(error: Exception) -> bool:
    """Whether the server answered that it did not do it, so that it never will."""
    status = _STATUS.search(str(error)[:10_000])
    return status is not None and status[1].startswith(("3", "4")) and status[1] not in ("408", "409", "429")


def of_bucket(error: Exception) -> bool:
    """Whether not the object is missing, but the bucket."""
    return CODES.get(code_of(error)) is _NO_BUCKET


def failed(kind: type[E], where: str, error: Exception, deadline: float) -> E:
    """The error to raise for a request about `where`, which was repeated for at most `deadline` seconds."""
    code = code_of(error)
    known = CODES.get(code) or STATUSES.get(code)
    if known is not None:
        fact, step = known
        return kind(f"{where}: {fact} ({code}); {step}")
    if code:
        return kind(f"{where}: the server answered {code}; try again, or ask who runs it")
    text = str(error).lower()
    if "badscheme" in text:
        return kind(
            f"{where}: the service is at an http:// address, where anyone on the way reads all that is sent; "
            "give an https:// one, or allow this one with ?endpoint=http://HOST:PORT"
        )
    if "credential" in text or "metadata" in text or "token" in text:
        return kind(
            f"{where}: no credentials were found; set them, as in AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or add ?anonymous=true for a public bucket"
        )
    return kind(
        f"{where}: the server did not answer in {deadline:g} s, though the request was repeated; check the "
        "network and the address, or wait longer with ?deadline=SECONDS"
    )


def not_found(where: str) -> NotFoundError:
    """The error for an object that does not exist."""
    return NotFoundError(f"{where}: there is no such object")
