"""What the log says now, kept at hand: typed answers, checkpoints of pages, and who needs which pack."""

from saver.repo.state.state import RESERVE, Checkpoint, State

__all__ = ["RESERVE", "Checkpoint", "State"]
