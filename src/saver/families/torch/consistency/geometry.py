"""Kernels, strides and paddings: native code multiplies and adds them without checking for overflow."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from saver.families.torch.consistency.fields import LARGEST, MISSING, Fields, shown, whole

STEP = 1 << 24
"""The largest kernel, stride or dilation. Torch 2.13 still computes the product of two numbers of this size
correctly; a pool over 2**31 never ended."""

_STEPS = ("kernel_size", "stride", "dilation", "groups", "upscale_factor", "downscale_factor")
_SIGNED = ("padding", "output_padding", "_reversed_padding_repeated_twice")
_SIZES = ("output_size", "size")


def check_steps(module: Any) -> None:
    """Check a module that has a kernel, pads, or declares the size of its output."""
    fields = Fields(module)
    for name in _STEPS:
        _within(fields, name, 0, STEP)
    for name in _SIGNED:
        _within(fields, name, -LARGEST, LARGEST)
    for name in _SIZES:
        _within(fields, name, -LARGEST, LARGEST)


def check_kernel(module: Any) -> None:
    """Check a pool whose native code counts down from the kernel, which must exist."""
    check_steps(module)
    _within(Fields(module), "kernel_size", 1, STEP)


def check_convolution(module: Any) -> None:
    """Check a convolution: oneDNN computes offsets within a row of the input in 32 bits."""
    check_steps(module)
    fields = Fields(module)
    weight, stride = fields.tensor("weight"), _numbers(fields.get("stride"))
    if weight is None or weight.dim() < 3 or not stride:
        return
    channels = int(weight.shape[1]) * max(1, *_numbers(fields.get("groups")), 1)
    transposed = fields.flag("transposed")
    if stride[-1] ** 2 * channels >= (_REACH_TRANSPOSED if transposed else _REACH):
        raise fields.wrong(f"its stride of {stride[-1]} over {channels} channels ends the process in oneDNN")


_REACH = 1 << 30
_REACH_TRANSPOSED = 1 << 28
"""The square of the last stride, times channels, from which on the backward pass of oneDNN 3.12 was seen to
access memory outside its tensors: 4 channels and 2**14, 64 and 2**12, 512 and 2**11, 2048 and 2**10;
transposed, 512 and 1000."""


def _within(fields: Fields, name: str, least: int, most: int) -> None:
    value = fields.get(name)
    if type(value) in (torch.Tensor, torch.nn.Parameter) or issubclass(type(value), np.ndarray):
        raise fields.wrong(f"{name} is an array, not a number")
    for number in _numbers(value):
        if not least <= number <= most:
            raise fields.wrong(f"{name} is {shown(number)}, not from {least} to {most}")
    for item in _items(value):
        if isinstance(item, torch.Tensor) or issubclass(type(item), np.ndarray):
            raise fields.wrong(f"{name} holds an array")


def _items(value: Any) -> list[Any]:
    if issubclass(type(value), tuple):
        return list(tuple.__iter__(value))
    return list(list.__iter__(value)) if issubclass(type(value), list) else []


def _numbers(value: Any) -> list[int]:
    """The whole numbers in a field that holds one, or a sequence of them."""
    if value is MISSING:
        return []
    found = [whole(item) for item in (value, *_items(value))]
    return [number for number in found if number is not None]
