"""Restores learning-rate schedulers and gradient scalers, through torch's `load_state_dict`."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import LRScheduler

from saver.codec import Decoder, door
from saver.families.python.restoring import elements, items, told
from saver.families.torch.optim_order import is_same_class
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import a_kind, kind
from saver.tree import Node, Value

_SCHEDULER = "torch.LRScheduler"
_SCALER = "torch.GradScaler"
_NESTED, _FUNCTIONS, _SCALE = "_schedulers", "lr_lambdas", "_scale_fn_custom"
_NO_STATE = frozenset(("optimizer", "verbose", "anneal_func"))
"""What is not restored: what older versions of torch have, and the function of SWALR, which stays."""


class SchedulerRestorer(Restorer):
    """Learning-rate schedulers, from one of the same class or a state dict. The target's functions stay."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, LRScheduler)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        where, found = saved.where, _SavedScheduler(saved)
        state = found.state_for(target, value)
        saved.want(state)
        node = saved.follow(value)
        if type(node) is Node and node.codec == _SCHEDULER:
            saved.stands_for(node, target)
        report = PartReport(kind(target), tuple(state), tuple(found.missing), tuple(found.unexpected))

        def ready(decoder: Decoder) -> Callable[[], None]:
            built = _built(state, decoder)
            return lambda: ask(where, target.load_state_dict, built)

        return Plan(report, ready, may_refuse=True)


class _SavedScheduler:
    """The state for the target's `load_state_dict`, values not decoded; and the names that do not match.

    Names with an underscore come and go with versions of torch, and are never reported as missing.
    """

    def __init__(self, saved: Saved) -> None:
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._saved = saved

    def state_for(self, target: Any, value: Value, at: str = "") -> dict[str, Any]:
        """The state of one scheduler; `at` is its path within another."""
        found = self._attributes(target, value)
        known = [name for name in ask(self._saved.where, target.state_dict) if name not in _NO_STATE]
        state: dict[str, Any] = {name: found[name] for name in known if name in found}
        self.missing += [at + name for name in known if name not in found and name[0] != "_"]
        others = [name for name in found if not (name in known or name in _NO_STATE)]
        if self._saved.exact:  # what training has set: `load_state_dict` of torch takes all names
            free = [name for name in others if door(type(target)).refusal(name) is None]
            state |= {name: found[name] for name in free}
            others = [name for name in others if name not in free]
        self.unexpected += [at + name for name in others if name[0] != "_"]
        if _NESTED in state:
            inner = enumerate(self._equally_many(state[_NESTED], target._schedulers))
            state[_NESTED] = [
                self.state_for(target._schedulers[number], item, f"{at}{_NESTED}.{number}.")
                for number, item in inner
            ]
        if _FUNCTIONS in state:
            functions = self._equally_many(state[_FUNCTIONS], target.lr_lambdas)
            state[_FUNCTIONS] = list(map(self._of_function, functions, target.lr_lambdas))
        if _SCALE in known:
            state[_SCALE] = self._of_function(state.get(_SCALE), target._scale_fn_custom)
        return state

    def _attributes(self, target: Any, value: Value) -> dict[str, Value]:
        """The saved attributes of a scheduler, or the items of its state dict."""
        node = self._saved.follow(value)
        if type(node) is Node and node.codec == _SCHEDULER:
            if not is_same_class(node, target, LRScheduler, self._saved):
                self._saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
            return node.state["attributes"]  # type: ignore[no-any-return]
        found = items(node, self._saved)
        if found is None:
            self._saved.refuse(f"{told(node)} was saved, neither a scheduler nor its state dict")
        return {str(name): item for name, item in found.items()}

    def _equally_many(self, value: Value, here: Any) -> list[Value]:
        found = elements(value, self._saved) or []
        if len(found) != len(here):
            self._saved.refuse(
                f"it was saved with {len(found)} schedulers or functions, and has {len(here)} here; make a "
                "scheduler with as many, or take it from `load`"
            )
        return found

    def _of_function(self, value: Value, own: Any) -> Any:
        """What torch saves for a callable object: its attributes. None for a function: the target's stays."""
        if isinstance(own, FunctionType) or not hasattr(own, "__dict__"):
            return None
        node = self._saved.follow(value)
        if type(node) is Node and node.codec in ("object", "dataclass"):
            return node.state
        return items(node, self._saved)


def _built(state: Any, decoder: Decoder) -> Any:
    if type(state) is dict:
        return {name: _built(item, decoder) for name, item in state.items()}
    if type(state) is list:
        return [_built(item, decoder) for item in state]
    return decoder(state)


class ScalerRestorer(Restorer):
    """The gradient scaler of mixed precision: scale, growth and backoff. A disabled one stays disabled."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, GradScaler)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if type(node) is Node and node.codec == _SCALER:
            found = _scaler_state(node.state)
        else:
            found = items(node, saved)  # type: ignore[assignment]
            if found is None:
                saved.refuse(f"{told(node)} was saved, neither a gradient scaler nor its state dict")
        known = ask(where, target.state_dict)
        if saved.exact and found and not known:
            why = "it was enabled when it was saved, and it is disabled here"
            return Plan(PartReport(kind(target), mismatched=(Mismatch("enabled", (), (), why),)))
        missing = tuple(name for name in known if name not in found)
        unexpected = tuple(str(name) for name in found if name not in known) if known else ()
        state = {name: found[name] for name in known if name in found}
        saved.want(state)
        report = PartReport(kind(target), tuple(state), missing, unexpected)
        if missing or not known:
            return Plan(report)

        def ready(decoder: Decoder) -> Callable[[], None]:
            numbers = _built(state, decoder)
            if not all(type(number) in (int, float) for number in numbers.values()):
                raise ValueError("the state of a gradient scaler does not consist of numbers")
            return lambda: ask(where, target.load_state_dict, numbers)

        return Plan(report, ready, may_refuse=True)


def _scaler_state(own: dict[str, Value]) -> dict[str, Value]:
    """What `state_dict` of a saved scaler would have returned."""
    if own["_enabled"] is not True:
        return {}
    return {
        "scale": own["_init_scale"],
        "growth_factor": own["_growth_factor"],
        "backoff_factor": own["_backoff_factor"],
        "growth_interval": own["_growth_interval"],
        "_growth_tracker": own["_init_growth_tracker"],
    }
