"""Restores variables in place: alone, and in modules, checkpoints, and what they hold."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from saver.families.python.restoring import told
from saver.families.tensorflow.fitting import Ready, assign, fit, setting
from saver.families.tensorflow.held import MODULES
from saver.families.tensorflow.modules import DictWrapper, ListWrapper, TupleWrapper
from saver.families.tensorflow.variables import SIZES, VARIABLES, check_generator
from saver.families.tensorflow.walking import Walk
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value


class VariableRestorer(Restorer):
    """Variables of the same shape: they stay the objects that they are, and get the saved elements."""

    def accepts(self, cls: type) -> bool:
        return cls in VARIABLES

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        codecs = ("tensorflow.Variable",) if saved.exact else ("tensorflow.Variable", "tensorflow.Tensor")
        if type(node) is not Node or node.codec not in codecs:
            saved.refuse(f"{told(node)} was saved, not a variable; take it from `load`")
        found = fit(node, target, "value", saved.exact, saved)
        if isinstance(found, Mismatch):
            return Plan(PartReport(kind(target), mismatched=(found,)))
        if saved.exact and not saved.becomes(node, target):
            saved.refuse("one variable was saved where two are here, or two where one is here")
        saved.want(node.state)
        saved.stands_for(node, target)
        converted = () if found is None else (found,)
        return Plan(PartReport(kind(target), ("value",), converted=converted), setting(node, target))


class GeneratorRestorer(Restorer):
    """Random generators of the same kind, which go on from the saved position."""

    def accepts(self, cls: type) -> bool:
        return cls is tf.random.Generator

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec != "tensorflow.Generator":
            saved.refuse(f"{told(node)} was saved, not a random generator; take it from `load`")
        algorithm, numbers = node.state
        if algorithm != int(target.algorithm):
            why = f"saved as one of the kind {algorithm!r:.20}, here {int(target.algorithm)} of {list(SIZES)}"
            return Plan(PartReport(kind(target), mismatched=(Mismatch("state", (), (), why),)))
        found = check_generator(algorithm, numbers)
        if saved.exact and not saved.becomes(node, target):
            saved.refuse("one generator was saved where two are here, or two where one is here")
        saved.stands_for(node, target)
        ready: Ready = lambda decoder: lambda: assign(target.state, tf.constant(found, tf.int64))  # noqa: E731
        return Plan(PartReport(kind(target), ("state",)), ready)


class ModuleRestorer(Restorer):
    """Modules and checkpoints with all that they hold: variables and modules stay the objects that they are.

    A run also sets the other attributes, and gives a module what it has not made yet; a transfer sets
    variables and tensors alone.
    """

    def accepts(self, cls: type) -> bool:
        held = (tf.train.Checkpoint, ListWrapper, DictWrapper, TupleWrapper)
        return cls in held or MODULES.accepts(cls)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        walk = Walk(saved)
        if not walk.pair(value, target, ""):
            saved.refuse(f"{told(saved.follow(value))} was saved, not {a_kind(target)}; take it from `load`")
        saved.want(*(each for each, _ in walk.settings))
        return Plan(walk.report(target), walk.ready, any(plan.may_refuse for _, plan in walk.plans))
