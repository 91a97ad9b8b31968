"""Archives of TorchScript: the tensors of a module by name, as in its state dict. Its code is left alone.

A class of such an archive is code of the archive itself, below `__torch__`, and an instance of it has
attributes: tensors, other modules, and values that only the code can use.
"""

from __future__ import annotations

from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run_whole
from saver.pickled import Call, Global, Inert, Pairs

_LIMIT = 1_000_000
_DEPTH = 1000


def read(machine: Machine) -> Inert:
    """The tensors of the module that a pickle of TorchScript describes."""
    tensors = _tensors(run_whole(machine))
    machine.calls = [call for call in machine.calls if not _is_own(call.function)]
    machine.names = {name: None for name in machine.names if not _is_own(name)}
    return Pairs(list(tensors.items()))


def _is_own(name: Global) -> bool:
    """Whether it is a class of the archive, or one of the functions that make its lists."""
    return name.module == "__torch__" or name.module.startswith("__torch__.") or name.module == _LISTS


_LISTS = "torch.jit._pickle"


def _tensors(root: Inert) -> dict[str, Call]:
    """By the path of attributes that leads to each, joined by dots. One that several paths lead to is there
    by each of them."""
    found: dict[str, Call] = {}
    waiting: list[tuple[str, Inert, int]] = [("", root, 0)]
    visits = 0
    while waiting:
        path, value, depth = waiting.pop()
        visits += 1
        if visits > _LIMIT or depth > _DEPTH:
            raise Malformed("its modules are nested in each other too often")
        if type(value) is Call and not _is_own(value.function):
            if value.function.module == "torch._utils":
                found[path or "tensor"] = value
            continue
        state = value.state if type(value) is Call else value
        if type(state) is Pairs:
            items = [(str(key), item) for key, item in state.items if type(key) in (str, int)]
        elif type(state) in (list, tuple):
            items = [(str(at), item) for at, item in enumerate(state)]
        else:
            continue
        for key, item in reversed(items):
            if type(item) in (Call, Pairs, list, tuple):
                waiting.append((f"{path}.{key}" if path else key, item, depth + 1))
    return found
