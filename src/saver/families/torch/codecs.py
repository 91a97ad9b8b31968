"""PyTorch: small values. Tensors, modules, optimizers and generators have files of their own."""

from __future__ import annotations

from typing import Any

import torch

from saver.codec import Codec, Decoder, Encoder
from saver.families.torch import restoring
from saver.families.torch.generator_restoring import GeneratorRestorer
from saver.families.torch.generators import GeneratorCodec
from saver.families.torch.module_restoring import ModuleRestorer
from saver.families.torch.modules import ModuleCodec, OptionsCodec
from saver.families.torch.optim import GradScalerCodec, OptimizerCodec, SchedulerCodec
from saver.families.torch.optim_restoring import OptimizerRestorer
from saver.families.torch.schedule_restoring import ScalerRestorer, SchedulerRestorer
from saver.families.torch.tensors import StorageCodec, TensorCodec
from saver.restoring import Restorer
from saver.tree import Node, Value

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
        if type(node.state) is not list:
            raise ValueError("a shape is not a list")
        return torch.Size(node.state)


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not a name")
    return value


CODECS: tuple[Codec, ...] = (
    TensorCodec(), ModuleCodec(), OptimizerCodec(), SchedulerCodec(), GradScalerCodec(), GeneratorCodec(),
    StorageCodec(), ConstantCodec(), DeviceCodec(), SizeCodec(), OptionsCodec(),
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (
    ModuleRestorer(), OptimizerRestorer(), SchedulerRestorer(), ScalerRestorer(), restoring.TensorRestorer(),
    GeneratorRestorer(),
)  # fmt: skip
