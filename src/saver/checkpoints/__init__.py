"""Checkpoints: a training run that can be killed at any moment, and resumes as if nothing had happened."""

from __future__ import annotations

from saver.checkpoints.progress import Progress
from saver.checkpoints.run import Checkpoints

__all__ = ["Checkpoints", "Progress"]
