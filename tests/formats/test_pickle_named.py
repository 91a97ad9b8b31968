"""Objects of classes that nobody reviewed are refused, all by name; checkpoints of trainers are dicts."""

from __future__ import annotations

import enum
import pickle
from argparse import Namespace
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import saver


class Colour(enum.Enum):
    RED = 1


Point = namedtuple("Point", "x y")


@dataclass
class Options:
    rate: float = 0.5


class Sized:
    """Made with arguments, which only its own code understands."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> Any:
        return Sized, (self.size, "more")


def test_all_that_is_not_known_is_named_at_once() -> None:
    values = {"colour": Colour.RED, "point": Point(1, 2), "sized": Sized(3), "fine": [1, 2]}
    with pytest.raises(saver.IncompatibleError) as caught:
        saver.loads(pickle.dumps(values))
    assert all(f"{__name__}.{name}(" in str(caught.value) for name in ("Colour", "Point", "Sized"))


def test_a_dataclass_is_made_of_its_attributes_once_it_is_trusted() -> None:
    data = pickle.dumps(Options(0.25))
    with pytest.raises(saver.UntrustedError, match=f"{__name__}.Options"):
        saver.loads(data)
    assert saver.loads(data, trust=[f"{__name__}.Options"]).rate == 0.25


def _checkpoint(parameters: Any) -> dict[str, Any]:
    """What Lightning saves: everything by name."""
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(2, 3)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3, "global_step": 12, "pytorch-lightning_version": "2.5.0", "state_dict": net.state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}}, "callbacks": {"Stopping{'mode': 'min'}": {"best": 0.5}},
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [], "hparams_name": "kwargs",
        "hyper_parameters": parameters,
    }  # fmt: skip


@pytest.mark.parametrize(
    "parameters", [{"rate": 0.5, "sizes": [1, 2]}, Namespace(rate=0.5)], ids=["dict", "other"]
)
def test_a_checkpoint_of_lightning_is_its_parts(parameters: Any, tmp_path: Path) -> None:
    value = _checkpoint(parameters)
    torch = pytest.importorskip("torch")
    torch.save(value, tmp_path / "last.ckpt")
    trust = [] if type(parameters) is dict else ["argparse.Namespace"]
    found = saver.load(tmp_path / "last.ckpt", trust=trust)
    assert list(found) == list(value)
    assert torch.equal(found["state_dict"]["weight"], value["state_dict"]["weight"])
    assert found["hyper_parameters"] == parameters
    net = torch.nn.Linear(2, 3)
    saver.restore(tmp_path / "last.ckpt", {"state_dict": net}, trust=trust)
    assert torch.equal(net.weight, value["state_dict"]["weight"])


def test_hyperparameters_that_would_run_code_are_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save(_checkpoint({"size": Sized(3), "colour": Colour.RED}), tmp_path / "last.ckpt")
    with pytest.raises(saver.IncompatibleError) as caught:
        saver.load(tmp_path / "last.ckpt")
    assert "Sized(3" in str(caught.value)
    assert "Colour(1" in str(caught.value)
