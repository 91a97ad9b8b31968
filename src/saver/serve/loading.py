"""What a template loads: one version, as a model that answers arrays with arrays."""

from __future__ import annotations

from typing import Any

import msgspec

import saver
from saver.predicting import Predictor
from saver.predicting.quick import quicker, seen_same
from saver.serve.channel import Arrays


class Model:
    """A version that was loaded."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def predict(self, arrays: Arrays, only: tuple[str, ...]) -> Arrays:
        return self._predictor.predict(arrays, only)

    def check(self, accept: bool) -> dict[str, object]:
        """Whether the model answers as it did when it was saved; if `accept`, it need not."""
        found = self._predictor.check()
        since = "" if found.same else f" ({found.since()})"
        ok = found.same or accept
        return {"ok": ok, "text": found.verdict() + since, "quick": ok and seen_same(self._predictor)}

    def hurry(self) -> None:
        """Answer with less around the model, as `check` has found that it may. Asks the model nothing."""
        self._predictor = quicker(self._predictor)

    def described(self) -> dict[str, Any]:
        """The schema, as data."""
        return {"schema": msgspec.to_builtins(self._predictor.schema)}


def load(order: dict[str, Any]) -> Model:
    """Load the version that the server names. Runs no code of the version."""
    store = saver.Saver(order["store"])
    signers = order["signed_by"] or None
    return Model(store.predictor(order["ref"], trust=order["trust"], signed_by=signers))
