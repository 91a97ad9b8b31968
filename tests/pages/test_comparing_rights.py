"""A page that shows several models shows only those that its visitor may read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jinja2")

import saver
from saver.pages.comparing import acts as comparing
from saver.pages.curves import acts as curves
from saver.pages.page import Visit
from saver.serve.refusals import Refusal
from saver.training_log import TrainingLog

ACTS = (comparing.compare, comparing.progress, curves.curves, curves.news)


def visit(store: saver.Saver, *others: str) -> Visit:
    """A visit of one who may read `open` alone, to its page with other versions."""
    query = {"with": list(others), "have": ["-"] * (len(others) + 1)}
    site: Any = SimpleNamespace(store=store)

    def may(right: str, model: str | None = None) -> bool:
        return (right, model) == ("read", "open")

    return Visit(site, {"ref": "open@1"}, lambda name: query.get(name, []), may, {})


@pytest.fixture
def store(tmp_path: Path) -> saver.Saver:
    found, log = saver.Saver(tmp_path), TrainingLog()
    log.append(0, loss=1.0)
    for model in ("open", "open", "secret"):
        found.save(model, {"log": log, "w": np.arange(3.0)})
    return found


@pytest.mark.parametrize("act", ACTS)
def test_a_model_that_one_may_not_read_is_not_shown(store: saver.Saver, act: Callable[[Visit], Any]) -> None:
    act(visit(store, "open@2"))
    with pytest.raises(Refusal, match="read:secret"):
        act(visit(store, "secret@1"))
