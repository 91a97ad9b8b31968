"""Keras 3: models, layers and optimizers on every backend, with their vocabularies."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="keras",
    packages=("keras",),
    extra="keras",
    classes="saver.families.keras:classes.json",
    codecs="saver.families.keras.codecs",
    predicting="saver.families.keras.predicting",
    files="saver.families.keras.files",
    older="saver.families.keras.older",
    run="saver.families.keras.run",
    exports={
        "savedmodel": "saver.families.keras.savedmodel",
        "tflite": "saver.families.keras.tflite",
    },
    change=Change(
        "problem",
        "warning",
        "ok",
        "layers are made again from their configurations, whose fields change between versions",
    ),
    instead=dict.fromkeys(
        (
            "keras.src.metrics.metric.Metric",
            "keras.src.losses.loss.Loss",
        ),
        "it belongs to a model: compile the model with it, and save the model",
    ),
)
