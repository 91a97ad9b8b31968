"""torchdata: data loaders that know where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from torchdata.stateful_dataloader import StatefulDataLoader

from saver.codec import Codec, Decoder
from saver.families.python.restoring import StateRestorer
from saver.restoring import Plan, Restorer, Saved, ask
from saver.tree import Value


class LoaderRestorer(StateRestorer):
    """`load_state_dict` of a loader only takes note. It goes there when it is asked for batches, and draws
    the seed of its workers from the global generator then, which has been put back by that time: all numbers
    that training draws would be others. So it goes there at once; `state_dict` has it do that.
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


CODECS: tuple[Codec, ...] = ()

RESTORERS: tuple[Restorer, ...] = (LoaderRestorer(),)
