"""`saver rollout`: which version of a model a running server lets answer."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

import click
import msgspec

from saver import documents
from saver.cli import Failure, Missing, Misuse
from saver.cli._screen import print_json, screen
from saver.cli._store import json_option

SECONDS = 600
"""For which a server may load and check a version."""


@click.command()
@click.argument("name", required=False)
@click.option("--back", is_flag=True, help="The version before answers again, at once.")
@click.option(
    "--to", "number", type=click.IntRange(1), metavar="N", help="Version N answers, once it is checked."
)
@click.option(
    "--canary", type=click.IntRange(1), metavar="N", help="Version N answers --percent of the requests."
)
@click.option("--percent", type=click.FloatRange(0, 100), help="The share of the canary; 0 ends it.")
@click.option(
    "--shadow", type=click.IntRange(1), metavar="N", help="Version N predicts too, only to be compared."
)
@click.option("--no-shadow", is_flag=True, help="End the shadow.")
@click.option(
    "--server", "address", envvar="SAVER_SERVER", default="http://127.0.0.1:8000", metavar="URL",
    help="The running server ($SAVER_SERVER, or http://127.0.0.1:8000).",
)  # fmt: skip
@json_option
def command(name: str | None, address: str, as_json: bool, **given: Any) -> None:
    """Show or change which version of a model a running server lets answer.

    \b
      saver rollout                                what answers
      saver rollout iris --canary 4 --percent 5    5 of 100 requests go to version 4
      saver rollout iris --percent 0               no longer
      saver rollout iris --shadow 4                version 4 predicts too, and is compared
      saver rollout iris --to 4                    version 4 answers
      saver rollout iris --back                    as before

    The token comes from $SAVER_TOKEN; to change something, it needs the scope admin.
    """
    path, order = _order(name, given)
    found = _asked(address.rstrip("/"), path, order)
    if as_json:
        print_json(found)
        return
    on = screen()
    for model in found.models:
        on.heading(f"{model.name} follows {model.ref}")
        rows = [
            (f"{model.name}@{each.number}", each.state, f"{each.percent:g} %", str(each.workers))
            for each in model.versions
        ]
        on.table(("version", "is", "requests", "workers"), rows)
        if model.trouble:
            on.answer(f"the newest version does not answer: {model.trouble}")


def _order(name: str | None, given: dict[str, Any]) -> tuple[str, dict[str, object] | None]:
    """The address that does what the options say, and what is sent there; None: nothing is changed."""
    orders: list[tuple[str, dict[str, object]]] = []
    if given["back"]:
        orders.append(("back", {}))
    if given["number"] is not None:
        orders.append(("change", {"version": given["number"]}))
    if given["canary"] is not None or given["percent"] is not None:
        if given["percent"] is None or (given["canary"] is None and given["percent"] > 0):
            raise Misuse("a canary needs both --canary N and --percent P; --percent 0 ends it")
        orders.append(("canary", {"version": given["canary"], "percent": given["percent"]}))
    if given["shadow"] is not None or given["no_shadow"]:
        orders.append(("shadow", {"version": None if given["no_shadow"] else given["shadow"]}))
    if len(orders) > 1 or (orders and name is None):
        raise Misuse("name one model and one change at a time")
    if not orders:
        return "/models", None
    return f"/admin/models/{quote(name or '')}/{orders[0][0]}", orders[0][1]


def _asked(address: str, path: str, order: dict[str, object] | None) -> documents.Serving:
    if not address.startswith(("http://", "https://")):
        raise Misuse(f"{address}: the address of a server begins with http:// or https://")
    headers = {"content-type": "application/json"}
    if token := os.environ.get("SAVER_TOKEN"):
        headers["authorization"] = f"Bearer {token}"
    data = None if order is None else json.dumps(order).encode()
    try:
        with urlopen(Request(address + path, data, headers), timeout=SECONDS) as answer:
            found = msgspec.json.decode(answer.read(), type=documents.Serving)
    except HTTPError as error:
        raise _refused(address, error) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise Missing(f"{address}: no server answers ({reason}); start one with saver serve") from error
    except msgspec.DecodeError as error:
        raise Failure(f"{address}: this is not a server of Saver, or a newer one ({error})") from error
    return msgspec.structs.replace(found, address=address)


def _refused(address: str, error: HTTPError) -> Failure:
    try:
        text = msgspec.json.decode(error.read())["error"]
    except (msgspec.DecodeError, KeyError, TypeError):
        text = error.reason
    return Failure(f"{address}: {text} (status {error.code})")
