"""Restoring into random generators of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from saver.codec import Decoder
from saver.errors import DoesNotFitError
from saver.families.python.restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved
from saver.restoring.contract import kind
from saver.tree import Node, Value


class GeneratorRestorer(Restorer):
    """Random generators on the same type of device, which continue from the saved position."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, torch.Generator)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if type(node) is not Node or node.codec != "torch.Generator":
            saved.refuse(f"{told(node)} was saved, not a random generator of torch")
        saved.want(node)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = decoder(node)
            if found.device.type != target.device.type:
                raise DoesNotFitError(
                    f"{where}: the saved generator is on {found.device}, this one on {target.device}; make "
                    "one on the same type of device"
                )
            state = found.get_state()
            return lambda: target.set_state(state)

        return Plan(PartReport(kind(target), ("value",)), ready)
