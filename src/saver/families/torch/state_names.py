"""The names of a module's state: those that were saved, and those of the target, with or without wrappers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from saver.errors import IncompatibleError
from saver.families.python.restoring import items, told
from saver.restoring import Saved
from saver.tree import Node, Value

MODULE = "torch.Module"
_EXTRA = "_extra_state"

_WRAPPERS = frozenset(("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"))
"""Steps that `torch.compile` and other wrappers add to names."""

_STEPS_LIMIT = 1_000_000
"""The limit on names and values visited: references can make a small file stand for endless names."""

_DEPTH_LIMIT = 200


class SavedState:
    """The content of a saved module or state dict, under the names of a state dict.

    `spare` are buffers that were not persistent: they are used only by a module in which they are persistent.
    `versions` are those of the modules' classes in the form of torch, if a state dict was saved with them.
    """

    def __init__(self, value: Value, saved: Saved) -> None:
        self.values: dict[str, Value] = {}
        self.spare: set[str] = set()
        self.versions: dict[str, dict[str, int]] | None = None
        self._saved = saved
        self._steps = 0
        node = saved.follow(value)
        module = type(node) is Node and node.codec == MODULE
        if not module and items(node, saved) is None:
            saved.refuse(f"{told(node)} was saved, neither a module nor a state dict; take it from `load`")
        if type(node) is Node and type(node.state) is list and node.state[2:] == ["attributes"]:
            self.versions = self._versions(node.state[1].get("_metadata"))
        self.is_dict = not module
        self._add("", node, 0)

    def _add(self, name: str, value: Value, depth: int) -> None:
        self._steps += 1
        if self._steps > _STEPS_LIMIT or depth > _DEPTH_LIMIT:
            raise IncompatibleError(f"{self._saved.where}: there are too many names, or nested too deep")
        node = self._saved.follow(value)
        if type(node) is Node and node.codec == MODULE:
            self._add_module(name, node.state, depth)
            return
        within = items(node, self._saved) if not is_extra(name) else None
        if within is None:
            if name in self.values:
                self._saved.refuse(
                    f"two saved values are both called {name!r}; restore the inner dict by itself"
                )
            self.values[name] = node
        for key, item in (within or {}).items():
            self._add(join(name, str(key)), item, depth + 1)

    def _add_module(self, name: str, state: dict[str, Any], depth: int) -> None:
        for group in ("parameters", "buffers", "modules"):
            for key, item in state.get(group, {}).items():
                if item is not None:
                    self._add(join(name, key), item, depth + 1)
        self.spare.update(join(name, key) for key in state.get("non_persistent", ()))

    def _versions(self, metadata: Value) -> dict[str, dict[str, int]] | None:
        """The versions, without anything else that a state dict could request of torch, such as `assign`."""
        found = items(metadata, self._saved)
        if found is None:
            return None
        held = {str(name): (items(item, self._saved) or {}).get("version") for name, item in found.items()}
        return {name: {"version": number} for name, number in held.items() if type(number) is int}


def is_extra(name: str) -> bool:
    """Whether this name is that of a module's extra state (`get_extra_state`), which may be any object."""
    return name.rpartition(".")[2] == _EXTRA


def join(name: str, step: str) -> str:
    """The name of what is called `step` within `name`."""
    return f"{name}.{step}" if name else step


def homes_of(names: Iterable[str], here: Mapping[str, Any]) -> dict[str, str | None]:
    """The target's name for each name: the same, or the same except for the steps of wrappers; None if it
    has neither."""
    by_plain = {plain: name for name, plain in _without_wrappers(here).items()}
    plain_names = _without_wrappers(names)
    return {name: name if name in here else by_plain.get(plain_names[name]) for name in names}


def unwrapped(module: Any, saved: str = "") -> Any:
    """What `torch.compile` or DataParallel wrap, unless a wrapper of that class was `saved` itself."""
    for start, inner in (("torch._dynamo.", "_orig_mod"), ("torch.nn.parallel.", "module")):
        if f"{type(module).__module__}.".startswith(start) and not saved.startswith(start):
            return unwrapped(module._modules[inner], saved)
    return module


def without_wrappers(name: str) -> str:
    """A name without what `torch.compile` and others put into it."""
    return ".".join(step for step in name.split(".") if step not in _WRAPPERS)


def _without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Names as the module itself has them, without those of wrappers; DataParallel prefixes all with
    `module.`."""
    found = {name: without_wrappers(name) for name in names}
    while found and all(plain.startswith("module.") for plain in found.values()):
        found = {name: plain.removeprefix("module.") for name, plain in found.items()}
    return found
