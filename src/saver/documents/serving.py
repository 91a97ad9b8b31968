"""What a server serves, and its tokens: from `saver rollout`, `saver token` and `GET /models`."""

from __future__ import annotations

from saver.documents.piece import Piece, Whole


class ServedVersion(Piece, frozen=True):
    """A version that is loaded: `state` is `current`, `canary`, `shadow` or `previous`; how many workers it
    has, and how many rows wait for them. `percent` is its share of the requests."""

    number: int
    state: str
    percent: float
    workers: int
    queue_rows: int


class ServedModel(Piece, frozen=True):
    """A name that is served, and the ref that it follows. `trouble` says why the newest version of the ref
    does not answer, or is empty. `inputs` and `outputs` are lines such as `x: float64 (rows, 3)`."""

    name: str
    ref: str
    trouble: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    versions: tuple[ServedVersion, ...]


class Serving(Whole, frozen=True, tag="saver.serving.1"):
    """`saver serve` once it answers, `saver rollout`, and `GET /models` of a server: what answers now.
    `address` is that of the server; "" where it does not know how it was reached. `grpc` is where it answers
    gRPC, as `saver serve` says; otherwise ""."""

    address: str
    grpc: str
    models: tuple[ServedModel, ...]


class MadeToken(Whole, frozen=True, tag="saver.token.1"):
    """`saver token new`: the `token`, which is kept nowhere, and what it gives."""

    token: str
    id: str
    name: str
    scopes: tuple[str, ...]
    expires: float | None
    expires_utc: str | None
    rate: float | None


class ListedToken(Piece, frozen=True):
    """A token of a file, by its id: what it gives, when it was made, and until when."""

    id: str
    name: str
    scopes: tuple[str, ...]
    made: float
    made_utc: str | None
    expires: float | None
    expires_utc: str | None
    rate: float | None


class Tokens(Whole, frozen=True, tag="saver.tokens.1"):
    """`saver token list` and `saver token revoke`: the tokens of a file now."""

    path: str
    tokens: tuple[ListedToken, ...]
