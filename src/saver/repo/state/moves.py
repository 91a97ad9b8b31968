"""Where bytes of packs were moved to, from the records that say so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from saver.repo.events import Move, Relocate
from saver.repo.state.needs import reached
from saver.repo.state.state import State


class Moves:
    """The moves out of packs, as the state has them. Records are read once, however many packs they are
    about, and then kept."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._told: dict[int, Mapping[str, tuple[Move, ...]]] = {}

    def of(self, pack: str) -> Iterator[Move]:
        """The moves out of a pack, those of older records first."""
        for number in self._state.moved(pack):
            if number not in self._told:
                event = self._state.log.read(number)[0].event
                self._told[number] = event.moves if isinstance(event, Relocate) else {}
            yield from self._told[number].get(pack, ())

    def targets(self, packs: Iterable[str]) -> set[str]:
        """These packs, and all packs that bytes of them were moved to since."""
        return set(reached(packs, lambda pack: (move[2] for move in self.of(pack))))
