"""torchdata: data loaders that keep their position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from torchdata.stateful_dataloader import StatefulDataLoader

from saver.codec import Codec, Decoder
from saver.families.python.restoring import StateRestorer
from saver.families.torch.generators import check_states
from saver.restoring import Plan, Restorer, Saved, ask
from saver.tree import Value


class LoaderRestorer(StateRestorer):
    """Data loaders, which move to the saved position at once.

    `load_state_dict` only stores the state; the loader moves to the position when it is iterated, and then
    draws the seed of its workers from the global generator. By then that generator has been restored, so all
    numbers that training draws would change. Calling `state_dict` makes the loader move at once.
    """

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, StatefulDataLoader)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        plan, where = super().plan(value, target, saved), saved.where
        noted = plan.ready
        if noted is None:
            return plan

        def ready(decoder: Decoder) -> Callable[[], None]:
            note = noted(decoder)

            def change() -> None:
                note()
                ask(where, target.state_dict)

            return change

        return msgspec.structs.replace(plan, ready=ready)

    def check(self, state: Any) -> None:
        """A sampler's generator continues from a tensor in the state."""
        check_states(state)


CODECS: tuple[Codec, ...] = ()

RESTORERS: tuple[Restorer, ...] = (LoaderRestorer(),)
