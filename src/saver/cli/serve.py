"""`saver serve`: answers requests for predictions over HTTP."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from saver import Saver
from saver.cli import Failure, Missing, Misuse
from saver.cli._completing import models_and_refs
from saver.cli._screen import print_json, screen
from saver.cli._store import counted, existing, json_option, store_option
from saver.errors import NotFoundError
from saver.serve.storing.sharing import GRACE, SHARES
from saver.serve.tokens import read_tokens

if TYPE_CHECKING:
    from saver.serve.server import Server
    from saver.serve.settings import Settings


@click.command()
@click.argument("refs", nargs=-1, metavar="[REF]...", shell_complete=models_and_refs)
@click.option(
    "--host", default="127.0.0.1", help="Where to listen (127.0.0.1); elsewhere, --tokens is needed."
)
@click.option(
    "--port", default=8000, type=click.IntRange(0, 65535), help="The port (8000); 0: any that is free."
)
@click.option(
    "--grpc-port", type=click.IntRange(0, 65535), metavar="PORT", help="Answer gRPC too, at this port."
)
@click.option("--workers", default=1, type=click.IntRange(1, 256), help="Processes for each model (1).")
@click.option(
    "--tokens", envvar="SAVER_TOKENS", metavar="FILE", type=click.Path(dir_okay=False),
    help="Who may ask: a file of saver token ($SAVER_TOKENS).",
)  # fmt: skip
@click.option(
    "--public", multiple=True, metavar="SCOPE", help="What may be asked without a token: predict:iris."
)
@click.option("--terse", is_flag=True, help="Who shows no token learns only that a request was refused.")
@click.option("--tls-cert", metavar="FILE", help="The certificate, with its chain, as PEM.")
@click.option("--tls-key", metavar="FILE", help="The private key of the certificate, as PEM.")
@click.option(
    "--tls-ca", metavar="FILE", help="Only clients with a certificate of these authorities are let in."
)
@click.option("--trust", multiple=True, metavar="NAME", help="Classes to trust, as in store.load.")
@click.option("--signed-by", multiple=True, metavar="KEY", help="Whose signatures versions need.")
@click.option(
    "--accept-differences", "accept", is_flag=True,
    help="Also serve versions that no longer answer as when they were saved.",
)  # fmt: skip
@click.option(
    "--poll", default=2.0, type=click.FloatRange(0.05), metavar="SECONDS",
    help="How often to look whether a tag has moved (2).",
)  # fmt: skip
@click.option(
    "--drain", default=30, type=click.IntRange(1), metavar="SECONDS", help="To finish after SIGTERM (30)."
)
@click.option(
    "--limit", "limits", multiple=True, metavar="NAME=N", help="A limit, such as rows=500 (docs/serving.md)."
)
@click.option(
    "--share", type=click.Choice(SHARES),
    help="Let tokens use the store itself: read it, write what is checked, or in full (docs/remote.md).",
)  # fmt: skip
@click.option(
    "--grace", default=GRACE, type=click.FloatRange(0), metavar="SECONDS",
    help=f"With --share: condemned objects are kept this long for readers ({GRACE:.0f}).",
)  # fmt: skip
@click.option("--log-requests", is_flag=True, help="Print a line of JSON for each request on standard error.")
@store_option
@json_option
def command(refs: tuple[str, ...], address: str, as_json: bool, log_requests: bool, **given: Any) -> None:
    """Answer requests for predictions over HTTP.

    \b
      saver serve iris@production           iris, and each version to which the tag moves
      saver serve new=iris@4 old=iris@3     under names of their own
      saver serve                           all models of the store

    Then POST rows of JSON or CSV to /predict/iris, or ask as Open Inference clients do. GET /openapi.json
    says what goes in, with an example. Other machines need a token: see saver token.
    """
    with _ending_quietly():
        settings = _settings(refs, address, given)
        from saver.pages.app import beside
        from saver.serve.server import run

        if log_requests:
            _log()
        run(settings, _announce_json if as_json else _announce, beside)


@contextmanager
def _ending_quietly() -> Iterator[None]:
    """SIGTERM ends the command with exit code 0, also before the server has handlers of its own."""
    try:
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _settings(refs: tuple[str, ...], address: str, given: dict[str, Any]) -> Settings:
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401

        if given["grpc_port"] is not None:
            import grpc  # noqa: F401
        from saver.serve.settings import BadSettingsError, Settings, limits_of, names_of
    except ImportError as error:
        package, extra = ("grpcio", "grpc") if error.name == "grpc" else (error.name, "serve")
        raise Failure(
            f"serving needs the package {package}, which is not installed; pip install 'saver-ml[{extra}]'"
        ) from error
    share = given["share"]
    names = refs or (() if share else _able(existing(address)))
    try:
        return Settings(
            store=address, names=names_of(names), host=given["host"], port=given["port"],
            grpc_port=given["grpc_port"], workers=given["workers"], tokens=given["tokens"],
            public=given["public"], terse=given["terse"],
            certificate=given["tls_cert"], private_key=given["tls_key"], authorities=given["tls_ca"],
            trust=given["trust"], signed_by=given["signed_by"], accept=given["accept"],
            poll=given["poll"], drain=given["drain"], limits=limits_of(given["limits"]),
            share=share, grace=given["grace"],
        )  # fmt: skip
    except BadSettingsError as error:
        raise Misuse(str(error)) from error


def _able(store: Saver) -> list[str]:
    """The models whose newest version has a schema; the others are named, and left out."""
    found, left = [], []
    for model in store.models():
        try:
            store.schema(model)
            found.append(model)
        except NotFoundError:
            left.append(model)
    if not found:
        raise Missing(f"{store.storage}: no model was saved with an example; save one with example=...")
    if left:
        screen().done(f"left out, since they were saved without an example: {', '.join(left)}")
    return found


def _announce(server: Server) -> None:
    on = screen()
    for name, served in server.models.items():
        ref = served.current.ref if served.current is not None else served.ref
        on.answer(f"{name}: {ref} answers at {server.address}/predict/{name}")
    if server.grpc_address:
        on.answer(f"over gRPC: {server.grpc_address}")
    if server.settings.share is not None:
        how = {"read": "for reading", "checked": "", "full": "in full: writers may do anything"}
        said = f" ({how[server.settings.share]})" if how[server.settings.share] else ""
        on.answer(f"{server.settings.store} is shared at {server.address}{said}")
    tokens = server.settings.tokens
    if tokens is not None and not read_tokens(tokens):
        on.done(
            f"{tokens} has no tokens yet; saver token new NAME --scope predict --tokens {tokens} makes one"
        )
    if server.house.gate.is_open:
        on.done(f"{counted(len(server.models), 'model')}; only this machine reaches them, and needs no token")


def _announce_json(server: Server) -> None:
    from saver.serve.status import serving

    print_json(serving(server.models.values(), server.address, server.grpc_address))


def _log() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    requests = logging.getLogger("saver.serve")
    requests.addHandler(handler)
    requests.setLevel(logging.INFO)
    requests.propagate = False
