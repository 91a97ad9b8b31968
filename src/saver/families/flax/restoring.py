"""Restores modules of nnx in place: their variables get the saved values, as `nnx.update` gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from flax import nnx
from flax.training.train_state import TrainState

from saver import trust
from saver.codec import Decoder, door
from saver.families.flax.walking import by_path, is_variable, items_here, items_saved
from saver.families.jax.arrays import form_of, is_key, saved_form
from saver.families.python.classes import declared
from saver.families.python.restoring import told
from saver.restoring import Conversion, Mismatch, Pair, PartReport, Plan, Restorer, Saved
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value

Setting = tuple[Value, Callable[[Any], None]]
"""A saved value, and what sets it."""


class ModuleRestorer(Restorer):
    """Modules, optimizers, random streams and metrics, from ones of the same structure or from a state.

    Variables stay the objects that they are. A run also sets the other attributes; a transfer only arrays.
    An optimizer keeps its own `tx`. With `names`, variables go by their paths (`layers.0.kernel`) alone.
    """

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, nnx.Pytree)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec not in ("flax.module", "flax.state"):
            saved.refuse(f"{told(node)} was saved, not a module; take it from `load`")
        if saved.exact and saved.class_name(node) != trust.own_name(type(target)):
            saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
        walk = _Walk(saved)
        if saved.naming.given:
            walk.by_name(node, target)
        else:
            walk.pair(node, target, "")
        for each, _ in walk.settings:
            saved.want(each)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = [(decoder(each), set_to) for each, set_to in walk.settings]

            def change() -> None:
                for item, set_to in found:
                    set_to(item)

            return change

        return Plan(walk.report(target), ready)


class _Walk:
    """Goes through a saved module and a live one together, and notes what will be set."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._met = set[tuple[int, int]]()
        self.settings: list[Setting] = []
        self._matched: list[str] = []
        self._missing: list[str] = []
        self._unexpected: list[str] = []
        self._mismatched: list[Mismatch] = []
        self._converted: list[Conversion] = []
        self._left_out: list[str] = []

    def report(self, target: Any) -> PartReport:
        return PartReport(
            kind(target), tuple(self._matched), tuple(self._missing), tuple(self._unexpected),
            tuple(self._mismatched), tuple(self._converted), tuple(self._left_out),
        )  # fmt: skip

    def by_name(self, node: Node, target: Any) -> None:
        """Pair each variable that was saved with the one that has the name the caller gives it."""
        here = dict(by_path(target, items_here, lambda item: isinstance(item, nnx.Variable)))
        found: dict[str, Value] = {}
        old_names: dict[str, str] = {}
        for old, value in by_path(node, self._followed, is_variable):
            new = self._saved.naming(old)
            if new is None:
                self._left_out.append(old)
            elif new in found:
                self._saved.refuse(
                    f"`names` gives {new!r} to both {old_names[new]!r} and {old!r}; leave one out with None"
                )
            else:
                found[new], old_names[new] = value, old
        for path, live in here.items():
            if path in found:
                self._variable(found[path], live, path)
            else:
                self._missing.append(path)
        self._unexpected += [old for new, old in old_names.items() if new not in here]

    def _followed(self, node: Any) -> Mapping[Any, Any] | None:
        found = items_saved(node, self._saved)
        return None if found is None else {name: self._saved.follow(item) for name, item in found.items()}

    def pair(self, value: Value, live: Any, path: str) -> bool:
        """Whether a live object stays, and gets what was saved in its place. What is not filled itself is
        for its holder to set."""
        node = self._saved.follow(value)
        if isinstance(live, nnx.Variable):
            self._variable(node, live, path)
            return True
        here, found = items_here(live), items_saved(node, self._saved)
        if here is None or found is None or type(node) is not Node:
            return False
        if isinstance(live, nnx.Pytree):  # of a list, a state has numbers
            found = {str(name): item for name, item in found.items()}
        if (id(node), id(live)) in self._met:
            return True
        self._met.add((id(node), id(live)))
        if isinstance(live, nnx.Pytree):
            self._stay(node, live, path)
        for name, item in here.items():
            inner = f"{path}.{name}" if path else str(name)
            if name not in found:
                self._missing += [inner] if self._saved.exact or _has_arrays(item) else []
            elif not self.pair(found[name], item, inner):
                self._leaf(found[name], item, live, name, inner)
        for name in found.keys() - here.keys():
            self._unexpected.append(f"{path}.{name}" if path else str(name))
        return True

    def _stay(self, node: Node, live: Any, path: str) -> None:
        """References to the node lead to the live object, which in a run must be the only one."""
        if self._saved.exact and not self._saved.becomes(node, live):
            self._saved.refuse(f"{path or 'it'} was saved as one object where two are here, or the reverse")
        self._saved.stands_for(node, live)

    def _variable(self, node: Value, live: Any, path: str) -> None:
        if type(node) is not Node or node.codec != "flax.variable":
            self._mismatched.append(Mismatch(path, (), (), f"{told(node)} was saved, not a variable"))
            return
        if (id(node), id(live)) in self._met:
            return
        self._met.add((id(node), id(live)))
        self._stay(node, live, path)
        here = trust.own_name(type(live))
        if self._saved.exact and self._saved.class_name(node) != here:
            self._mismatched.append(Mismatch(path, (), (), f"{told(node)} was saved, not {a_kind(live)}"))
            return
        state: Any = node.state
        if self._fits(state["value"], nnx.Variable.get_raw_value(live), path):
            self._matched.append(path)
            dtype = _dtype(nnx.Variable.get_raw_value(live))

            def set_to(found: Any) -> None:
                nnx.Variable.set_raw_value(live, found if dtype is None else found.astype(dtype))

            self._saved.place(state["value"], nnx.Variable.get_raw_value(live))
            self.settings.append((state["value"], set_to))
        if self._saved.exact:
            metadata = nnx.Variable.get_metadata(live)

            def set_metadata(found: dict[str, Any]) -> None:
                metadata.clear()
                metadata.update(found)

            self.settings.append((state["metadata"], set_metadata))

    def _fits(self, value: Value, live: Any, path: str) -> bool:
        """Whether a saved array has the shape, and can have the dtype, of the one that is here."""
        form = saved_form(self._saved.follow(value), self._saved)
        if form is None or not isinstance(live, jax.Array):
            if self._saved.exact or (form is None) is not isinstance(live, jax.Array):
                return True
            self._mismatched.append(Mismatch(path, (), (), "one of both is an array, and the other is not"))
            return False
        (dtype, shape), (name, there) = form, form_of(live)
        if shape != there:
            self._mismatched.append(Mismatch(path, shape, there))
        elif dtype == name:
            return True
        elif self._saved.exact or is_key(live) or not jax.numpy.can_cast(dtype, name, "same_kind"):
            self._mismatched.append(Mismatch(path, shape, shape, f"saved as {dtype}, here {name}"))
        else:
            self._converted.append(Conversion(path, dtype, name))
            return True
        return False

    def _leaf(self, value: Value, live: Any, holder: Any, name: Any, path: str) -> None:
        """What its holder must be given: in a run all of it, in a transfer arrays alone."""
        if isinstance(live, jax.Array):
            if not self._fits(value, live, path):
                return
            self._matched.append(path)
            self._saved.place(value, live)
        elif not self._saved.exact and not _has_arrays(live):
            return
        if isinstance(holder, (dict, list)):
            self.settings.append((value, lambda found: holder.__setitem__(name, found)))
        elif isinstance(holder, nnx.State):
            self.settings.append((value, lambda found: holder.raw_mapping.__setitem__(name, found)))
        elif isinstance(holder, nnx.Pytree):
            into = door(type(holder), declared(type(holder))).target(holder, {name: 0}.keys())
            self.settings.append((value, lambda found: into.__setitem__(name, found)))
        elif type(value) is not type(live) or repr(value) != repr(live):
            why = f"{a_kind(holder)} cannot be changed; hold a variable in it"
            self._mismatched.append(Mismatch(path, (), (), why))


def _dtype(value: Any) -> Any:
    return value.dtype if isinstance(value, jax.Array) and not is_key(value) else None


def _has_arrays(value: Any) -> bool:
    return any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(value))


class TrainStateRestorer(Restorer):
    """Train states, which keep their own functions. A frozen object changes here: hold it in a dict, and
    replace it there while training."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, TrainState)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        pair = self.pair(node, target, saved) if type(node) is Node else None
        if pair is None:
            saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
        saved.fills(pair)
        saved.hold(pair.needs)
        return Plan(PartReport(kind(target), tuple(pair.node.state)), pair.ready)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        cls = type(target)
        if node.codec != "flax.TrainState" or saved.class_name(node) != trust.own_name(cls):
            return None

        def ready(decoder: Decoder) -> Callable[[], None]:
            fresh = decoder.attributes(cls, node.state, declared(cls))

            def change() -> None:
                for name, item in fresh.items():
                    object.__setattr__(target, name, item)

            return change

        own = vars(target)
        return Pair(
            node, target, node.state, ready, [(item, own.get(name)) for name, item in node.state.items()]
        )

    def within(self, target: Any) -> Iterator[tuple[str, Any]]:
        yield from vars(target).items()
