"""skorch: networks come back with history, callbacks and optimizer, and train on the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

skorch = pytest.importorskip("skorch")
torch = pytest.importorskip("torch")

from sklearn.datasets import load_iris  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler  # noqa: E402

import saver  # noqa: E402
from saver.errors import CannotSaveError, DoesNotFitError, IncompatibleError, UntrustedError  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

pytestmark = [pytest.mark.xdist_group("skorch"), pytest.mark.filterwarnings("ignore")]


def data(kind: str) -> tuple[Any, Any]:
    features, target = load_iris(return_X_y=True)
    features = features.astype(np.float32)
    if kind == "NeuralNetRegressor":
        return features, features[:, :1] * 2
    return features, (target == 1).astype(np.float32) if kind == "NeuralNetBinaryClassifier" else target


def made(kind: str = "NeuralNetClassifier", **settings: Any) -> Any:
    torch.manual_seed(0)
    width = 3 if kind == "NeuralNetClassifier" else 1
    layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(8, width)]
    if kind == "NeuralNetClassifier":
        layers.append(torch.nn.Softmax(-1))
    if kind == "NeuralNetBinaryClassifier":
        layers.append(torch.nn.Flatten(0))
    cls = getattr(skorch, kind)
    return cls(torch.nn.Sequential(*layers), max_epochs=2, verbose=0, lr=0.05, **settings)


KINDS = ("NeuralNetClassifier", "NeuralNetBinaryClassifier", "NeuralNetRegressor")
OPTIMIZERS = ("SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam")


def trained_on(net: Any, kind: str) -> bytes:
    torch.manual_seed(5)
    net.partial_fit(*data(kind))
    return bytes(
        net.predict_proba(data(kind)[0]).tobytes() if kind != KINDS[2] else net.predict(data(kind)[0])
    )


@pytest.mark.shows("skorch", "resume to the bit")
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_predicts_the_same_and_trains_on_the_same(kind: str) -> None:
    net = made(kind).fit(*data(kind))
    found = saver.loads(saver.dumps(net))
    assert found.predict(data(kind)[0]).tobytes() == net.predict(data(kind)[0]).tobytes()
    assert found.history == net.history
    assert found.get_params().keys() == net.get_params().keys()
    assert trained_on(found, kind) == trained_on(net, kind)
    assert len(found.history) == 4
    assert saver.loads(saver.dumps(made(kind))).fit(*data(kind)) is not None, "not fitted yet"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_where_it_was(name: str) -> None:
    net = made(optimizer=getattr(torch.optim, name)).fit(*data(KINDS[0]))
    found = saver.loads(saver.dumps(net))
    assert trained_on(found, KINDS[0]) == trained_on(net, KINDS[0])


def test_callbacks_come_back_with_what_they_have_seen() -> None:
    callbacks = [
        EarlyStopping(patience=3),
        EpochScoring("accuracy", name="right"),
        LRScheduler("StepLR", step_size=1),
    ]
    net = made(callbacks=callbacks).fit(*data(KINDS[0]))
    found = saver.loads(saver.dumps(net))
    (stopping,) = [each for _, each in found.callbacks_ if type(each) is EarlyStopping]
    (before,) = [each for _, each in net.callbacks_ if type(each) is EarlyStopping]
    assert vars(stopping).keys() == vars(before).keys()
    assert stopping.misses_ == before.misses_
    assert trained_on(found, KINDS[0]) == trained_on(net, KINDS[0])


@pytest.mark.shows("skorch", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_predicts_the_same(tmp_path: Path) -> None:
    features, target = data(KINDS[0])
    pipeline = make_pipeline(StandardScaler(), made()).fit(features, target)
    saver.dump({"net": pipeline, "X": features}, tmp_path / "net.saver")
    program = (
        f"import saver\nfound = saver.load({str(tmp_path / 'net.saver')!r})\n"
        f"saver.dump(found['net'].predict_proba(found['X']), {str(tmp_path / 'y.saver')!r})\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    assert saver.load(tmp_path / "y.saver").tobytes() == pipeline.predict_proba(features).tobytes()


class TestNets(CodecTests):
    family = "skorch"
    samples: ClassVar[dict[str, Any]] = {
        "not fitted": made,
        "split": lambda: skorch.dataset.ValidSplit(3, stratified=True),
        "printing": skorch.callbacks.PrintLog,
    }


class Own(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, features: Any) -> Any:
        return self.layer(features).softmax(-1)


def test_a_module_of_the_users_own_needs_trust() -> None:
    net = skorch.NeuralNetClassifier(Own, max_epochs=1, verbose=0).fit(*data(KINDS[0]))
    data_of_it = saver.dumps(net)
    with pytest.raises(UntrustedError, match="Own"):
        saver.loads(data_of_it)
    found = saver.loads(data_of_it, trust=[f"{__name__}.*"])
    assert trained_on(found, KINDS[0]) == trained_on(net, KINDS[0])


def test_callbacks_that_write_files_are_refused() -> None:
    with pytest.raises(CannotSaveError, match="writes files"):
        saver.dumps(made(callbacks=[Checkpoint()]))


@pytest.mark.parametrize("changed", [{"fit": "SGD"}, {"optimizer": "os.system"}, {"__class__": "SGD"}])
def test_a_class_in_another_place_is_refused(changed: dict[str, str]) -> None:
    saved = StoredObject(made())
    node = next(node for node in saved.nodes() if node["$"] == "skorch.net")
    node["state"]["named"].clear()
    node["state"]["named"].update(changed)
    with pytest.raises(IncompatibleError):
        load(saved, ())


@pytest.mark.shows("skorch", "restore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_is_restored_in_place_and_trains_on_the_same(kind: str, tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    net = made(kind).fit(*data(kind))
    store.save("net", {"net": net})
    target = made(kind)
    store.restore("net", into={"net": target})
    assert target.history == net.history
    assert trained_on(target, kind) == trained_on(net, kind)
    assert vars(target).keys() == vars(net).keys()


def test_a_network_of_another_class_is_not_restored(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("net", {"net": made(KINDS[0])})
    with pytest.raises(DoesNotFitError, match="NeuralNetClassifier was saved"):
        store.restore("net", into={"net": made(KINDS[2])})
