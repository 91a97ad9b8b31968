"""What the log says now: typed answers, checkpoints made of pages, and which versions need which packs."""

from saver.repo.state.checkpoint import Checkpoint
from saver.repo.state.reserve import RESERVE, keep_reserve, make_room
from saver.repo.state.state import State

__all__ = ["RESERVE", "Checkpoint", "State", "keep_reserve", "make_room"]
