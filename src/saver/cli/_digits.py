"""What the demo trains: a small neural network on the digits that come with scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MinMaxScaler

HIDDEN_UNITS = 64


class Digits:
    """1,797 images of 8 x 8 pixels, a quarter of them held out; a scaler; a model; its log.

    Everything is seeded, so every run trains the same model.
    """

    def __init__(self) -> None:
        images, labels = load_digits(return_X_y=True)
        split = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
        self.images: NDArray[Any] = split[0]
        self.held_out_images: NDArray[Any] = split[1]
        self.labels: NDArray[Any] = split[2]
        self.held_out_labels: NDArray[Any] = split[3]
        self.scaler = MinMaxScaler()
        self.model = MLPClassifier((HIDDEN_UNITS,), learning_rate_init=0.003, batch_size=64, random_state=0)
        self.log: dict[str, list[float]] = {
            "epoch": [],
            "loss": [],
            "accuracy": [],
            "held_out_loss": [],
            "held_out_accuracy": [],
        }

    def train(self, epochs: int) -> Iterator[dict[str, float]]:
        """Fit the scaler, then train the model for `epochs` epochs; yields a row of the log after each."""
        pixels = self.scaler.fit_transform(self.images)
        held_out = self.scaler.transform(self.held_out_images)
        classes = np.unique(self.labels)
        for epoch in range(1, epochs + 1):
            self.model.partial_fit(pixels, self.labels, classes=classes)
            loss, accuracy = self._measure(pixels, self.labels)
            held_out_loss, held_out_accuracy = self._measure(held_out, self.held_out_labels)
            row = {
                "epoch": epoch,
                "loss": loss,
                "accuracy": accuracy,
                "held_out_loss": held_out_loss,
                "held_out_accuracy": held_out_accuracy,
            }
            for name, value in row.items():
                self.log[name].append(value)
            yield row

    def _measure(self, pixels: NDArray[Any], labels: NDArray[Any]) -> tuple[float, float]:
        probabilities = self.model.predict_proba(pixels)
        right = self.model.classes_[probabilities.argmax(axis=1)] == labels
        return float(log_loss(labels, probabilities)), float(right.mean())

    def scaled(self) -> dict[str, NDArray[Any]]:
        """Images and labels for another network; the pixels are float32, scaled to 0..1."""
        return {
            "images": self.scaler.transform(self.images).astype("f4"),
            "labels": self.labels.astype("i8"),
            "held_out_images": self.scaler.transform(self.held_out_images).astype("f4"),
            "held_out_labels": self.held_out_labels.astype("i8"),
        }

    def predict(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The labels and the probabilities for the held-out images."""
        pixels = self.scaler.transform(self.held_out_images)
        return self.model.predict(pixels), self.model.predict_proba(pixels)
