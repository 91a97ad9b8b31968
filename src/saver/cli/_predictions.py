"""What the commands about predictions share: opening models that answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from saver.cli import Finding
from saver.cli._screen import print_json, screen
from saver.cli._store import existing
from saver.cli._subject import is_file
from saver.errors import NotFoundError

if TYPE_CHECKING:
    from saver.predicting import Predicted, Predictor

trusting_option = click.option(
    "--trust", metavar="PATTERN", multiple=True,
    help="Trust classes and functions that match, such as mypackage.*; can be repeated.",
)  # fmt: skip


def predictor(what: str, address: str, trust: tuple[str, ...]) -> Predictor:
    """The model of a version or a file."""
    from saver.predicting import open_predictor

    if is_file(what):
        return open_predictor(what, trust=trust)
    return existing(address).predictor(what, trust=trust)


def check_predictions(refs: tuple[str, ...], address: str, trust: tuple[str, ...], as_json: bool) -> None:
    """Let models answer their golden predictions; without refs, the newest version of each model."""
    from saver import documents

    found: list[Predicted] = []
    without: list[str] = []
    for ref in refs or _newest(address):
        try:
            found.append(predictor(ref, address, trust).check())
        except NotFoundError as error:
            if refs or "has no schema" not in str(error):
                raise
            without.append(ref)
    if as_json:
        print_json(documents.CheckedPredictions(
            predicted=tuple(map(documents.predicted, found)), without=tuple(without)
        ))  # fmt: skip
    else:
        _show(found, without)
    differing = [each.where for each in found if not each.same]
    if differing:
        raise Finding(f"golden predictions differ: {', '.join(differing[:20])}; see `saver doctor REF`")


def _newest(address: str) -> Iterable[str]:
    store = existing(address)
    return [f"{name}@latest" for name in store.models()]


def _show(found: list[Predicted], without: list[str]) -> None:
    on = screen()
    for each in found:
        on.show(each._page())
    if without:
        on.say(f"Saved without an example, so not checked: {', '.join(without[:20])}")
    if not found and not without:
        on.say("There is no model here.")
