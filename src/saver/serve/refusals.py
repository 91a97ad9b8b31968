"""What a request is answered that is not served: a status, a stable code, and what is wrong where."""

from __future__ import annotations

import math

import msgspec

from saver.errors import SaverError, kind_of, limited
from saver.schema import Problem

STATUSES = {
    "bad-request": 400, "bad-json": 400, "bad-csv": 400, "bad-rows": 422, "bad-tensor": 400,
    "unauthorized": 401, "forbidden": 403, "not-found": 404, "bad-method": 405, "slow-body": 408,
    "too-large": 413, "too-many-rows": 413, "bad-type": 415, "too-many-requests": 429,
    "headers-too-large": 431, "failed": 500, "overloaded": 503, "unavailable": 503, "timeout": 503,
    "no-object": 404, "kept": 403, "exists": 412, "other-protocol": 400, "bad-object": 422,
    "damaged": 422, "incompatible": 422, "cannot-write": 507,
}  # fmt: skip
"""The status of each code. Codes are stable; the texts beside them are for people."""

ASKED_TO_WAIT = (429, 503)


class Refusal(SaverError):
    """A request that is not served. `code` is one of `STATUSES`; `retry` is in seconds."""

    def __init__(
        self, code: str, message: str, problems: tuple[Problem, ...] = (), retry: float | None = None,
        more: int = 0,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.reason, self.status, self.problems, self.more = code, STATUSES[code], problems, more
        if retry is None and self.status in ASKED_TO_WAIT:
            retry = 1.0
        self.retry = retry

    def headers(self) -> dict[str, str]:
        """What the answer has beside its body."""
        found = {}
        if self.retry is not None:
            found["retry-after"] = str(max(1, math.ceil(self.retry)))
        if self.status == 401:
            found["www-authenticate"] = "Bearer"
        if self.status in (408, 413, 431):  # what is left of the request is not read
            found["connection"] = "close"
        return found

    def body(self, request_id: str, terse: bool) -> bytes:
        """The answer as JSON: `error` is one text, as Open Inference clients want it. If `terse`, only what
        the status says anyway."""
        document: dict[str, object] = {"error": str(self), "code": self.reason, "request_id": request_id}
        if terse and self.status not in ASKED_TO_WAIT:
            document["error"] = TERSE.get(self.status, "the request was refused")
        elif self.problems:
            document["problems"] = self.problems
            document["more_problems"] = self.more
        return msgspec.json.encode(document)


TERSE = {
    400: "the request cannot be read",
    401: "a token is needed",
    403: "the token does not allow this",
    404: "there is nothing here",
    422: "the rows do not fit the model",
    413: "the request is too large",
    500: "the model failed",
}


def shown(value: object, limit: int = 60) -> str:
    """A value that came, for a message: short, printable, of no cost however large it is."""
    if isinstance(value, str):
        return limited(repr(value[:limit]) + ("…" if len(value) > limit else ""))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else "a huge integer"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | dict):
        return f"a list of {len(value)}" if isinstance(value, list) else f"an object of {len(value)}"
    return kind_of(value)
