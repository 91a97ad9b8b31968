"""Restores random generators: the frame for those of every library, and `random.Random`."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

from saver.families.python.restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value


class GeneratorRestorer(Restorer):
    """A kind of random generators, which continue from the saved position."""

    @abstractmethod
    def codecs(self, target: Any) -> tuple[str, ...]:
        """The codecs of the generators that can continue in `target`."""

    @abstractmethod
    def continued(self, target: Any, found: Any, where: str) -> Callable[[], None]:
        """The function that lets `target` continue where `found` is. Raises DoesNotFitError, at `where`, if
        they are not of the same kind."""

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if type(node) is not Node or node.codec not in self.codecs(target):
            saved.refuse(f"{told(node)} was saved, not a random generator that {a_kind(target)} can continue")
        saved.want(node)
        report = PartReport(kind(target), ("value",))
        return Plan(report, lambda decoder: self.continued(target, decoder(node), where))


class RandomRestorer(GeneratorRestorer):
    """`random.Random`."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, random.Random)

    def codecs(self, target: Any) -> tuple[str, ...]:
        return ("stdlib.Random",)

    def continued(self, target: Any, found: Any, where: str) -> Callable[[], None]:
        state = found.getstate()
        return lambda: ask(where, target.setstate, state)
