"""What a push to a hub keeps, for the tests of hubs."""

from __future__ import annotations

from typing import Any

import saver
from saver.opened import open_version


def kept(store: saver.Saver, model: str = "team/m", number: int | None = None) -> list[Any]:
    """Everything that a push keeps of the versions of a model, or of one of them."""
    found = []
    for each in store.versions(model):
        if number not in (None, each.number):
            continue
        opened = open_version(store._repo, each)
        opened.tensors.verify()
        found.append(
            (
                each.number, each.parts, each.step, repr(each.metrics), sorted(each.tags), each.labels,
                each.notes, each.author, opened.manifest.data, opened.manifest.time,
                opened.manifest.environment,
            )
        )  # fmt: skip
    assert found
    return found
