"""Goes through what was saved and what is here together: modules, checkpoints and their containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from msgspec.structs import replace

from saver import trust
from saver.codec import Decoder, door
from saver.families.python.classes import declared
from saver.families.python.restoring import told
from saver.families.tensorflow import modules
from saver.families.tensorflow.fitting import Change, fit
from saver.families.tensorflow.held import MODULES, has_variables, holds_variables, items_here, items_of
from saver.families.tensorflow.modules import DictWrapper, ListWrapper, TupleWrapper
from saver.families.tensorflow.tensors import EagerTensor
from saver.restoring import Mismatch, PartReport, Plan, Saved
from saver.restoring.contract import a_kind, kind, restorer_for
from saver.tree import Node, Value


class Walk:
    """Goes through what was saved and what is here together, and notes what will be set."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._met = set[tuple[int, int]]()
        self.plans: list[tuple[str, Plan]] = []
        self.settings: list[tuple[Value, Callable[[Any], None]]] = []
        self._after: list[Change] = []
        self._matched: list[str] = []
        self._missing: list[str] = []
        self._unexpected: list[str] = []
        self._mismatched: list[Mismatch] = []

    def report(self, target: Any) -> PartReport:
        found = PartReport(
            kind(target), tuple(self._matched), tuple(self._missing), tuple(self._unexpected),
            tuple(self._mismatched),
        )  # fmt: skip
        for path, plan in self.plans:
            found = _joined(found, path, plan.report)
        return found

    def ready(self, decoder: Decoder) -> Change:
        steps = [plan.ready(decoder) for _, plan in self.plans if plan.ready is not None]
        found = [(decoder(value), set_to) for value, set_to in self.settings]

        def change() -> None:
            for step in steps:
                step()
            for item, set_to in found:
                set_to(item)
            for step in self._after:
                step()

        return change

    def pair(self, value: Value, live: Any, path: str) -> bool:
        """Whether a live object stays, and gets what was saved in its place. What is not filled itself is
        for its holder to set."""
        node = self._saved.follow(value)
        here = items_here(live)
        if here is None:
            return self._other(value, live, path)
        found = items_of(node, self._saved)
        if found is None or type(node) is not Node or not self._alike(node, live):
            return False
        if (id(node), id(live)) in self._met:
            return True
        self._met.add((id(node), id(live)))
        self._stay(node, live, path)
        for name, item in here.items():
            inner = f"{path}.{name}" if path else str(name)
            if name not in found:
                self._missing += [inner] if self._saved.exact or has_variables(item) else []
            elif not self.pair(found[name], item, inner):
                self._leaf(found[name], item, live, name, inner)
        for name in found.keys() - here.keys():
            self._absent(found[name], live, name, f"{path}.{name}" if path else str(name))
        self._finish(node, live)
        return True

    def _alike(self, node: Node, live: Any) -> bool:
        """Whether both are of one class, which in a transfer only containers must be."""
        if isinstance(live, (ListWrapper, DictWrapper, TupleWrapper)):
            return not self._saved.exact or node.codec == _CODECS[type(live)]
        if not self._saved.exact or type(live) is tf.train.Checkpoint:
            return not self._saved.exact or node.codec == "tensorflow.checkpoint"
        return self._saved.class_name(node) == trust.own_name(type(live))

    def _stay(self, node: Node, live: Any, path: str) -> None:
        """References to the node lead to the live object, which in a run must be the only one."""
        if self._saved.exact and not self._saved.becomes(node, live):
            self._saved.refuse(f"{path or 'it'} was saved as one object where two are here, or the reverse")
        self._saved.stands_for(node, live)

    def _other(self, value: Value, live: Any, path: str) -> bool:
        """Let the restorer of a live object plan: of a variable, a layer of Keras, an optimizer."""
        restorer = restorer_for(type(live))
        if restorer is None or not restorer.live:
            return False
        node = self._saved.follow(value)
        if (id(node), id(live)) in self._met:
            return True
        self._met.add((id(node), id(live)))
        with self._saved.step(path):
            self.plans.append((path, self._saved.plan(value, live)))
        return True

    def _leaf(self, value: Value, live: Any, holder: Any, name: Any, path: str) -> None:
        """What its holder must be given: in a run all of it, in a transfer tensors alone."""
        node = self._saved.follow(value)
        if type(live) is EagerTensor and type(node) is Node and node.codec == "tensorflow.Tensor":
            found = fit(node, live, path, True, self._saved)
            if isinstance(found, Mismatch):
                self._mismatched.append(found)
                return
            self._matched.append(path)
        elif has_variables(live):
            why = f"{told(node)} was saved, not {a_kind(live)}"
            self._mismatched.append(Mismatch(path, (), (), why))
            return
        elif not self._saved.exact:
            return
        self._give(value, live, holder, name, path)

    def _give(self, value: Value, live: Any, holder: Any, name: Any, path: str) -> None:
        if isinstance(holder, TupleWrapper) or type(holder) is tf.train.Checkpoint:
            if type(value) is not type(live) or repr(value) != repr(live):
                why = f"{a_kind(holder)} cannot be changed; hold a variable in it"
                self._mismatched.append(Mismatch(path, (), (), why))
            return
        into: Any = holder._storage if isinstance(holder, ListWrapper) else None
        into = holder.__wrapped__ if isinstance(holder, DictWrapper) else into
        if into is None:
            into = door(type(holder), declared(type(holder))).target(holder, {name: 0}.keys())
        self.settings.append((value, lambda found: into.__setitem__(name, found)))

    def _absent(self, value: Value, holder: Any, name: Any, path: str) -> None:
        """What was saved and is not here: a run gives it to a module that has not made it yet."""
        if self._saved.exact and MODULES.accepts(type(holder)):
            self._give(value, None, holder, name, path)
        elif self._saved.exact or holds_variables(value, self._saved):
            self._unexpected.append(path)

    def _finish(self, node: Node, live: Any) -> None:
        """Let TensorFlow note what the object holds then."""
        if isinstance(live, (ListWrapper, DictWrapper)):
            self._after.append(live._update_snapshot)
        elif self._saved.exact and node.codec == MODULES.name:
            state: Any = node.state
            modules.check_names(state["attributes"], state["tracked"])
            self._after.append(lambda: _settle(live, list(state["attributes"]), state["tracked"]))


def _settle(module: Any, names: list[str], tracked: list[str]) -> None:
    """Let the attributes of a module be in the order in which they were saved, and tracked as then."""
    own = vars(module)
    own.update([(name, own.pop(name)) for name in names if name in own])
    modules.track(module, tracked)


def _joined(report: PartReport, path: str, other: PartReport) -> PartReport:
    """A report with the names of another one below a path."""

    def named(name: str) -> str:
        return path if name == "value" else f"{path}.{name}"

    return replace(
        report,
        matched=(*report.matched, *map(named, other.matched)),
        missing=(*report.missing, *map(named, other.missing)),
        unexpected=(*report.unexpected, *map(named, other.unexpected)),
        mismatched=(*report.mismatched, *(replace(e, name=named(e.name)) for e in other.mismatched)),
        converted=(*report.converted, *(replace(e, name=named(e.name)) for e in other.converted)),
        left_out=(*report.left_out, *map(named, other.left_out)),
        kept=(*report.kept, *map(named, other.kept)),
    )


_CODECS = {
    ListWrapper: "tensorflow.list", DictWrapper: "tensorflow.dict", TupleWrapper: "tensorflow.tuple",
}  # fmt: skip
