"""Where modules of PyTorch and networks of skorch call what they hold, no reviewed object of another library
may stand: what its `__call__` does with any arguments was not reviewed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
kernels = pytest.importorskip("sklearn.gaussian_process.kernels")

import saver  # noqa: E402
from saver import uses  # noqa: E402
from saver.errors import CannotSaveError, IncompatibleError  # noqa: E402

STRANGER = kernels.RBF(2.0)


def forged(made: Any, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file with it, whose maker did not look."""
    with monkeypatch.context() as careless:
        careless.setattr(uses, "check_objects", lambda *_: None)
        return saver.dumps(made)


def refused(made: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = f"'{name}' may be a function, but it is a (sklearn|transformers)"
    for _ in range(2):  # the second time its class is known to be neither a function nor a class
        with pytest.raises(CannotSaveError, match=refusing):
            saver.dumps(made)
    with pytest.raises(IncompatibleError, match=refusing):
        saver.loads(forged(made, monkeypatch))


@pytest.mark.parametrize("name", ["activation", "linear1", "self_attn", "norm1", "other"])
def test_a_layer_does_not_call_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute comes before a module of the same name."""
    made = torch.nn.TransformerEncoderLayer(4, 2)
    vars(made)[name] = STRANGER
    refused(made, name, monkeypatch)


def test_an_average_does_not_call_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2))
    vars(made)["avg_fn"] = STRANGER
    refused(made, "avg_fn", monkeypatch)


def test_a_module_within_others_does_not_call_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.TransformerEncoderLayer(4, 2))
    vars(made[1])["activation"] = STRANGER
    refused(made, "activation", monkeypatch)


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "lr_lambdas[1]": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, [float, float]),
    "_scale_fn_custom": lambda optimizer: torch.optim.lr_scheduler.CyclicLR(optimizer, 0.1, 0.2),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_does_not_call_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))]} for _ in range(2)]
    made = SCHEDULES[name](torch.optim.SGD(groups, 0.1, momentum=0.9))
    if name.startswith("lr_lambdas"):
        made.lr_lambdas = [None, STRANGER]
    else:
        vars(made)[name] = STRANGER
    refused(made, re.escape(name), monkeypatch)


def test_a_layer_calls_modules_of_its_own_library() -> None:
    made = torch.nn.TransformerEncoderLayer(4, 2, activation=torch.nn.GELU()).eval()
    given = torch.ones(1, 2, 4)
    assert torch.equal(saver.loads(saver.dumps(made))(given), made(given))
    vars(made)["kept"] = torch.nn.Tanh()
    assert type(saver.loads(saver.dumps(made)).kept) is torch.nn.Tanh


class TestNetworks:
    """Of skorch."""

    @pytest.fixture
    def net(self) -> Any:
        skorch = pytest.importorskip("skorch")
        return skorch.NeuralNetRegressor(torch.nn.Linear(2, 1))

    @pytest.mark.parametrize(
        "name",
        ["module", "criterion", "optimizer", "iterator_train", "iterator_valid", "dataset", "train_split",
         "predict_nonlinearity", "module__activation", "criterion__weight"],
    )  # fmt: skip
    def test_it_does_not_call_one(self, net: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        vars(net)[name] = STRANGER
        refused(net, name, monkeypatch)

    @pytest.mark.parametrize(
        ("callback", "name"),
        [("EpochScoring", "target_extractor"), ("PrintLog", "sink"),
         ("LRScheduler", "policy"), ("LRScheduler", "monitor"), ("EarlyStopping", "sink")],
    )  # fmt: skip
    def test_its_callbacks_do_not_call_one(
        self, net: Any, callback: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from skorch import callbacks

        made = getattr(callbacks, callback)(*(["accuracy"] if callback == "EpochScoring" else []))
        vars(made)[name] = STRANGER
        refused(made, name, monkeypatch)
        net.callbacks = [("own", made)]
        with pytest.raises(CannotSaveError, match=name):
            saver.dumps(net)

    @pytest.mark.parametrize("callback", ["EpochScoring", "BatchScoring", "PassthroughScoring"])
    def test_its_scorers_are_not_of_a_third_library(
        self, callback: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        callbacks = pytest.importorskip("skorch.callbacks")
        extractor = pytest.importorskip("transformers").Wav2Vec2FeatureExtractor()
        made = getattr(callbacks, callback)("accuracy")
        vars(made)["scoring"] = extractor
        refused(made, "scoring", monkeypatch)

    def test_its_callbacks_call_scorers_of_scikit_learn(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        callbacks = pytest.importorskip("skorch.callbacks")
        scorer = metrics.make_scorer(metrics.accuracy_score)
        found = saver.loads(saver.dumps(callbacks.EpochScoring(scorer)))
        assert type(found.scoring) is type(scorer)

    def test_it_has_a_module_of_another_library_but_does_not_make_one_anew(
        self, net: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With arguments for it, skorch calls the class of a module."""
        metrics = pytest.importorskip("torchmetrics")
        vars(net).update(module=metrics.MeanSquaredError(), module__num_outputs=1)
        refusing = "'module' is made anew with arguments of the network"
        with pytest.raises(CannotSaveError, match=refusing):
            saver.dumps(net)
        with pytest.raises(IncompatibleError, match=refusing):
            saver.loads(forged(net, monkeypatch))
        del vars(net)["module__num_outputs"]
        found = saver.loads(saver.dumps(net))
        assert type(found.module) is metrics.MeanSquaredError
