"""Estimators that hold a module, as skorch's do: a resumed loop goes on with the module that it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import saver
from saver.policy import Every

pytest.importorskip("sklearn")
from sklearn.base import BaseEstimator

torch = pytest.importorskip("torch")


class Net(BaseEstimator):  # type: ignore[misc]
    def __init__(self, width: int = 2) -> None:
        self.width = width

    def initialize(self, seed: int) -> Net:
        torch.manual_seed(seed)
        self.module_ = torch.nn.Linear(2, self.width)
        self.history_ = [seed]
        return self

    def fit(self, X: Any, y: Any = None) -> Net:
        return self


def alone(net: Net) -> Any:
    return net


def beside(net: Net) -> Any:
    return {"nets": [net]}


@pytest.mark.parametrize("around", [alone, beside])
def test_the_loop_goes_on_with_the_module_that_the_optimizer_trains(around: Any, tmp_path: Path) -> None:
    def begun(seed: int) -> tuple[Net, Any]:
        net = Net().initialize(seed)
        return net, torch.optim.SGD(net.module_.parameters(), 0.1, momentum=0.9)

    def train(net: Net, optimizer: Any, last: int) -> None:
        objects = {"model": around(net), "optimizer": optimizer}
        with saver.Saver(tmp_path).checkpoints("m", objects, every=Every(steps=1)) as run:
            for step in range(run.resume(), last):
                optimizer.zero_grad()
                net.module_(torch.ones(1, 2)).square().sum().backward()
                optimizer.step()
                run.step(step)

    whole, optimizer = begun(0)
    train(whole, optimizer, 3)
    first = {name: value.clone() for name, value in whole.module_.state_dict().items()}
    again, optimizer = begun(1)
    module = again.module_
    train(again, optimizer, 3)
    assert again.module_ is module
    assert again.history_ == [0]
    assert all(torch.equal(value, first[name]) for name, value in module.state_dict().items())
    train(again, optimizer, 4)
    assert not torch.equal(module.weight, first["weight"])


def piped(net: Net) -> Any:
    from sklearn.pipeline import Pipeline

    return Pipeline([("scale", Net()), ("net", net)])


def voting(net: Net) -> Any:
    from sklearn.ensemble import VotingClassifier

    return VotingClassifier([("net", net)])


@pytest.mark.parametrize("around", [piped, voting])
def test_a_module_in_a_tuple_of_an_estimator_is_refused_when_the_run_is_made(
    around: Any, tmp_path: Path
) -> None:
    net = Net().initialize(0)
    store, optimizer = saver.Saver(tmp_path), torch.optim.SGD(net.module_.parameters(), 0.1)
    objects = {"model": around(net), "optimizer": optimizer}
    why = r"^model\.(steps\.1|estimators\.0): a resume replaces a tuple.*have the run save what it holds"
    with pytest.raises(saver.CannotSaveError, match=why):
        store.checkpoints("m", objects, every=Every(steps=1), progress=False)
    for instead in ({"net": net, "optimizer": optimizer}, {"model": around(Net())}):
        with store.checkpoints(f"m{len(instead)}", instead, every=Every(steps=1), progress=False) as run:
            run.step(0)
        with store.checkpoints(f"m{len(instead)}", instead, every=Every(steps=1), progress=False) as run:
            assert run.resume() == 1
