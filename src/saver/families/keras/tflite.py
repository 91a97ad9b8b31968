"""Writes models of TensorFlow Lite, with TensorFlow's converter."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from typing import Any

import tensorflow
from tensorflow.lite.python.convert_phase import ConverterError

from saver.families.keras import inference
from saver.format import Export, Loss


def export(export: Export) -> Sequence[Loss]:
    """Write a model as it computes in inference, with the operations that every interpreter has.

    Loops, such as those of recurrent layers, have these only for a number of rows that is known: then it is
    one, which is a loss.
    """
    inputs, losses = inference.inputs_of(export), inference.lost(export)
    try:
        data = _converted(export, inputs)
    except ConverterError:
        data = _converted(export, inference.fixed(inputs))
        losses.append(Loss(export.place, "it takes one row at a time"))
    with open(export.out.path(""), "wb") as file:
        file.write(data)
    return losses


def _converted(export: Export, inputs: list[Any]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="saver-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow, about its own code
        inference.write(export, inputs, folder)
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()  # type: ignore[no-any-return]
