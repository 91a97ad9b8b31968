"""TorchMetrics: every metric comes back with what it has seen, and goes on counting."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

torchmetrics = pytest.importorskip("torchmetrics")
torch = pytest.importorskip("torch")

import saver  # noqa: E402
from saver import trust  # noqa: E402
from saver.errors import IncompatibleError  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, load  # noqa: E402

pytestmark = [pytest.mark.xdist_group("torchmetrics"), pytest.mark.filterwarnings("ignore")]

NAMES = json.loads((Path(saver.__file__).parent / "families/torchmetrics/classes.json").read_text())[
    "codecs"
]["torch.Module"]

ARGUMENTS: tuple[dict[str, Any], ...] = (
    {}, {"num_classes": 3}, {"num_labels": 3}, {"task": "binary"}, {"fs": 8000}, {"min_recall": 0.5},
    {"min_precision": 0.5}, {"min_sensitivity": 0.5}, {"min_specificity": 0.5},
    {"num_classes": 3, "min_recall": 0.5}, {"num_labels": 3, "min_recall": 0.5},
    {"num_classes": 3, "min_precision": 0.5}, {"num_labels": 3, "min_precision": 0.5},
    {"num_classes": 3, "min_sensitivity": 0.5}, {"num_labels": 3, "min_sensitivity": 0.5},
    {"num_groups": 2}, {"p": 2}, {"metric_func": torch.nn.functional.mse_loss},
)  # fmt: skip


def metrics() -> Iterator[tuple[str, Any]]:
    """Each metric that can be made of little, by its name."""
    for name in NAMES:
        for arguments in ARGUMENTS:
            try:
                found = trust.resolve(name)(**arguments)
            except Exception:  # it needs other arguments, or a package that is not here
                continue
            if isinstance(found, torchmetrics.Metric):
                yield name, found
            break


def updates() -> tuple[tuple[Any, ...], ...]:
    draw = torch.Generator().manual_seed(0)
    scores = torch.rand(12, generator=draw)
    truth = torch.randint(0, 2, (12,), generator=draw)
    many, classes = torch.rand(12, 3, generator=draw).softmax(1), torch.randint(0, 3, (12,), generator=draw)
    labels = torch.randint(0, 2, (12, 3), generator=draw)
    image = torch.rand(1, 3, 32, 32, generator=draw)
    return (
        (scores, truth), (many, classes), (many, labels), (scores, torch.rand(12, generator=draw)),
        (scores,), (classes, torch.flip(classes, (0,))), (scores, truth, truth),
        (["a cat sat"], ["a cat sits"]), (["a cat sat"], [["a cat sits"]]), (image, image * 0.9), (image,),
        (torch.rand(2, 40, generator=draw), torch.rand(2, 40, generator=draw)),
    )  # fmt: skip


def bits(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.detach().numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, (list, tuple)) else value


def outcome(act: Callable[[], Any]) -> Any:
    """What it gives, or which error."""
    try:
        return bits(act())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def seen(metric: Any) -> tuple[Any, ...] | None:
    """What the metric was updated with: the first that it takes and computes from."""
    for given in updates():
        try:
            metric.update(*given)
            metric.compute()
        except Exception:
            metric.reset()
            continue
        return given
    return None


def went_on(metric: Any, given: tuple[Any, ...]) -> list[Any]:
    """The count of updates, and what is computed: now, after one more update, and after a reset."""
    return [
        metric.update_count, outcome(metric.compute), outcome(lambda: metric.update(*given)),
        metric.update_count, outcome(metric.compute), outcome(metric.reset), metric.update_count,
        outcome(lambda: metric(*given)),
    ]  # fmt: skip


@pytest.mark.slow
def test_every_metric_comes_back_and_goes_on() -> None:
    tried = counted = 0
    for name, metric in metrics():
        given = seen(metric)
        found = saver.loads(saver.dumps(metric))
        assert inspect.signature(found.update) == inspect.signature(metric.update), name
        tried += 1
        if given is not None:
            counted += 1
            assert went_on(found, given) == went_on(metric, given), name
    assert tried >= 180
    assert counted >= 150


def several() -> Any:
    found = torchmetrics.MetricCollection(
        {"right": torchmetrics.classification.BinaryAccuracy(),
         "curve": torchmetrics.classification.BinaryAUROC(), "mean": torchmetrics.MeanSquaredError()}
    )  # fmt: skip
    given = updates()[0]
    found.update(given[0], given[1])
    return found


class TestMetrics(CodecTests):
    family = "torchmetrics"
    samples: ClassVar[dict[str, Any]] = {
        "mean": torchmetrics.MeanMetric,
        "matrix": lambda: torchmetrics.classification.MulticlassConfusionMatrix(num_classes=3),
        "several": several,
        "running": lambda: torchmetrics.wrappers.Running(torchmetrics.SumMetric(), window=3),
    }


@pytest.mark.shows("TorchMetrics", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_computes_the_same(tmp_path: Path) -> None:
    made = several()
    saver.dump(made, tmp_path / "metrics.saver")
    program = (
        "import sys, saver\n"
        f"found = saver.load({str(tmp_path / 'metrics.saver')!r})\n"
        f"saver.dump(found.compute(), {str(tmp_path / 'computed.saver')!r})\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=120)
    assert bits(saver.load(tmp_path / "computed.saver")) == bits(made.compute())


@pytest.mark.shows("TorchMetrics", "resume to the bit")
def test_a_run_resumes_what_metrics_have_seen(tmp_path: Path) -> None:
    def train(folder: Path, steps: int) -> Any:
        net, metric = torch.nn.Linear(2, 1), torchmetrics.MeanMetric()
        run = saver.Saver(folder).checkpoints(
            "net", {"net": net, "metric": metric}, every=saver.Every(steps=2), progress=False
        )
        with run:
            for step in range(run.resume(), steps):
                metric.update(float(step))
                run.step(step)
        return metric

    train(tmp_path / "killed", 5)
    assert train(tmp_path / "killed", 9).compute() == train(tmp_path / "whole", 9).compute() == 4.0


@pytest.mark.parametrize("name", ["update", "compute"])
def test_a_method_from_a_file_is_refused(name: str) -> None:
    saved = StoredObject(torchmetrics.MeanMetric())
    state = next(node for node in saved.nodes() if node["$"] == "torch.Module")["state"]["attributes"]
    first = next(iter(state))
    state[name] = state.pop(first)
    with pytest.raises(IncompatibleError):
        load(saved, ())


def test_metrics_that_fetch_a_network_by_a_name_need_trust() -> None:
    for name in ("torchmetrics.text.bert:BERTScore", "torchmetrics.image.fid:FrechetInceptionDistance"):
        assert not trust.allows("torch.Module", name, ())
