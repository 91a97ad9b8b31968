"""The public names of `saver.predicting`, whose modules are imported on first use."""

from __future__ import annotations

from saver.predicting.example import Example, Tolerance
from saver.predicting.goldens import Predicted
from saver.predicting.opening import open_predictor, predictor_of
from saver.predicting.predictor import Predictor
from saver.predicting.scoring import Scored

__all__ = ["Example", "Predicted", "Predictor", "Scored", "Tolerance", "open_predictor", "predictor_of"]
