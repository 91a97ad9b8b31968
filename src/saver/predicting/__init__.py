"""Predictions of saved models: how parts answer, and what they answered when they were saved.

`Example` says more of the rows that are passed to `save(…, example=…)`; `open_predictor` makes a `Predictor`
of a file, and `saver.Saver.predictor` one of a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saver.predicting.example import Example, Tolerance
    from saver.predicting.goldens import Predicted
    from saver.predicting.opening import open_predictor, predictor_of
    from saver.predicting.predictor import Predictor
    from saver.predicting.scoring import Scored

__all__ = ["Example", "Predicted", "Predictor", "Scored", "Tolerance", "open_predictor", "predictor_of"]


if not TYPE_CHECKING:  # who only reads what a version records, as `saver show` does, needs little of it

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'saver.predicting' has no attribute {name!r}")
        from saver.predicting import names

        return getattr(names, name)
