"""Whatever steers an optimizer goes on to the bit when a run is resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

import saver
from saver import Every
from saver.storages.memory import MemoryStorage

STEPS = 16

SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "one cycle": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=STEPS),
    "cyclic": lambda o: schedules.CyclicLR(o, 0.01, 0.1, step_size_up=4, cycle_momentum=False),
    "cyclic by a function": lambda o: schedules.CyclicLR(
        o, 0.01, 0.1, step_size_up=3, scale_fn=lambda at: 0.9**at, scale_mode="iterations"
    ),
    "warm restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, 2),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, STEPS),
    "plateau": lambda o: schedules.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1, threshold=0.01),
    "steps": lambda o: schedules.MultiStepLR(o, [3, 7, 8], 0.5),
    "by a function": lambda o: schedules.LambdaLR(o, lambda epoch: 0.9**epoch),
    "by factors": lambda o: schedules.MultiplicativeLR(o, lambda epoch: 0.99**epoch),
    "warm-up": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, 0.1, total_iters=4), schedules.CosineAnnealingLR(o, STEPS - 4)], [4]
    ),
    "warm-up by a function": lambda o: schedules.SequentialLR(
        o, [schedules.LambdaLR(o, lambda epoch: (1 + epoch) / 4), schedules.ExponentialLR(o, 0.9)], [4]
    ),
    "chained": lambda o: schedules.ChainedScheduler(
        [schedules.ConstantLR(o, 0.5, 5), schedules.ExponentialLR(o, 0.9)]
    ),
    "averaging": lambda o: SWALR(o, 0.05, anneal_epochs=6),
}

AVERAGES: dict[str, Callable[[Any], Any]] = {
    "mean": AveragedModel,
    "exponential": lambda net: AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True),
    "by a function": lambda net: AveragedModel(net, avg_fn=lambda old, new, count: 0.8 * old + 0.2 * new),
}


def train(store: saver.Saver, schedule: str, average: str, stop: int) -> dict[str, Any]:
    """A life with new objects, to before the step `stop`. What it ends with, to the bit."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    rate, mean = SCHEDULES[schedule](optimizer), AVERAGES[average](net)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    objects = {"net": net, "optimizer": optimizer, "rate": rate, "average": mean, "scaler": scaler}
    run = store.checkpoints("run", objects, every=Every(steps=1), progress=False)
    with run:
        for step in range(run.resume(), stop):
            points = torch.randn(8, 4)
            loss = (net(points)[:, 0] - points.sum(1)).square().mean()
            optimizer.zero_grad()
            scaler.scale(loss * (torch.inf if step == 5 else 1)).backward()  # too much, so it is scaled down
            scaler.step(optimizer)
            scaler.update()
            rate.step(*([loss.item()] if schedule == "plateau" else []))
            mean.update_parameters(net)
            run.step(step, loss=loss, rate=optimizer.param_groups[0]["lr"], scale=scaler.get_scale())
    found = {name: [values.tobytes() for values in run.log[name]] for name in run.log.metrics}
    weights = {name: value.numpy().tobytes() for name, value in mean.state_dict().items()}
    return found | weights | {"scaler": scaler.state_dict(), "momentum": _momentum(optimizer)}


def _momentum(optimizer: Any) -> list[bytes]:
    return [state["momentum_buffer"].numpy().tobytes() for state in optimizer.state.values()]


CASES = [(schedule, "exponential") for schedule in SCHEDULES] + [
    ("cosine", "mean"),
    ("cosine", "by a function"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("schedule", "average"), CASES)
@pytest.mark.filterwarnings("ignore:.*the epoch parameter:UserWarning")  # SequentialLR warns of itself
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")  # a step was left out
def test_rates_averages_and_scales_go_on_to_the_bit(schedule: str, average: str) -> None:
    whole = train(saver.Saver(MemoryStorage()), schedule, average, STEPS)
    store = saver.Saver(MemoryStorage())
    for stop in (1, 4, 6, 11):
        train(store, schedule, average, stop)
    assert [version.step for version in store.versions("run")] == list(range(11))
    assert train(store, schedule, average, STEPS) == whole


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_training_sets_on_a_schedule_goes_on(schedule: str) -> None:
    def objects() -> dict[str, Any]:
        net = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        return {"net": net, "optimizer": optimizer, "rate": SCHEDULES[schedule](optimizer)}

    store, first, again = saver.Saver(MemoryStorage()), objects(), objects()
    with store.checkpoints("run", first, every=Every(steps=1), progress=False) as run:
        first["rate"].count, first["rate"]._best = 3, [0.5, None]
        run.step(0)
    with store.checkpoints("run", again, every=Every(steps=1), progress=False) as run:
        assert run.resume() == 1
    assert (again["rate"].count, again["rate"]._best) == (3, [0.5, None])


def thaw(store: saver.Saver, stop: int, *, backwards: bool = False) -> list[Any]:
    """Train layer after layer, from the last one on, to before a step; return what it ended with."""
    torch.manual_seed(2)
    net = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(3)))
    optimizer = torch.optim.AdamW(net[2].parameters(), lr=0.05)
    rate = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    objects = {"net": net, "optimizer": optimizer, "rate": rate}
    named = dict(reversed(objects.items())) if backwards else objects
    with store.checkpoints("run", named, every=Every(steps=1), progress=False) as run:
        for step in range(run.resume(), stop):
            if step in (2, 5):
                layer = net[1] if step == 2 else net[0]
                optimizer.add_param_group({"params": list(layer.parameters()), "lr": 0.01 * step})
                rate.base_lrs.append(0.01 * step)
            optimizer.zero_grad()
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            rate.step()
            run.step(step)
    moments = [optimizer.state[item] for group in optimizer.param_groups for item in group["params"]]
    return [listed(each) for each in (net.state_dict(), moments, optimizer.state_dict(), rate.state_dict())]


