"""Checkpoints: a training run that can be killed at any moment, and goes on as if nothing had happened."""

from __future__ import annotations

from saver.checkpoints.run import Checkpoints, Progress

__all__ = ["Checkpoints", "Progress"]
