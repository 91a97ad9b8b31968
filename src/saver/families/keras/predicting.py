"""Models answer a batch as one batch, as in inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from saver.predicting.contract import Method, Predicting


class _Keras(Predicting):
    def methods(self, model: Any) -> Mapping[str, Method]:
        if not isinstance(model, keras.Model):
            return {}
        return {"output": lambda inputs: keras.Model.predict_on_batch(model, inputs)}


PREDICTING = _Keras()
