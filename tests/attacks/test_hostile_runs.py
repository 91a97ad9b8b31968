"""Versions of a run from an enemy: the run resumes, or an IncompatibleError says why not. Then nothing has
changed, neither the objects nor a random generator."""

from __future__ import annotations

import copy
import io
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every, random_states
from saver.storages.memory import MemoryStorage
from saver.training_log import TrainingLog

NASTY: list[Any] = [
    None, True, -1, 2, 624, 625, 10**6, 10**30, 2.5, float("nan"), "", "9" * 5000, b"x", [], [1], (), {},
    {"state": 1}, np.arange(3, dtype=np.uint32), np.float64(2),
]  # fmt: skip


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    store = saver.Saver(MemoryStorage())
    with store.checkpoints("run", {"own": {"seen": []}}, every=Every(steps=1)) as run:
        run.step(run.resume(), epoch=0.5, loss=1.0)
    parts: dict[str, Any] = store.load("run")
    return parts


@pytest.fixture(autouse=True)
def generators_as_before() -> Iterator[None]:
    before = random_states.continued(random_states.random_states())
    yield
    before()


def resumed(parts: dict[str, Any]) -> str | None:
    """Resume from these parts, and use what the run then has. Returns why it was refused, if it was."""
    store = saver.Saver(MemoryStorage())
    store.save("run", parts, step=0)
    own: dict[str, Any] = {"seen": ["mine"]}
    before = saver.dumps(random_states.random_states())
    with store.checkpoints("run", {"own": own}, every=Every(steps=1)) as run:
        try:
            step = run.resume()
        except saver.IncompatibleError as error:
            now = saver.dumps(random_states.random_states())
            assert own == {"seen": ["mine"]}
            assert saver.diff(*map(io.BytesIO, (before, now))).same
            return str(error)
        run.step(step, loss=2.0)
    random.gauss(0, 1)
    np.random.normal(size=1000)
    return None


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in nested dicts and tuples; of long ones, the first and the last item."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, tuple) else []
    for key in (*keys[:2], *keys[2:][-2:]) if len(keys) > 9 else keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    found = list(value) if isinstance(value, tuple) else dict(value)
    found[path[0]] = changed(value[path[0]], path[1:], new)
    return type(value)(found)


def test_the_honest_run_resumes(honest: dict[str, Any]) -> None:
    assert resumed(honest) is None


@pytest.mark.parametrize("part", ["run", "log", "random"])
@pytest.mark.parametrize("number", range(len(NASTY)))
def test_a_part_of_the_run_that_is_something_else_is_refused(
    part: str, number: int, honest: dict[str, Any]
) -> None:
    assert f"the part {part!r} is not that of a run" in str(resumed({**honest, part: NASTY[number]}))


FIELDS: dict[str, Callable[[Any], bool]] = {
    "step": lambda value: type(value) is int and -1 <= value < 10**15,
    "epoch": lambda value: value is None or (isinstance(value, (int, float)) and 0 <= value < 10**300),
    "reason": lambda value: type(value) is str,
    "ranges": lambda value: value == {} and type(value) is dict,
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("number", range(len(NASTY)))
def test_a_position_is_a_step_an_epoch_a_reason_and_ranges(
    field: str, number: int, honest: dict[str, Any]
) -> None:
    parts = {**honest, "run": {**honest["run"], field: NASTY[number]}}
    parts["log"] = TrainingLog()
    sound = not isinstance(NASTY[number], np.ndarray) and FIELDS[field](NASTY[number])
    assert (resumed(parts) is None) == sound


@pytest.mark.parametrize("number", range(len(NASTY)))
def test_the_range_of_a_metric_is_two_numbers(number: int, honest: dict[str, Any]) -> None:
    for found in (NASTY[number], [NASTY[number], 1.0], [1.0, NASTY[number]], [1.0] * 3):
        fits = type(found) is list and len(found) == 2 and set(map(type, found)) == {float}
        parts = {**honest, "run": {**honest["run"], "ranges": {"loss": found}}}
        assert (resumed(parts) is None) == fits


def test_a_log_does_not_know_more_than_the_version(honest: dict[str, Any]) -> None:
    log = TrainingLog()
    log.append(7, loss=1.0)
    assert "last step" in str(resumed({**honest, "log": log}))


@pytest.mark.parametrize("number", range(len(NASTY)))
def test_a_state_of_a_random_generator_is_one_or_refused(number: int, honest: dict[str, Any]) -> None:
    """Native code reads on in its buffer from the position that it is given."""
    for path in places({name: honest["random"][name] for name in ("python", "numpy")}):
        resumed({**honest, "random": changed(honest["random"], path, copy.copy(NASTY[number]))})


@pytest.mark.parametrize("position", [-1, 625, 10**6, 2**31 - 1, True, 3.0])
def test_a_position_beyond_the_buffer_of_numpy_is_refused(position: Any, honest: dict[str, Any]) -> None:
    states = changed(honest["random"], ("numpy", "state", "pos"), position)
    assert "the buffer of a MT19937 has no position" in str(resumed({**honest, "random": states}))


class TestTorch:
    """PyTorch looks at each of two numbers in a state, and not at both together."""

    @pytest.fixture(autouse=True)
    def torch(self) -> Any:
        torch = pytest.importorskip("torch")
        state = torch.get_rng_state()
        yield torch
        torch.set_rng_state(state)

    def test_a_position_beyond_the_buffer_of_torch_is_refused(
        self, torch: Any, honest: dict[str, Any]
    ) -> None:
        parts = {**honest, "random": {**honest["random"], "torch": {"cpu": beyond(torch), "cuda": []}}}
        assert "a Mersenne Twister is at word 624 with 600 left" in str(resumed(parts))

    @pytest.mark.parametrize("number", range(len(NASTY)))
    def test_a_state_of_torch_is_a_tensor_of_bytes(
        self, number: int, torch: Any, honest: dict[str, Any]
    ) -> None:
        for state in (NASTY[number], {"cpu": NASTY[number]}, {"cpu": torch.zeros(5056)}):
            states = {**honest["random"], "torch": state}
            assert "the part 'random'" in str(resumed({**honest, "random": states}))

    @pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
    def test_a_position_beyond_the_buffer_in_the_state_of_a_loader_is_refused(self, torch: Any) -> None:
        loading = pytest.importorskip("torchdata.stateful_dataloader")
        made = loading.StatefulDataLoader(list(range(8)), shuffle=True)
        next(iter(made))
        state = made.state_dict()
        assert "generator" in state["_sampler_iter_state"]["sampler_iter_state"]
        state["_sampler_iter_state"]["sampler_iter_state"]["generator"] = beyond(torch)
        store = saver.Saver(MemoryStorage())
        store.save("run", {"loader": state})
        with pytest.raises(saver.IncompatibleError, match="at word 624 with 600 left"):
            store.restore("run", into={"loader": loading.StatefulDataLoader(list(range(8)), shuffle=True)})


def beyond(torch: Any) -> Any:
    """A state that PyTorch accepts, and with which it reads beyond its buffer."""
    state = torch.Generator().get_state()
    raw = bytearray(state.numpy().tobytes())
    struct.pack_into("<iiQ", raw, 8, 600, 1, 624)
    found = torch.frombuffer(raw, dtype=torch.uint8).clone()
    torch.Generator().set_state(found)
    return found
