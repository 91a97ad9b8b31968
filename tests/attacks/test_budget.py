"""What one load may make lasts to the last byte and step, and no further."""

from __future__ import annotations

import numpy as np
import pytest

from saver.codec import Budget
from saver.codec.budget import BYTES_FLOOR, STEPS_FLOOR
from saver.codec.decoder import Decoder
from saver.errors import LimitExceededError
from saver.tensors import MemoryTensors, TensorData
from saver.tree import Node, Tensor


@pytest.mark.parametrize(("kind", "floor"), [("bytes", BYTES_FLOOR), ("steps", STEPS_FLOOR)])
def test_it_lasts_to_the_last(kind: str, floor: int) -> None:
    budget = Budget(0)
    budget.charge(**{kind: floor})
    with pytest.raises(LimitExceededError, match=f"1 {kind} more"):
        budget.charge(**{kind: 1})


def test_every_object_that_is_built_is_a_step() -> None:
    for steps in (11, 10):
        root = Node("list", state=[Node("list", state=[]) for _ in range(10)])
        budget = Budget(0)
        budget.steps = steps
        decoder = Decoder([root, *root.state], {}, None, "$", budget)  # type: ignore[arg-type]
        if steps == 11:
            assert decoder(root) == [[]] * 10
        else:
            with pytest.raises(LimitExceededError, match="steps more"):
                decoder(root)


def test_every_use_of_a_tensor_costs_its_bytes() -> None:
    source = MemoryTensors({"a": TensorData("U8", (100,), np.zeros(100, np.uint8))})
    budget = Budget(0)
    budget.bytes = 300
    decoder = Decoder([], {}, source, "$", budget)
    for _ in range(3):
        decoder.look(Tensor("a"))
    with pytest.raises(LimitExceededError, match="100 bytes more"):
        decoder.look(Tensor("a"))
