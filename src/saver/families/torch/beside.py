"""State that a module's state dict leaves out: attributes, non-persistent buffers, frozen parameters.

In a run, a module without a data form (because it holds a hook or a lambda) is saved by its state dict, and
this state is saved beside it. Functions and hooks are code, which the live module keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

from torch import nn
from torch.optim import Optimizer

from saver.codec import Decoder, door
from saver.families.python.live_attributes import CODE, Attributes, has_data_form
from saver.families.python.restoring import elements, items
from saver.families.torch import modules
from saver.families.torch.becoming import Becoming, Buffers, Future, check_futures, is_checked
from saver.families.torch.optim import NOT_STORED, check_attributes
from saver.families.torch.state_names import join, unwrapped, without_wrappers
from saver.restoring import Plan, Saved
from saver.restoring.contract import Target, a_kind, kind
from saver.tree import Value

_OTHERS = ("torch.nn.parallel.", "torch.distributed.", "torch._dynamo.", "torch.jit.", "torch.fx.")
"""Packages of wrappers and compiled modules, whose attributes are internals rather than state."""

_LOOPS = ("lightning.", "pytorch_lightning.")
"""Packages of training loops: what is theirs in a module, they put there again."""

_STATEFUL = ("torch.utils.data.", "torch.distributions.")
"""Packages of torch whose objects may hold what training changes: a sampler draws from its generator."""


class Beside:
    """The state of one module or optimizer that its state dict leaves out."""

    def __init__(self, obj: Any) -> None:
        self.obj = obj
        self._code: dict[str, frozenset[str]] = {}
        for name, part in self.parts():
            way = door(type(part))
            self._code[name] = frozenset(
                key
                for key, item in _attributes(part)
                if way.refusal(key) is not None or _is_of_a_loop(item) or not has_data_form(item)
            )

    def parts(self) -> Iterator[tuple[str, Any]]:
        """The modules within, or the optimizer itself, by their names without those of wrappers."""
        if isinstance(self.obj, Optimizer):
            yield "", self.obj
            return
        for name, module in unwrapped(self.obj).named_modules():
            if not f"{type(module).__module__}.".startswith(_OTHERS):
                yield without_wrappers(name), module

    def code(self, name: str) -> frozenset[str]:
        """The attributes that have no data form."""
        return self._code.get(name, frozenset())

    def lost(self) -> Iterator[str]:
        """The attributes that are neither saved nor code: a resumed run does not have their values."""
        for name, part in self.parts():
            for key, item in _attributes(part):
                home = f"{type(item).__module__}."
                own = not home.startswith("torch.") or home.startswith(_STATEFUL)
                own = own and not _is_of_a_loop(item)
                cached = isinstance(getattr(type(part), key, None), cached_property)
                if key in self.code(name) and own and not cached and not isinstance(item, CODE):
                    yield f"{join(name, key)} ({a_kind(item)})"

    def state(self) -> dict[str, Any]:
        """The state to save, by the names of the modules."""
        return {name: self._state_of(name, part) for name, part in self.parts()}

    def _state_of(self, name: str, part: Any) -> dict[str, Any]:
        code = self.code(name)
        state: dict[str, Any] = {
            "attributes": {key: item for key, item in _attributes(part) if key not in code},
            "code": sorted(code),
        }
        if isinstance(part, nn.Module):
            spare = part._non_persistent_buffers_set
            state["buffers"] = {key: item for key, item in part._buffers.items() if key in spare}
            own = part._parameters.items()
            state["frozen"] = [key for key, item in own if item is not None and not item.requires_grad]
        return state


def _attributes(part: Any) -> Iterator[tuple[str, Any]]:
    left_out = modules.not_stored(part) if isinstance(part, nn.Module) else NOT_STORED
    return ((key, item) for key, item in vars(part).items() if key not in left_out)


def _is_of_a_loop(item: Any) -> bool:
    return f"{type(item).__module__}.".startswith(_LOOPS)


class BesideTarget(Target):
    """The live object that gets the state."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside

    def plan(self, value: Value, saved: Saved) -> Plan:
        found, tree = items(value, saved), Becoming(saved)
        here = dict(self._beside.parts())
        members: list[_Part] = []
        for name, item in (found or {}).items():
            state = items(item, saved)
            if state is None or name not in here:
                tree.unexpected.append(str(name))
            else:
                members.append(_Part(str(name), here[name], state, self._beside.code(name), tree))

        def ready(decoder: Decoder) -> Callable[[], None]:
            steps = [pair.ready(decoder) for pair in tree.pairs]
            futures = [member.future(decoder) for member in members]
            check_futures([future for future in futures if isinstance(future.module, nn.Module)])
            steps += [future.change for future in futures]

            def change() -> None:
                for step in steps:
                    step()

            return change

        return Plan(tree.report(kind(self._beside.obj)), ready, may_refuse=tree.may_refuse)


class _Part:
    """One module, and the state that was saved beside its state dict."""

    def __init__(
        self, name: str, part: Any, state: dict[Any, Value], code: frozenset[str], tree: Becoming
    ) -> None:
        self._part, saved = part, tree.saved
        attributes = _named(items(state["attributes"], saved))
        for key in attributes.keys() & code:
            tree.differs(join(name, key), "it was saved, and has no data form here")
        own = modules.not_stored(part) if isinstance(part, nn.Module) else NOT_STORED
        left_out = own | code | set(_texts(state["code"], saved))
        kept = {key: item for key, item in attributes.items() if key not in left_out - own}
        examined = isinstance(part, nn.Module) and is_checked(part)
        self._attributes = Attributes(part, kept, saved, examined=examined, left_out=left_out)
        tree.take(name, self._attributes)
        self._buffers: Buffers | None = None
        self._frozen: set[str] = set()
        if isinstance(part, nn.Module):
            self._buffers = Buffers(name, part, _named(items(state["buffers"], saved)), tree)
            self._frozen = set(_texts(state["frozen"], saved))

    def future(self, decoder: Decoder) -> Future:
        part = self._part
        fresh, change_attributes = self._attributes.ready(decoder)
        if self._buffers is None:
            check_attributes(type(part), fresh)
            return Future(part, fresh, {}, change_attributes)
        buffers = self._buffers.ready(decoder)
        for name, parameter in part._parameters.items():
            trained = parameter is not None and name not in self._frozen
            if trained and not (parameter.is_floating_point() or parameter.is_complex()):
                raise ValueError(f"the parameter {name!r} has integers, which cannot be trained")

        def change() -> None:
            change_attributes()
            part._buffers.update(buffers)
            for name, parameter in part._parameters.items():
                if parameter is not None and parameter.requires_grad is (name in self._frozen):
                    parameter.requires_grad_(name not in self._frozen)

        return Future(part, fresh, part._buffers | buffers, change)


def _named(found: dict[Any, Value] | None) -> dict[str, Value]:
    if found is None or not all(type(key) is str for key in found):
        raise ValueError("a name is not a string")
    return found


def _texts(value: Value, saved: Saved) -> list[str]:
    return list(map(modules.text, elements(value, saved) or ()))
