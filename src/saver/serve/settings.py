"""How a server is set up: what it serves, where, for whom. Settings that cannot be are refused here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from saver.errors import SaverError
from saver.loopback import is_loopback
from saver.serve.limits import Limits
from saver.serve.storing.sharing import GRACE, Share


class BadSettingsError(SaverError, ValueError):
    """A server cannot be set up so."""

    code = "bad-settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one server. `names` has the ref of each name that is served; `share` says what others
    may do with the store itself, where condemned objects are deleted after `grace` seconds."""

    store: str
    names: dict[str, str]
    host: str = "127.0.0.1"
    port: int = 8000
    grpc_port: int | None = None
    workers: int = 1
    tokens: str | None = None
    public: tuple[str, ...] = ()
    terse: bool = False
    certificate: str | None = None
    private_key: str | None = None
    authorities: str | None = None
    trust: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    accept: bool = False
    poll: float = 2.0
    drain: float = 30.0
    limits: Limits = field(default_factory=Limits)
    share: Share | None = None
    grace: float = GRACE

    def __post_init__(self) -> None:
        if self.tokens is None and not is_loopback(self.host):
            raise BadSettingsError(
                f"host: {self.host} can be reached from other machines, and no tokens say who may ask; make "
                "one with saver token new, and pass --tokens FILE"
            )
        if self.public and self.tokens is None:
            raise BadSettingsError("public: without tokens, everybody on this machine may ask anything")
        if (self.certificate is None) != (self.private_key is None):
            raise BadSettingsError("TLS needs both a certificate and its private key")
        for path in (self.certificate, self.private_key, self.authorities):
            if path is not None and not os.path.isfile(path):
                raise BadSettingsError(f"{path}: there is no such file; TLS needs it")
        if self.workers < 1 or not (self.names or self.share):
            raise BadSettingsError("a server needs at least one model and one worker")


def names_of(refs: Iterable[str]) -> dict[str, str]:
    """The names to serve, each with its ref: `iris@production` is served as iris, `new=iris@4` as new."""
    found: dict[str, str] = {}
    for text in refs:
        before, equals, after = text.partition("=")
        named = bool(equals) and "@" not in before
        name, ref = (before, after) if named else (text.partition("@")[0], text)
        if not name or not ref:
            raise BadSettingsError(f"{text!r}: write a ref such as iris@production, or NAME=REF")
        if name in found:
            raise BadSettingsError(f"{name} would be served twice; give one another name: NAME={ref}")
        found[name] = ref
    return found


def limits_of(texts: Iterable[str]) -> Limits:
    """Limits from texts such as `rows=500`."""
    given: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        kind = Limits.__annotations__.get(name)
        if kind is None:
            raise BadSettingsError(f"{text}: the limits are {', '.join(Limits.__annotations__)}")
        try:
            given[name] = int(value) if kind == "int" else float(value)
        except ValueError:
            raise BadSettingsError(f"{text}: {value!r} is not a number; write {name}=NUMBER") from None
    try:
        return Limits(**given)  # type: ignore[arg-type]
    except ValueError as error:
        raise BadSettingsError(str(error)) from None
