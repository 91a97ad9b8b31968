"""Learning rate schedules and optimizers of Transformers load without trust and go on as they would have."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("torch")

import numpy as np
import torch
from transformers import optimization

import saver
from saver import trust, uses
from saver.errors import CannotSaveError
from saver.families.transformers.references import REFERENCES

pytestmark = [pytest.mark.xdist_group("transformers"), pytest.mark.filterwarnings("ignore")]

STEPS = {"num_warmup_steps": 3, "num_training_steps": 12}
SCHEDULES: dict[str, dict[str, Any]] = {
    "constant_schedule": {},
    "constant_schedule_with_warmup": {"num_warmup_steps": 3},
    "linear_schedule_with_warmup": STEPS,
    "cosine_schedule_with_warmup": STEPS,
    "cosine_with_hard_restarts_schedule_with_warmup": {**STEPS, "num_cycles": 2},
    "polynomial_decay_schedule_with_warmup": {**STEPS, "power": 2.0},
    "inverse_sqrt_schedule": {"num_warmup_steps": 3},
    "cosine_with_min_lr_schedule_with_warmup": {**STEPS, "min_lr": 0.01},
    "cosine_with_min_lr_schedule_with_warmup_lr_rate": {**STEPS, "min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    "wsd_schedule": {"num_warmup_steps": 3, "num_decay_steps": 4, "num_stable_steps": 3,
                     "warmup_type": "cosine", "decay_type": "1-sqrt"},
    "reduce_on_plateau_schedule": {"patience": 1},
}  # fmt: skip
WITHOUT = {
    "adafactor_schedule": "a function within its constructor",
    "greedy_schedule": "no scheduler of torch",
}
"""Those whose scheduler has no data form, and why."""


def test_every_schedule_is_tried() -> None:
    names = {name[4:] for name in vars(optimization) if name.startswith("get_") and name != "get_scheduler"}
    assert names == SCHEDULES.keys() | WITHOUT.keys()


def started(name: str) -> tuple[Any, Any]:
    optimizer = torch.optim.SGD([torch.ones(3, requires_grad=True)], lr=0.1)
    return optimizer, getattr(optimization, f"get_{name}")(optimizer, **SCHEDULES[name])


def go_on(optimizer: Any, schedule: Any, steps: range) -> list[float]:
    rates = []
    for step in steps:
        optimizer.step()
        named = type(schedule).__name__
        schedule.step(*((step % 5,) if named == "ReduceLROnPlateau" else ()))
        rates += [group["lr"] for group in optimizer.param_groups]
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_was_loaded_goes_on_as_it_would_have(name: str) -> None:
    whole = go_on(*started(name), range(15))
    for stop in range(15):
        parts = started(name)
        before = go_on(*parts, range(stop))
        loaded = saver.loads(saver.dumps(list(parts)))
        assert loaded[1].optimizer is loaded[0]
        assert before + go_on(*loaded, range(stop, 15)) == whole


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_restored_in_place(name: str, tmp_path: Any) -> None:
    whole, store = go_on(*started(name), range(15)), saver.Saver(tmp_path)
    optimizer, schedule = started(name)
    before = go_on(optimizer, schedule, range(7))
    store.save("run", {"optimizer": optimizer, "schedule": schedule})
    other = started(name)
    store.restore("run", into={"optimizer": other[0], "schedule": other[1]})
    assert before + go_on(*other, range(7, 15)) == whole
    assert other[1].optimizer is other[0]


@pytest.mark.parametrize("value", [10**400, [1], np.ones(3), torch.ones(3), {"a": 1}, len, object])
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_a_schedule_has_numbers_and_words_only(name: str, value: Any) -> None:
    """With arrays it would give an array of another size than each of them."""
    assert not uses.may_be(partial(trust.resolve(name), num_warmup_steps=value), ["schedule"])


@pytest.mark.parametrize("value", [3, 3.0, True, "linear", None, np.int64(3), torch.tensor(3.0)])
def test_single_numbers_and_words_are_taken(value: Any) -> None:
    warming = optimization._get_constant_schedule_with_warmup_lr_lambda
    assert uses.may_be(partial(warming, num_warmup_steps=value), ["schedule"])


def test_one_that_does_not_fit_is_refused() -> None:
    optimizer, schedule = started("constant_schedule")
    warming = optimization._get_constant_schedule_with_warmup_lr_lambda
    schedule.lr_lambdas = [partial(warming, num_warmup_steps=[3])]
    with pytest.raises(CannotSaveError, match="lr_lambdas"):
        saver.dumps([optimizer, schedule])


def test_adafactor_goes_on_as_it_would_have() -> None:
    def steps(weights: Any, optimizer: Any, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weights @ weights.T).sin().sum().backward()
            optimizer.step()

    def made() -> tuple[Any, Any]:
        weights = torch.linspace(-1, 1, 12).reshape(4, 3).requires_grad_()
        return weights, optimization.Adafactor([weights], beta1=0.9)

    whole, first = made(), made()
    steps(*whole, 6)
    steps(*first, 3)
    loaded = saver.loads(saver.dumps(list(first)))
    steps(*loaded, 3)
    assert torch.equal(loaded[0], whole[0])
