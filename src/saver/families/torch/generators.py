"""The random generators of PyTorch, from states that a file chose."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder
from saver.errors import IncompatibleError, kind_of
from saver.families.torch.tensors import is_here
from saver.tree import EXACT_INTEGER, Node, Value


class GeneratorCodec(Codec):
    """Random generators, which continue the same sequence. Loading those of an accelerator needs one."""

    name = "torch.Generator"
    types = (torch.Generator,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if 0 <= obj.initial_seed() <= EXACT_INTEGER:
            encoder.seeds[encoder.where()] = obj.initial_seed()
        return [str(obj.device), encoder.tensor(obj.get_state().numpy(), "state")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, data = node.state
        if type(name) is not str:
            raise ValueError(f"{name!r} is not the name of a device")
        device = torch.device(name)
        if not is_here(device):
            raise IncompatibleError(
                f"{decoder.where}: a random generator of {name!r} cannot continue without that device, "
                "whatever device= is; load the other parts with parts=[...], or use a machine that has one"
            )
        return generator(device, decoder.array(data, "U8", 1))


def continued(device: Any, state: Any) -> Any:
    """A generator on a device, in the state that a tensor holds. Raises ValueError if it is not a state."""
    if type(state) is not torch.Tensor or state.dtype != torch.uint8 or state.ndim != 1:
        raise ValueError(f"the state of a generator is {kind_of(state)}, not a tensor of bytes")
    return generator(torch.device(device), state.cpu().numpy())


def generator(device: Any, state: NDArray[Any]) -> Any:
    """The same, from an array of bytes."""
    found = torch.Generator(device)
    expected = found.get_state().numel()
    if state.size != expected:
        raise ValueError(
            f"the state has {state.size} bytes, not the {expected} of a generator on {device.type}"
        )
    if device.type == "cpu":
        check_twister(state.tobytes())
    found.set_state(torch.from_numpy(np.array(state)))
    return found


_TWISTER_WORDS = 624


def check_twister(state: bytes) -> None:
    """Raise ValueError unless `next` and `left` agree: native code reads its next word at `next`, and draws
    new ones only after `left` more. Torch checks each of them, but not both together."""
    left, seeded, following = struct.unpack_from("<iiQ", state, 8)
    if seeded != 1 or not 1 <= left <= _TWISTER_WORDS or following + left - 1 > _TWISTER_WORDS:
        raise ValueError(f"a Mersenne Twister is at word {following} with {left} left")


def check_states(state: Any) -> None:
    """Raise ValueError if a tensor anywhere in a state dict has the size of a CPU generator's state and is
    not one."""
    size, seen, waiting = torch.Generator().get_state().numel(), set[int](), [state]
    while waiting:
        found = waiting.pop()
        if isinstance(found, torch.Tensor) and found.dtype == torch.uint8 and found.numel() == size:
            continued("cpu", found)
        elif isinstance(found, (dict, list, tuple)) and id(found) not in seen:
            seen.add(id(found))
            waiting += found.values() if isinstance(found, dict) else found
