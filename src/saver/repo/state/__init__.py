"""What the log says now: typed answers, checkpoints made of pages, and which versions need which packs."""

from saver.repo.state.state import RESERVE, Checkpoint, State

__all__ = ["RESERVE", "Checkpoint", "State"]
