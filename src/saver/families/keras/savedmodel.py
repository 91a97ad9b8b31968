"""Writes models as SavedModels of TensorFlow, with Keras' own exporter."""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow  # noqa: F401  (Keras needs it, and says less clearly that it is missing)

from saver.families.keras import inference
from saver.format import Export, Loss


def export(export: Export) -> Sequence[Loss]:
    """Write a model as it computes in inference."""
    inputs = inference.inputs_of(export)
    inference.write(export, inputs, os.path.dirname(export.out.path("/saved_model.pb")))
    return inference.lost(export)