def listed(value: Any) -> Any:
    """State with lists in the place of tensors."""
    if isinstance(value, dict):
        return {key: listed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(listed, value))
    return value.tolist() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("backwards", [False, True])
def test_groups_that_training_added_are_added_again(backwards: bool) -> None:
    whole, store = thaw(saver.Saver(MemoryStorage()), 8), saver.Saver(MemoryStorage())
    for stop in (1, 3, 4, 6):
        thaw(store, stop, backwards=backwards)
    assert thaw(store, 8, backwards=backwards) == whole


def test_groups_of_parameters_that_no_module_has_are_named_with_the_way_out() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    store = saver.Saver(MemoryStorage())

    def run(optimizer: Any) -> Any:
        return store.checkpoints("run", {"optimizer": optimizer}, every=Every(steps=1), progress=False)

    grown, again = (torch.optim.SGD(weights[:1], lr=0.05) for _ in range(2))
    with run(grown) as first:
        grown.add_param_group({"params": weights[1:], "lr": 0.2})
        first.step(0)
    with run(again) as second:
        with pytest.raises(saver.DoesNotFitError, match="with add_param_group, before they are restored"):
            second.resume()
        assert len(again.param_groups) == 1
        again.add_param_group({"params": weights[1:]})
        assert second.resume() == 1
    assert again.param_groups[1]["lr"] == 0.2


class Stubborn(torch.optim.SGD):
    """Takes no state."""

    def load_state_dict(self, state_dict: Any) -> None:
        raise ValueError("no")


def test_an_optimizer_that_refuses_a_state_has_the_groups_that_it_had() -> None:
    net, store = (
        torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)),
        saver.Saver(MemoryStorage()),
    )
    grown, again = (Stubborn(net[1].parameters(), lr=0.05) for _ in range(2))
    with store.checkpoints("run", {"net": net, "it": grown}, every=Every(steps=1), progress=False) as run:
        grown.add_param_group({"params": list(net[0].parameters())})
        run.step(0)
    objects = {"net": net, "it": again}
    with (
        store.checkpoints("run", objects, every=Every(steps=1), progress=False) as run,
        pytest.raises(saver.DoesNotFitError),
    ):
        run.resume()
    assert len(again.param_groups) == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_schedule_without_its_optimizer_warns_when_the_run_is_made(schedule: str) -> None:
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    objects = {"net": net, "rate": SCHEDULES[schedule](optimizer)}
    with pytest.warns(RuntimeWarning, match=r"rate\.optimizer: not among the objects .* add it"):
        saver.Saver(MemoryStorage()).checkpoints("run", objects, every=Every(steps=1), progress=False)
    for held in (optimizer, {"held": [optimizer]}):
        whole = {**objects, "optimizer": held}
        saver.Saver(MemoryStorage()).checkpoints("run", whole, every=Every(steps=1), progress=False)


class Pair(torch.nn.Module):
    """Two layers of one shape, declared in an order."""

    def __init__(self, order: str) -> None:
        super().__init__()
        for name in order:
            setattr(self, name, torch.nn.Linear(2, 2))

    def forward(self, x: Any) -> Any:
        return 3 * self.a(x) + self.b(x)


@pytest.mark.parametrize("named", [False, torch.__version__ >= (2, 6)])
def test_an_optimizer_that_is_saved_by_position_is_named_when_the_run_is_made(named: bool) -> None:
    def begun(order: str) -> tuple[Any, Any]:
        net = Pair(order)
        optimizer = torch.optim.SGD(net.named_parameters() if named else net.parameters(), 0.1, momentum=0.9)
        optimizer.clip = lambda: None  # type: ignore[attr-defined]  has no data form
        return net, optimizer

    def run(net: Any, optimizer: Any) -> Any:
        return store.checkpoints("run", {"net": net, "it": optimizer}, every=Every(steps=1), progress=False)

    store, (net, optimizer), (again, other) = saver.Saver(MemoryStorage()), begun("ab"), begun("ba")
    if not named:
        why = r"it: saved as a state dict without names, so its state goes by position; keep the order"
        with pytest.warns(RuntimeWarning, match=why):
            run(net, optimizer)
        return
    with run(net, optimizer) as first:
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        first.step(0)
    with run(again, other) as second:
        assert second.resume() == 1
    for layer, moment in ((again.a, 3.0), (again.b, 1.0)):
        assert torch.equal(other.state[layer.bias]["momentum_buffer"], torch.full((2,), moment))
