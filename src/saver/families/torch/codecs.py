"""PyTorch: small values and random generators. Tensors, modules and optimizers have files of their own."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import torch

from saver.codec import Codec, Decoder, Encoder
from saver.errors import IncompatibleError
from saver.families.torch import restoring
from saver.families.torch.generator_restoring import GeneratorRestorer
from saver.families.torch.module_restoring import ModuleRestorer
from saver.families.torch.modules import ModuleCodec, OptionsCodec
from saver.families.torch.optim import GradScalerCodec, OptimizerCodec, SchedulerCodec
from saver.families.torch.optim_restoring import OptimizerRestorer
from saver.families.torch.schedule_restoring import ScalerRestorer, SchedulerRestorer
from saver.families.torch.tensors import StorageCodec, TensorCodec, is_here
from saver.restoring import Restorer
from saver.tree import EXACT_INTEGER, Node, Value

_CONSTANTS = {
    str(value): value
    for value in vars(torch).values()
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format, torch.qscheme))
}


class ConstantCodec(Codec):
    """`torch.float32`, `torch.strided`, `torch.channels_last` and similar constants, by name."""

    name = "torch.constant"
    shared = False
    types = (torch.dtype, torch.layout, torch.memory_format, torch.qscheme)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return str(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return _CONSTANTS[node.state]


class DeviceCodec(Codec):
    """Devices by name, whether or not the loading machine has them."""

    name = "torch.device"
    shared = False
    types = (torch.device,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return str(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return torch.device(_text(node.state))


class SizeCodec(Codec):
    """`torch.Size`, a shape."""

    name = "torch.Size"
    types = (torch.Size,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return torch.Size(node.state)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not a name")
    return value


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
        device = torch.device(_text(name))
        if not is_here(device):
            raise IncompatibleError(
                f"{decoder.where}: a random generator of {name!r} cannot continue without that device, "
                "whatever device= is; load the other parts with parts=[...], or use a machine that has one"
            )
        found = torch.Generator(device)
        state = decoder.array(data, "U8", 1)
        expected = found.get_state().numel()
        if state.size != expected:
            raise ValueError(
                f"the state has {state.size} bytes, not the {expected} of a generator on {device.type}"
            )
        if device.type == "cpu":
            _check_twister(state.tobytes())
        found.set_state(torch.from_numpy(np.array(state)))
        return found


_TWISTER_WORDS = 624


def _check_twister(state: bytes) -> None:
    """Raise ValueError unless `next` and `left` agree: native code reads its next word at `next`, and draws
    new ones only after `left` more. Torch checks each of them, but not both together."""
    left, seeded, following = struct.unpack_from("<iiQ", state, 8)
    if seeded != 1 or not 1 <= left <= _TWISTER_WORDS or following + left - 1 > _TWISTER_WORDS:
        raise ValueError(f"a Mersenne Twister is at word {following} with {left} left")


CODECS: tuple[Codec, ...] = (
    TensorCodec(), ModuleCodec(), OptimizerCodec(), SchedulerCodec(), GradScalerCodec(), GeneratorCodec(),
    StorageCodec(), ConstantCodec(), DeviceCodec(), SizeCodec(), OptionsCodec(),
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (
    ModuleRestorer(), OptimizerRestorer(), SchedulerRestorer(), ScalerRestorer(), restoring.TensorRestorer(),
    GeneratorRestorer(),
)  # fmt: skip
