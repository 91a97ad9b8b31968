"""Attributes of live objects that become those that were saved."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from saver.codec import Decoder, Encoder, attributes_of, door
from saver.errors import CannotSaveError
from saver.restoring import PartReport, Saved
from saver.restoring.live import Within
from saver.tree import Value

Change = Callable[[], None]

CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, partial)
"""Code, which live objects keep."""

_PLAIN = frozenset((type(None), bool, int, float, str))


def has_data_form(item: Any) -> bool:
    """Whether the value of an attribute can be saved."""
    if type(item) in _PLAIN or (type(item) is tuple and _PLAIN.issuperset(map(type, item))):
        return True
    try:
        Encoder().part("attribute", item)
    except CannotSaveError:
        return False
    return True


class Attributes:
    """The attributes of a live object that become those that were saved, but for those `left_out`, which its
    library keeps itself. Live objects among them are restored themselves; what else fits stays the same
    object.

    With `examined`, they are decoded as they were saved, for a check that looks into them. `data` is as in
    `Decoder.attributes`.
    """

    def __init__(
        self,
        target: Any,
        state: dict[str, Value],
        saved: Saved,
        *,
        examined: bool,
        left_out: frozenset[str] = frozenset(),
        data: frozenset[str] = frozenset(),
    ) -> None:
        if not left_out.isdisjoint(state):
            raise ValueError("an attribute has the name of a field that its library keeps itself")
        self._target, self._state, self._left_out = target, state, left_out
        self._data = data
        self._here = dict(attributes_of(target, data, left_out)[0])
        self._within = Within(self._here, state, saved)
        self._rest = {name: value for name, value in state.items() if name not in self._within.plans}
        if examined:
            saved.want(self._rest)
            return
        saved.hold(self._rest)
        for name, value in self._rest.items():
            if name in self._here:
                saved.stay(value, self._here[name])

    @property
    def may_refuse(self) -> bool:
        return self._within.may_refuse

    def report(self, into: str = "", matched: Iterable[str] = ()) -> PartReport:
        """What becomes of the live objects among them."""
        return self._within.report(into, matched)

    def ready(self, decoder: Decoder) -> tuple[dict[str, Any], Change]:
        """The future attributes, and what sets them. They are complete once everything has been decoded."""
        fresh = decoder.attributes(type(self._target), self._rest, self._data)
        fresh.update((name, self._here[name]) for name in self._within.plans)
        within = self._within.ready(decoder)

        def change() -> None:
            for step in within:
                step()
            self._set({name: fresh[name] for name in self._state})

        return fresh, change

    def _set(self, fresh: Mapping[str, Any]) -> None:
        """Past `__setattr__` of the class, as when it is loaded."""
        target, way = self._target, door(type(self._target), self._data)
        own = vars(target) if self._left_out else {}
        kept = {name: value for name, value in own.items() if name in self._left_out}
        way.clear(target)
        own.update(kept)
        into = way.target(target, fresh.keys())
        for name, value in fresh.items():
            into[name] = value
