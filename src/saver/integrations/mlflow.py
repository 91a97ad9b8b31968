"""Loads the models that `saver export REF FOLDER --format mlflow` writes, for `mlflow.pyfunc`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from saver import load
from saver.errors import IncompatibleError, kind_of

__all__ = ["Predictor"]


class Predictor:
    """A model as `mlflow.pyfunc` uses it: `predict` takes a frame or an array."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What the model predicts. `params` are further arguments of its `predict`."""
        kind = f"{type(self.model).__module__.partition('.')[0]}.{type(self.model).__name__}"
        if kind == "xgboost.Booster":
            return self.model.predict(sys.modules["xgboost"].DMatrix(model_input), **params or {})
        if hasattr(self.model, "predict"):
            return self.model.predict(model_input, **params or {})
        return self._called(model_input)

    def _called(self, model_input: Any) -> Any:
        """A module of PyTorch is called with its own dtype, in the mode for predictions."""
        torch = sys.modules["torch"]
        first = next(self.model.parameters(), torch.zeros(0))
        given = torch.as_tensor(np.asarray(model_input)).to(first)
        self.model.eval()
        with torch.no_grad():
            return self.model(given).cpu().numpy()


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> Predictor:
    """What MLflow calls. Your own classes must be registered, or trusted in the configuration of Saver.

    Raises IncompatibleError if the file does not hold one model that predicts.
    """
    found = load(path)
    while type(found) is dict and len(found) == 1:
        (found,) = found.values()
    torch = sys.modules.get("torch")
    if hasattr(found, "predict") or (torch is not None and isinstance(found, torch.nn.Module)):
        return Predictor(found)
    raise IncompatibleError(f"{path}: {kind_of(found)} does not predict; export the model alone")
