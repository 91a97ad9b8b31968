"""Restoring into random generators of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from saver.errors import DoesNotFitError
from saver.families.python import generators


class GeneratorRestorer(generators.GeneratorRestorer):
    """Random generators on the same type of device."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, torch.Generator)

    def codecs(self, target: Any) -> tuple[str, ...]:
        return ("torch.Generator",)

    def continued(self, target: Any, found: Any, where: str) -> Callable[[], None]:
        if found.device.type != target.device.type:
            raise DoesNotFitError(
                f"{where}: the saved generator is on {found.device}, this one on {target.device}; make one "
                "on the same type of device"
            )
        state = found.get_state()
        return lambda: target.set_state(state)
