"""What the log says now, kept at hand: typed answers, checkpoints of pages, and who needs which pack."""

from saver.repo.state.state import PAST_NUMBERS, RESERVE, Checkpoint, State

__all__ = ["PAST_NUMBERS", "RESERVE", "Checkpoint", "State"]
