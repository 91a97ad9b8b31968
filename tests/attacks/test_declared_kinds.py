"""What a library declares to be a number, a text or a list of them is nothing else after loading."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest

import saver
from saver.errors import CannotSaveError, IncompatibleError
from saver.families.python import kinds

pytestmark = pytest.mark.frameworks


def _equinox(name: str, *sizes: int) -> Callable[[], Any]:
    return lambda: getattr(importlib.import_module("equinox.nn"), name)(
        *sizes, key=importlib.import_module("jax").random.key(0)
    )


def _config(name: str) -> Callable[[], Any]:
    return lambda: getattr(importlib.import_module("transformers"), name)()


MADE: dict[str, tuple[str, Callable[[], Any], int]] = {
    "Linear": ("equinox", _equinox("Linear", 3, 2), 3),
    "Conv2d": ("equinox", _equinox("Conv2d", 1, 2, 3), 9),
    "MultiheadAttention": ("equinox", _equinox("MultiheadAttention", 2, 4), 11),
    "BertConfig": ("transformers", _config("BertConfig"), 18),
    "LlamaConfig": ("transformers", _config("LlamaConfig"), 18),
    "WhisperConfig": ("transformers", _config("WhisperConfig"), 30),
}
"""By name: the library, what makes one, and how many plain attributes it has at least."""

OTHERS = (b"x", 1j, {"a": [1]}, [b"x"])


@pytest.mark.parametrize("name", MADE)
def test_a_value_of_another_kind_is_refused_before_it_is_saved_and_when_it_is_loaded(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, make, least = MADE[name]
    pytest.importorskip(library)
    made = make()
    saver.loads(saver.dumps(made))
    tried = set()
    for attribute, kind in kinds.kinds_of(type(made)).items():
        for other in OTHERS:
            if kinds.fits(other, kind) or (library == "equinox" and not _fixed(made, attribute)):
                continue
            tried.add(attribute)
            spoiled = make()
            object.__setattr__(spoiled, attribute, other) if library == "equinox" else vars(spoiled).update(
                {attribute: other}
            )
            with pytest.raises(CannotSaveError, match=f"{attribute} of a {name} is"):
                saver.dumps(spoiled)
            with monkeypatch.context() as forging:
                forging.setattr(kinds, "check", lambda *_: None)
                data = saver.dumps(spoiled)
            with pytest.raises(IncompatibleError, match=f"{attribute} of a {name} is"):
                saver.loads(data)
    assert len(tried) >= least


def _fixed(module: Any, name: str) -> bool:
    return bool(type(module).__dataclass_fields__[name].metadata.get("static"))


@pytest.mark.parametrize("name", [name for name, made in MADE.items() if made[0] == "equinox"])
def test_what_transforming_a_module_puts_into_it_is_honest(name: str) -> None:
    jax = pytest.importorskip("jax")
    made = MADE[name][1]()
    for leaf in (None, True, np.ones(2)):
        saver.loads(saver.dumps(jax.tree.map(lambda _, leaf=leaf: leaf, made)))


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (1, int, True), (np.int64(1), int, True), (np.ones(()), float, True), (np.ones(2), float, False),
        ("1", int, False), (1, float, True), (1.5, int, False), (None, int, False), (None, int | None, True),
        ((1, 2), tuple[int, ...], True), ([1, 2], tuple[int, ...], True), ((1, "a"), tuple[int, ...], False),
        (((1, 2),), str | tuple[tuple[int, int], ...], True), (5, str | tuple[int, ...], False),
        ({"a": 1}, dict[str, int], True), ({"a": "b"}, dict[str, int], False),
        ({1: 1}, dict[str, int], False),
        ("ema", Literal["ema", "batch"], True), ("other", Literal["ema", "batch"], False),
        (np.ones(2), Literal["ema"], False), (object(), Any, True), ("x", np.ndarray, True),
        ("x", "int", True),
        ({1}, set[int], True), ([1], set[int], False), (1, None, False), (b"", bytes, True),
    ],
)  # fmt: skip
def test_which_values_are_of_a_kind(value: Any, kind: Any, fits: bool) -> None:
    assert kinds.fits(value, kind) is fits


PARTS = ("module_", "optimizer_", "history_", "callbacks_", "virtual_params_", "initialized_")


@pytest.mark.parametrize("part", PARTS)
def test_a_network_of_skorch_trains_what_it_says(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    skorch, torch = pytest.importorskip("skorch"), pytest.importorskip("torch")
    checks = importlib.import_module("saver.families.skorch.checks")
    net = skorch.NeuralNetRegressor(torch.nn.Linear(2, 1), verbose=0).initialize()
    saver.loads(saver.dumps(net))
    for other in ("text", np.ones(2), {"a"}):
        vars(net)[part] = other
        with pytest.raises(CannotSaveError, match=part):
            saver.dumps(net)
        with monkeypatch.context() as forging:
            forging.setattr(checks, "check_parts", lambda net: None)
            data = saver.dumps(net)
        with pytest.raises(IncompatibleError, match=part):
            saver.loads(data)
