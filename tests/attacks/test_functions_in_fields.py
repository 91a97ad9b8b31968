"""A reviewed function in the place of a name, a number or a list of them: each attribute of each class that
loads without trust is given one, and refuses it. Libraries call what they find there: pandas calls the name
of a column that is a function.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forge
import fuzz_samples
import pytest

from saver import trust
from saver.errors import IncompatibleError
from saver.family import Reference
from saver.testing.codecs import StoredObject, load

sys.path.append(str(Path(__file__).parents[1] / "families"))  # the samples are made by tests there

pytestmark = pytest.mark.filterwarnings("ignore")

LIBRARIES = {
    "category_encoders": "category_encoders", "feature_engine": "feature_engine", "imblearn": "imblearn",
    "skorch": "skorch", "sklearn": "sklearn", "statsmodels": "statsmodels", "torchmetrics": "torchmetrics",
    "nn": "torch",
}  # fmt: skip
"""Samples of the fuzzer, and the library whose objects are meant in them."""

PLACES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda value: value,
    "in a list in a dict": lambda value: forge.node("dict", state={"a": [1, value]}),
}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reviewed function of a kind that no attribute may hold."""
    reviews = {**trust.references(), "canaries:nowhere": Reference(frozenset(("nowhere",)), "tells of calls")}
    monkeypatch.setattr(trust, "references", lambda: reviews)


def fields(saved: StoredObject, library: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The class, the attributes and the name of each attribute of each object of the library."""
    for node in saved.nodes():
        name = str(node.get("class", ""))
        if name.partition(".")[0].partition(":")[0] == library:
            state = node.get("state")
            state = state.get("attributes", state) if isinstance(state, dict) else None
            if isinstance(state, dict):
                for field in state:
                    yield name, state, field


@pytest.mark.slow
@pytest.mark.parametrize("samples", LIBRARIES)
def test_no_attribute_takes_a_function_that_was_reviewed_for_something_else(
    samples: str, nowhere: None
) -> None:
    library = LIBRARIES[samples]
    pytest.importorskip(library)
    taken: list[tuple[str, str, str]] = []
    tried: set[tuple[str, str]] = set()
    for make in fuzz_samples.makers((samples,)).values():
        saved = StoredObject(make())
        for cls, state, field in fields(saved, library):
            if (cls, field) in tried or field.startswith("$"):
                continue
            tried.add((cls, field))
            before = state[field]
            for place, put in PLACES.items():
                state[field] = put(forge.node("function", cls="canaries:nowhere"))
                try:
                    load(saved, ())
                except IncompatibleError:
                    continue
                taken.append((cls, field, place))
            state[field] = before
    assert len(tried) > 100
    assert not taken
