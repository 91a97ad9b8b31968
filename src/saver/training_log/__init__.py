"""`TrainingLog`: the metrics of a training run by step, over all its resumes."""

from __future__ import annotations

from saver.training_log.content import Column, Content, Event
from saver.training_log.log import Best, TrainingLog

__all__ = ["Best", "Column", "Content", "Event", "TrainingLog"]
