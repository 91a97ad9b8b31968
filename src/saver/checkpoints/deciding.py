"""Whether a run saves after a step: a process alone decides by itself, the ranks of a cluster together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from saver.distributed.running import Announced, Announcements
from saver.policy import Checkpoint, Moment, Policy


class Due(msgspec.Struct, frozen=True):
    """Why to save now ("": not now), and which signals take their effect after that."""

    reason: str = ""
    signals: frozenset[int] = frozenset()


class Alone:
    """Decides in a process alone; `again` says why a snapshot must be taken again, if it must."""

    def __init__(self, every: Policy, again: Callable[[], str]) -> None:
        self._every, self._again = every, again

    def due(self, moment: Moment, saved: Sequence[Checkpoint], skips: Callable[[], bool]) -> Due:
        """What to do after a step. `skips` says whether a save that is due is left out."""
        reason = self._every.due(moment, saved) or self._again()
        return Due(reason if reason and not skips() else "", moment.signals)


class Deciding:
    """Decides in all ranks of a cluster; see Announcements. `said` is None where steps alone decide.

    `skips` says, in rank 0, whether a save would wait for the one before, and is left out therefore.
    """

    def __init__(self, every: Policy, leads: bool, said: Announcements | None, waits: bool) -> None:
        self._leads, self._said = leads, said
        self._alike = tuple(each for each in every.members if each.certain and waits)
        self._others = tuple(each for each in every.members if each not in self._alike)

    @staticmethod
    def is_certain(every: Policy, waits: bool) -> bool:
        """Whether all ranks decide alike, without asking each other."""
        return waits and all(each.certain for each in every.members)

    def due(self, moment: Moment, saved: Sequence[Checkpoint], skips: Callable[[], bool]) -> Due:
        """What to do after a step, in each rank."""
        alike = _reasons(self._alike, moment, saved)
        if self._said is None:
            return Due("; ".join(alike))
        asked = [each for each in self._others if each.foreseen(moment)]
        if self._leads:
            self._decide(self._said, asked, moment, saved, skips)
        found = self._said.found(bool(asked)) or Announced(0, "")
        self._said.passed()
        reasons = [*alike, found.reason] if found.reason else alike
        return Due("; ".join(reasons), frozenset(found.signals))

    def _decide(
        self, said: Announcements, asked: Sequence[Policy], moment: Moment, saved: Sequence[Checkpoint],
        skips: Callable[[], bool],
    ) -> None:  # fmt: skip
        """In rank 0: what is due now, where all ranks wait for that; what is due for a step to come."""
        moment = msgspec.structs.replace(moment, signals=said.signals())
        if asked:
            now = _reasons(asked, moment, saved)
            said.decide("" if now and skips() else "; ".join(now))
        later = _reasons([each for each in self._others if each not in asked], moment, saved)
        if later and (moment.signals or not (said.is_coming or skips())):
            said.announce("; ".join(later), moment.signals)


def _reasons(policies: Iterable[Policy], moment: Moment, saved: Sequence[Checkpoint]) -> list[str]:
    return [reason for each in policies if (reason := each.due(moment, saved)) is not None]
