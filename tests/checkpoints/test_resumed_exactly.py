"""A resumed run equals the uninterrupted one to the bit, or that is refused or warned of when it is made."""

from __future__ import annotations

import copy
import itertools
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import saver
from forging import forged, places_of
from saver import Every
from saver.checkpoints.objects import Objects
from saver.errors import CannotSaveError, DoesNotFitError, SaverError
from saver.rehearsal import prove
from saver.storages.memory import MemoryStorage
from saver.tree import Node, Reference, Tensor, walk

STEPS = 4


class Plain(nn.Module):
    """Layers with state beside their weights, which training changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 1)
        self.temperature = 1.0
        self.seen: list[int] = []

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(torch.tanh(self.first(x)))) * self.temperature

    def before(self, step: int) -> None:
        self.temperature *= 0.75
        self.drop.p = 0.5 / (step + 2)
        self.seen.append(step)


class Batched(Plain):
    """Statistics of batches, which are frozen on the way, and a buffer that nobody saves by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(4), persistent=False)

    def forward(self, x: Any) -> Any:
        hidden = self.norm(torch.tanh(self.first(x)))
        self.mean = 0.9 * self.mean + hidden.detach().mean(0)
        return self.last(self.drop(hidden - self.mean))

    def before(self, step: int) -> None:
        super().before(step)
        if step == 1:
            self.norm.eval()


class Frozen(Plain):
    """Layers that are frozen, and thawed on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)

    def before(self, step: int) -> None:
        super().before(step)
        self.first.requires_grad_(step >= 1)


class Growing(Plain):
    """A buffer with an entry for each step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("history", torch.zeros(0))

    def forward(self, x: Any) -> Any:
        found = super().forward(x)
        self.history = torch.cat((self.history, found.detach().mean().reshape(1)))
        return found * (1 + self.history.sum())


class Extra(Plain):
    """State that its state dict takes with `get_extra_state`."""

    def get_extra_state(self) -> Any:
        return {"temperature": self.temperature}

    def set_extra_state(self, state: Any) -> None:
        self.temperature = state["temperature"]


class Nested(Plain):
    """Modules, arrays and generators where no state dict looks."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(1, 1), {"gate": nn.Linear(1, 1)}]
        self.noise = torch.Generator().manual_seed(5)
        self.numbers = np.random.default_rng(3)
        self.total = np.zeros(3)

    def parameters(self, recurse: bool = True) -> Any:
        within = (self.hidden[0].parameters(), self.hidden[1]["gate"].parameters())
        return itertools.chain(super().parameters(recurse), *within)

    def forward(self, x: Any) -> Any:
        found = super().forward(x + torch.randn(x.shape, generator=self.noise))
        self.total += self.numbers.random(3)
        scale = torch.sigmoid(self.hidden[1]["gate"](found)) * float(self.total[0])
        return self.hidden[0](found) * scale


class Hooked(Plain):
    """A hook, so that it has no data form and is saved by its state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.last.register_forward_hook(lambda module, given, found: found * 2)
        self.register_buffer("mean", torch.zeros(1), persistent=False)
        self.register_buffer("history", torch.zeros(0))
        self.totals = {"seen": np.zeros(2)}

    def forward(self, x: Any) -> Any:
        found = super().forward(x)
        self.mean = self.mean + found.detach().mean()
        self.history = torch.cat((self.history, self.mean))
        self.totals["seen"] += 1
        return found + self.mean + self.history.sum() + float(self.totals["seen"][0])


class WeightNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.first)


class OldWeightNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nn.utils.weight_norm(self.first)

    def before(self, step: int) -> None:
        super().before(step)
        self.first.weight_g.requires_grad_(step < 1)


class Recurrent(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True, dropout=0.3, num_layers=2)

    def forward(self, x: Any) -> Any:
        return self.last(self.drop(self.rnn(x)[0])) * self.temperature


class Half(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.bfloat16()

    def forward(self, x: Any) -> Any:
        return super().forward(x.bfloat16()).float()


NETS = [Plain, Batched, Frozen, Growing, Extra, Nested, Hooked, WeightNorm, OldWeightNorm, Recurrent, Half]


class Masters(torch.optim.Optimizer):
    """SGD with a copy of each weight in single precision, and a count of its own."""

    def __init__(self, parameters: Any, lr: float = 0.05) -> None:
        super().__init__(parameters, {"lr": lr})
        self.count = 0

    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure is not None else None
        self.count += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    state = self.state[parameter]
                    if not state:
                        state["master"] = parameter.detach().float().clone()
                        state["coarse"] = [torch.zeros(parameter.shape, dtype=torch.bfloat16)]
                    state["master"] -= group["lr"] / self.count * parameter.grad.float()
                    state["coarse"][0] += parameter.grad.bfloat16()
                    parameter.data.copy_(state["master"] + 0.001 * state["coarse"][0].float())
        return loss


def in_groups(net: Any) -> list[dict[str, Any]]:
    """Weights and biases apart, in the reverse order."""
    named = list(net.named_parameters())[::-1]
    return [
        {"params": [item for name, item in named if name.endswith("bias")], "weight_decay": 0.0},
        {"params": [item for name, item in named if not name.endswith("bias")], "lr": 0.02},
    ]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda net: torch.optim.SGD(net.parameters(), 0.05),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, nesterov=True),
    "Adam": lambda net: torch.optim.Adam(net.parameters(), 0.01, amsgrad=True),
    "AdamW": lambda net: torch.optim.AdamW(in_groups(net), 0.01),
    "LBFGS": lambda net: torch.optim.LBFGS(net.parameters(), 0.1, max_iter=2),
    "masters": lambda net: Masters(net.parameters()),
}
if torch.__version__ >= (2, 6):  # before, optimizers know no names
    OPTIMIZERS["named"] = lambda net: torch.optim.AdamW(net.named_parameters(), 0.01)


class Life:
    """The objects of a run, made anew as a script makes them when it is started again."""

    def __init__(self, net: Callable[[], Any], optimizer: str) -> None:
        torch.manual_seed(1)
        self.net = net()
        self.optimizer = OPTIMIZERS[optimizer](self.net)
        self.rate = schedules.CosineAnnealingLR(self.optimizer, STEPS)
        self.average: Any = nn.Identity()
        if net not in (Growing, Hooked, OldWeightNorm):  # of which there are no averages
            self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    def objects(self) -> dict[str, Any]:
        return {
            "net": self.net, "optimizer": self.optimizer, "rate": self.rate, "average": self.average,
        }  # fmt: skip

    def train(self, step: int) -> float:
        self.net.before(step)
        points = torch.randn(6, 3)

        def closure() -> Any:
            self.optimizer.zero_grad()
            loss = (self.net(points)[:, 0] - points.sum(1)).square().mean()
            loss.backward()
            return loss

        loss = self.optimizer.step(closure)
        self.rate.step()
        if isinstance(self.average, AveragedModel):
            self.average.update_parameters(self.net)
        return float(loss.detach())


def lives(store: saver.Saver, make: Callable[[], Life], *stops: int) -> Life:
    """Lives of one run, each to before a step; the last one as it ended."""
    for stop in stops:
        life = make()
        with store.checkpoints("run", life.objects(), every=Every(steps=1), progress=False) as run:
            for step in range(run.resume(), stop):
                run.step(step, loss=life.train(step))
    return life


def assert_same(found: Any, expected: Any, at: str = "", met: set[Any] | None = None) -> None:
    """To the bit, whatever a state dict leaves out, but for functions."""
    met = set() if met is None else met
    if (id(found), id(expected)) in met:
        return
    met.add((id(found), id(expected)))
    assert type(found).__qualname__ == type(expected).__qualname__, at
    if isinstance(expected, torch.Tensor) and expected.layout is not torch.strided:
        assert found.layout is expected.layout, at
        assert_same(found.is_coalesced(), expected.is_coalesced(), f"{at}.is_coalesced", met)
        assert_same(found._indices(), expected._indices(), f"{at}.indices", met)
        assert_same(found._values(), expected._values(), f"{at}.values", met)
    elif isinstance(expected, torch.Tensor):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), at
        assert found.requires_grad == expected.requires_grad, at
        assert found.detach().reshape(-1).view(torch.uint8).numpy().tobytes() == (
            expected.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
        ), at
        if expected.is_leaf and (found.grad is None) != (expected.grad is None):
            raise AssertionError(f"{at}.grad")
    elif isinstance(expected, torch.Generator):
        assert_same(found.get_state(), expected.get_state(), at, met)
    elif isinstance(expected, np.random.Generator):
        assert found.bit_generator.state == expected.bit_generator.state, at
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes()), at
    elif isinstance(expected, dict):
        assert [key for key in found if type(key) is str] == [key for key in expected if type(key) is str], at
        assert len(found) == len(expected), at
        for (key, item), other in zip(found.items(), expected.values(), strict=True):
            assert_same(item, other, f"{at}[{str(key)[:40]}]", met)
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), at
        for number, (item, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(item, other, f"{at}[{number}]", met)
    elif isinstance(expected, (nn.Module, torch.optim.Optimizer, schedules.LRScheduler)):
        own, other = vars(found), vars(expected)
        skipped = [name for name in other if "hook" in name or name in ("_flat_weight_refs", "step")]
        assert {*own} == {*other}, at
        for name in other.keys() - {*skipped}:
            assert_same(own[name], other[name], f"{at}.{name}", met)
    elif isinstance(expected, (bool, int, float, str)):
        assert repr(found) == repr(expected), at


CASES = [(net, "AdamW") for net in NETS] + [(Plain, name) for name in OPTIMIZERS if name != "AdamW"]
CASES += [(net, name) for net in (Batched, Nested, Half, Frozen) for name in ("momentum", "masters", "LBFGS")]


@pytest.mark.filterwarnings("ignore:The .epoch. parameter:UserWarning")
@pytest.mark.parametrize(("net", "optimizer"), CASES)
def test_a_resumed_run_equals_the_uninterrupted_one(net: Any, optimizer: str) -> None:
    def make() -> Life:
        return Life(net, optimizer)

    whole = lives(saver.Saver(MemoryStorage()), make, STEPS)
    parts = lives(saver.Saver(MemoryStorage()), make, 2, STEPS)
    assert_same(parts.objects(), whole.objects())


LAYERS: dict[str, Callable[[], Any]] = {
    "linear": lambda: nn.Linear(3, 3),
    "frozen": lambda: nn.Linear(3, 3).requires_grad_(False),
    "batch norm": lambda: nn.BatchNorm1d(3, momentum=None),
    "dropout": lambda: nn.Dropout(0.5),
    "noise": lambda: nn.RReLU(),
    "norm": lambda: nn.LayerNorm(3),
    "recurrent": lambda: nn.RNNCell(3, 3),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
    "plain": Plain,
}


class Stack(nn.Module):
    """Layers in any order, some twice, some with hooks."""

    def __init__(self, layers: list[str], tied: bool, hooked: bool, half: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(LAYERS[name]() for name in layers)
        if tied:
            self.layers.extend(list(self.layers))
        if hooked:
            self.layers[0].register_forward_hook(lambda module, given, found: found * 2)
        self.last, self.scale = nn.Linear(3, 1), 1.0
        if half:
            self.bfloat16()

    def forward(self, x: Any) -> Any:
        x = x.to(self.last.weight.dtype)
        for layer in self.layers:
            x = x + layer(x)
        return self.last(x).float() * self.scale

    def before(self, step: int) -> None:
        self.scale *= 0.75
        for layer in self.layers:
            if isinstance(layer, nn.Dropout):
                layer.p *= 0.5
            if isinstance(layer, nn.BatchNorm1d):
                layer.train(step < 1)
            for parameter in layer.parameters():
                parameter.requires_grad_(step % 2 == 0 or not parameter.requires_grad)


class AnyLife(Life):
    """Any of these, with a scaler and a schedule, in steps that accumulate gradients or do not."""

    def __init__(self, stack: dict[str, Any], optimizer: str, accumulate: bool) -> None:
        torch.manual_seed(1)
        self.net = Stack(**stack)
        self.optimizer = OPTIMIZERS[optimizer](self.net)
        self.rate = schedules.SequentialLR(
            self.optimizer,
            [
                schedules.LambdaLR(self.optimizer, lambda step: (1 + step) / 2),
                schedules.ExponentialLR(self.optimizer, 0.9),
            ],
            [2],
        )
        self.average = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.5))
        self.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        self.accumulate = accumulate

    def objects(self) -> dict[str, Any]:
        return {**super().objects(), "scaler": self.scaler}

    def train(self, step: int) -> float:
        self.net.before(step)
        if not self.accumulate:
            loss = self.optimizer.step(self.backward)
            self.optimizer.zero_grad()
        else:
            loss = self.net(torch.randn(6, 3)).square().mean()
            self.scaler.scale(loss).backward()
            if step % 2:
                self.scaler.step(self.optimizer)
                self.scaler.update()
                self.optimizer.zero_grad()
        self.rate.step()
        self.average.update_parameters(self.net)
        return float(loss.detach())

    def backward(self) -> Any:
        self.optimizer.zero_grad()
        loss = self.net(torch.randn(6, 3)).square().mean()
        loss.backward()
        return loss


@given(
    st.fixed_dictionaries(
        {
            "layers": st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4),
            "tied": st.booleans(),
            "hooked": st.booleans(),
            "half": st.booleans(),
        }
    ),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.booleans(),
    st.integers(1, 3),
)
@settings(max_examples=30)
def test_whatever_is_trained_goes_on_to_the_bit(
    stack: dict[str, Any], optimizer: str, accumulate: bool, stop: int
) -> None:
    accumulate = accumulate and optimizer != "LBFGS"  # which calls a closure that a scaler does not take
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)

        def make() -> Life:
            return AnyLife(stack, optimizer, accumulate)

        whole = lives(saver.Saver(MemoryStorage()), make, STEPS)
        parts = lives(saver.Saver(MemoryStorage()), make, stop, STEPS)
    assert_same(parts.objects(), whole.objects())


# One example each


class Table(nn.Module):
    """Rows by number, whose gradients, and with them the momentum of SGD, are sparse."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(9, 2, sparse=True)

    def before(self, step: int) -> None:
        pass

    def forward(self, points: Any) -> Any:
        return self.rows((points[:, 0].abs() * 4).long().clamp(max=8))


SPARSE: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda net: torch.optim.SGD(net.parameters(), 0.05),
    "momentum": lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9),
    "damped": lambda net: torch.optim.SGD(net.parameters(), 0.05, momentum=0.9, dampening=0.5),
    "SparseAdam": lambda net: torch.optim.SparseAdam(net.parameters(), 0.05),
    "Adagrad": lambda net: torch.optim.Adagrad(net.parameters(), 0.05),
}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # of torch, once
@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("optimizer", SPARSE)
def test_sparse_state_goes_on_to_the_bit(optimizer: str, stop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIMIZERS, optimizer, SPARSE[optimizer])

    def make() -> Life:
        return Life(Table, optimizer)

    whole = lives(saver.Saver(MemoryStorage()), make, STEPS)
    parts = lives(saver.Saver(MemoryStorage()), make, stop, STEPS)
    assert_same(parts.objects(), whole.objects())


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # of torch, once
@pytest.mark.parametrize("trained", [0, 1, 2])
@pytest.mark.parametrize("optimizer", SPARSE)
def test_a_proof_leaves_sparse_state_as_it_was(
    optimizer: str, trained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIMIZERS, optimizer, SPARSE[optimizer])
    life, twin = Life(Table, optimizer), Life(Table, optimizer)
    for each in (life, twin):
        torch.manual_seed(2)
        for step in range(trained):
            each.train(step)
    run = saver.Saver(MemoryStorage()).checkpoints(
        "run", life.objects(), every=Every(steps=99), progress=False
    )
    assert prove(run, life.train)
    assert_same(life.objects(), twin.objects())


def resumed(objects: dict[str, Any], make: Callable[[], dict[str, Any]], **options: Any) -> dict[str, Any]:
    """New objects, after a run that saved the given ones was resumed with them."""
    store = saver.Saver(MemoryStorage())
    with store.checkpoints("run", objects, every=Every(steps=1), progress=False) as run:
        run.step(0)
    again = make()
    with store.checkpoints("run", again, every=Every(steps=1), progress=False) as run:
        assert run.resume(**options) == 1
    return again


def stepped(net: Any, optimizer: Any, number: int = 2) -> None:
    for _ in range(number):
        optimizer.zero_grad()
        net(torch.randn(6, 3)).square().mean().backward()
        optimizer.step()


class Reversed(Plain):
    """The same layers, declared in another order."""

    def __init__(self) -> None:
        super().__init__()
        self._modules = dict(reversed(self._modules.items()))


@pytest.mark.parametrize("order", [("net", "optimizer"), ("optimizer", "net")])
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("SGD", "LBFGS")])
def test_moments_go_to_the_parameter_of_their_name(name: str, order: Any) -> None:
    net = Plain()
    optimizer = OPTIMIZERS[name](net)
    stepped(net, optimizer)

    def made() -> dict[str, Any]:
        other = Reversed()
        other.__class__ = Plain
        found = {"net": other, "optimizer": OPTIMIZERS[name](other)}
        return {key: found[key] for key in order}

    again = resumed({"net": net, "optimizer": optimizer}, made)
    weights = dict(again["net"].named_parameters())
    assert [*weights] != [name for name, _ in net.named_parameters()]
    for key, parameter in net.named_parameters():
        assert_same(again["optimizer"].state[weights[key]], optimizer.state[parameter], key)


def test_moments_of_a_transfer_go_by_name_as_well() -> None:
    net = Plain()
    optimizer = torch.optim.Adam(net.parameters())
    stepped(net, optimizer)
    store = saver.Saver(MemoryStorage())
    store.save("run", {"net": net.state_dict(), "optimizer": optimizer})
    other = Reversed()
    again = torch.optim.Adam(other.parameters())
    assert store.restore("run", {"optimizer": again, "net": other})
    weights = dict(other.named_parameters())
    for key, parameter in net.named_parameters():
        assert_same(again.state[weights[key]], optimizer.state[parameter], key)


def test_one_state_for_all_parameters_cannot_go_to_another_order() -> None:
    net = Plain()
    optimizer = torch.optim.LBFGS(net.parameters())
    optimizer.step(lambda: net(torch.ones(2, 3)).sum())
    other = Reversed()
    other.__class__ = Plain
    with pytest.raises(DoesNotFitError, match="LBFGS keeps one state for all parameters"):
        resumed(
            {"net": net, "optimizer": optimizer},
            lambda: {"net": other, "optimizer": torch.optim.LBFGS(other.parameters())},
        )


def test_parameters_that_changed_groups_are_refused() -> None:
    net, other = Plain(), Plain()
    groups = in_groups(other)
    groups[0]["params"], groups[1]["params"] = groups[1]["params"], groups[0]["params"]
    with pytest.raises(DoesNotFitError, match="was in this group, and is in group 1 here"):
        resumed(
            {"net": net, "optimizer": torch.optim.SGD(in_groups(net), 0.1, momentum=0.9)},
            lambda: {"net": other, "optimizer": torch.optim.SGD(groups, 0.1, momentum=0.9)},
        )


@pytest.mark.parametrize(("weights", "moments"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_state_keeps_its_dtype(weights: str, moments: str) -> None:
    def made() -> dict[str, Any]:
        net = nn.Linear(3, 2).to(getattr(torch, weights))
        return {"net": net, "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)}

    given = made()
    for parameter in given["net"].parameters():
        found = torch.randn(parameter.shape).to(getattr(torch, moments))
        given["optimizer"].state[parameter]["momentum_buffer"] = found
    again = resumed(given, made)
    assert_same(again, given)
    store = saver.Saver(MemoryStorage())
    store.save("run", given)
    other = made()
    assert not store.restore("run", into=other).parts["optimizer"].converted
    assert_same(other["optimizer"].state_dict(), given["optimizer"].state_dict())


def test_a_transfer_tells_which_state_it_converts() -> None:
    net = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(net.parameters())
    stepped(net, optimizer)
    store = saver.Saver(MemoryStorage())
    store.save("run", {"net": net, "optimizer": optimizer})
    other = nn.Linear(3, 2).bfloat16()
    report = store.restore("run", {"net": other, "optimizer": torch.optim.Adam(other.parameters())})
    assert {str(item) for item in report.parts["optimizer"].converted} == {
        f"state.{number}.{name} (float32 to bfloat16)"
        for number in (0, 1)
        for name in ("exp_avg", "exp_avg_sq")
    }


def test_the_weights_of_an_optimizer_alone_come_back() -> None:
    weight = torch.randn(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9)
    weight.sum().backward()
    optimizer.step()
    fresh = torch.zeros(3, requires_grad=True)
    resumed({"optimizer": optimizer}, lambda: {"optimizer": torch.optim.SGD([fresh], 0.1, momentum=0.9)})
    assert_same(fresh.detach(), weight.detach())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda net: net.bfloat16(), "saved as float32, here bfloat16"),
        (lambda net: net.add_module("more", nn.Linear(1, 1)), r"were not saved: net\.more|not saved: more"),
        (lambda net: delattr(net, "drop"), "not in the target: drop"),
        (lambda net: setattr(net, "first", nn.Linear(3, 4, bias=False)), "not in the target: first.bias"),
        (lambda net: setattr(net, "first", nn.Linear(3, 5)), r"first.weight \(saved \[4, 3\], here \[5, 3\]"),
        (lambda net: setattr(net, "drop", nn.Identity()), r"drop \(a torch.nn.*Dropout was saved, here is a"),
    ],
)  # fmt: skip
def test_a_model_that_is_another_one_is_refused(change: Any, why: str) -> None:
    other = Plain()
    change(other)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(DoesNotFitError, match=why):
        resumed({"net": Plain()}, lambda: {"net": other})
    assert_same(dict(other.state_dict()), before)


@pytest.mark.parametrize("tied", [True, False])
def test_weights_that_are_tied_otherwise_are_refused(tied: bool) -> None:
    def made(tied: bool) -> Any:
        net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        if tied:
            net[1].weight = net[0].weight
        return net

    with pytest.raises(DoesNotFitError, match=r"1.weight \(it is tied to other weights here"):
        resumed({"net": made(tied)}, lambda: {"net": made(not tied)})
    net = made(tied)
    again = resumed({"net": net}, lambda: {"net": made(tied)})["net"]
    assert (again[0].weight is again[1].weight) is tied


def test_a_model_whose_class_moved_goes_on() -> None:
    class Main(Plain):
        pass

    Main.__qualname__, Main.__module__ = "Plain", "__main__"
    again = Main()
    net = Plain()
    net.temperature = 0.25
    resumed({"net": net}, lambda: {"net": again})
    assert again.temperature == 0.25


def compiled(net: Any) -> Any:
    return torch.compile(net, backend="eager")


@pytest.mark.parametrize("before", [lambda net: net, nn.DataParallel, compiled])
@pytest.mark.parametrize("after", [lambda net: net, nn.DataParallel, compiled])
def test_a_model_is_seen_through_its_wrapper(before: Any, after: Any) -> None:
    net, other = Batched(), Batched()
    optimizer = torch.optim.Adam(net.parameters())
    net.drop.p, net.temperature = 0.125, 0.5
    net.first.requires_grad_(False)
    stepped(net, optimizer)
    net.zero_grad()
    again = resumed(
        {"net": before(net), "optimizer": optimizer},
        lambda: {"net": after(other), "optimizer": torch.optim.Adam(other.parameters())},
    )
    assert_same(other, net)
    assert_same(again["optimizer"].state_dict(), optimizer.state_dict())


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_compiled_and_traced_models_go_on_by_their_state() -> None:
    for make in (torch.jit.script, torch.fx.symbolic_trace):
        net, other = make(nn.Sequential(nn.Linear(3, 2))), make(nn.Sequential(nn.Linear(3, 2)))
        resumed({"net": net}, lambda: {"net": other})  # noqa: B023
        assert_same(dict(other.state_dict()), dict(net.state_dict()))


class Wrapping(torch.optim.Optimizer):
    """As libraries wrap one: of the class, but without what its `__init__` makes."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    param_groups = property(lambda self: self.inner.param_groups)
    state = property(lambda self: self.inner.state)

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.inner.load_state_dict(state)


def test_an_optimizer_that_wraps_one_goes_on_by_its_state() -> None:
    def made() -> dict[str, Any]:
        net = nn.Linear(3, 2)
        return {"net": net, "optimizer": Wrapping(torch.optim.Adam(net.parameters()))}

    given = made()
    stepped(given["net"], given["optimizer"].inner)
    again = resumed(given, made)
    assert_same(again["optimizer"].state_dict(), given["optimizer"].state_dict())


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_lazy_module_is_refused_when_the_run_is_made() -> None:
    store = saver.Saver(MemoryStorage())
    with pytest.raises(CannotSaveError, match=r"net.*run one batch through the module first"):
        store.checkpoints("run", {"net": nn.Sequential(nn.LazyLinear(2))}, every=Every(steps=1))


class Forgetful:
    """A metric whose state dict is empty."""

    def __init__(self) -> None:
        self.total = 0

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Tracker:
    """Neither registered nor with a state dict."""


def test_an_empty_state_dict_is_reported_when_the_run_is_made() -> None:
    store = saver.Saver(MemoryStorage())
    with pytest.warns(RuntimeWarning, match=r"metric: state_dict\(\) of this .*Forgetful is empty"):
        store.checkpoints("run", {"metric": Forgetful()}, every=Every(steps=1))


class Metric(nn.Module):
    """As torchmetrics has them: a module with plain attributes and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.values = torch.zeros(()), []
        self.reduce = lambda found: found.sum()

    def add(self, value: float) -> None:
        self.total = self.total + value
        self.values.append(torch.tensor(value))


def test_a_metric_with_plain_attributes_goes_on() -> None:
    metric = Metric()
    metric.add(0.5)
    again = resumed({"metric": metric}, lambda: {"metric": Metric()})["metric"]
    assert again.total.item() == 0.5
    assert again.values == [torch.tensor(0.5)]
    assert again.reduce(torch.ones(2)) == 2


def test_what_has_no_data_form_is_reported_when_the_run_is_made() -> None:
    net = Hooked()
    net.first.tracker = Tracker()
    store = saver.Saver(MemoryStorage())
    with pytest.warns(RuntimeWarning, match=r"not saved, .*: net\.first\.tracker \(a .*Tracker\)"):
        store.checkpoints("run", {"net": net}, every=Every(steps=1))


@pytest.mark.parametrize("hooked", [False, True])
def test_a_sampler_within_a_module_is_reported_when_the_run_is_made(hooked: bool) -> None:
    net = Hooked() if hooked else Plain()
    draw = torch.Generator().manual_seed(1)
    net.sampler = torch.utils.data.RandomSampler(range(9), generator=draw)
    store = saver.Saver(MemoryStorage())
    with pytest.warns(RuntimeWarning, match=r"not saved, .*: net\.sampler \(a .*RandomSampler\)"):
        store.checkpoints("run", {"net": net}, every=Every(steps=1))


def test_a_scaler_that_is_switched_off_is_refused() -> None:
    with pytest.raises(DoesNotFitError, match="it is disabled here"):
        resumed(
            {"scaler": torch.amp.GradScaler("cpu")},
            lambda: {"scaler": torch.amp.GradScaler("cpu", enabled=False)},
        )


def test_a_transfer_names_what_it_does_not_take() -> None:
    net, other = Batched(), Batched()
    net.temperature, net.drop.p = 0.5, 0.25
    net.last.eval()
    net.first.requires_grad_(False)
    store = saver.Saver(MemoryStorage())
    store.save("run", {"net": net})
    report = store.restore("run", {"net": other})
    assert report
    assert set(report.parts["net"].kept) == {
        "temperature", "mean", "drop.p", "last.training",
        "first.weight.requires_grad", "first.bias.requires_grad",
    }  # fmt: skip
    assert "6 were saved otherwise and stay as they are here" in str(report)
    assert (other.temperature, other.drop.p, other.last.training) == (1.0, 0.5, True)


@saver.register
class Trainer:
    """All that training has, in one object."""

    def __init__(self) -> None:
        self.net = Plain()
        self.optimizer = torch.optim.Adam(self.net.parameters())
        self.extra = {"heads": [nn.Linear(1, 1)], "best": 1.0}
        self.numbers, self.weights = np.random.default_rng(1), np.zeros(3)


def test_what_an_object_holds_stays_the_same_objects() -> None:
    trainer, other = Trainer(), Trainer()
    trainer.net.temperature, trainer.extra["best"] = 0.5, 0.25
    stepped(trainer.net, trainer.optimizer)
    trainer.weights += trainer.numbers.random(3)
    held = [other.net, other.optimizer, other.extra["heads"][0], other.numbers, other.weights, other.extra]
    resumed({"trainer": trainer}, lambda: {"trainer": other})
    now = [other.net, other.optimizer, other.extra["heads"][0], other.numbers, other.weights, other.extra]
    assert all(found is before for found, before in zip(now, held, strict=True))
    assert_same(vars(other), vars(trainer))
    assert other.optimizer.param_groups[0]["params"][0] is other.net.first.weight
    assert other.net.first.weight.grad.equal(trainer.net.first.weight.grad)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: {"nets": {"both": (nn.Linear(1, 1), nn.Linear(1, 1))}},
            "both: a resume replaces a tuple",
        ),
        (lambda: {"nets": [{nn.Linear(1, 1)}]}, "nets.0: a resume replaces a set"),
        (lambda: {"net": hiding(Plain())}, "net.pair: a resume replaces a tuple"),
        (lambda: {"array": np.broadcast_to(np.zeros(3), (2, 3))}, "array: the array is read-only"),
        (lambda: {"fixed": Fixed(1)}, "fixed: a .*Fixed is frozen"),
    ],
)
def test_what_a_resume_could_not_fill_is_refused_when_the_run_is_made(make: Any, why: str) -> None:
    with pytest.raises(CannotSaveError, match=why):
        saver.Saver(MemoryStorage()).checkpoints("run", make(), every=Every(steps=1))


def hiding(net: Any) -> Any:
    net.pair = (nn.Linear(1, 1), 3)
    return net


@dataclass(frozen=True)
class Fixed:
    value: int


# Gradients


class Accumulating(Life):
    """Three backward passes for each step of the optimizer; each pass is a step of the run."""

    every = 3

    def train(self, step: int) -> float:
        loss = self.net(torch.randn(6, 3)).square().mean()
        loss.backward()
        if step % self.every == self.every - 1:
            self.optimizer.step()
            self.optimizer.zero_grad()
        return float(loss.detach())


class Ahead(Accumulating):
    """The step of the optimizer comes first, so that the last gradients always wait for it."""

    def train(self, step: int) -> float:
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss = self.net(torch.randn(6, 3)).square().mean()
        loss.backward()
        return float(loss.detach())


@pytest.mark.parametrize("cls", [Accumulating, Ahead])
@pytest.mark.parametrize("net", [Plain, Hooked])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_gradients_that_wait_for_a_step_are_saved(cls: Any, net: Any, stop: int) -> None:
    def make() -> Life:
        return cls(net, "AdamW")

    whole = lives(saver.Saver(MemoryStorage()), make, 7)
    parts = lives(saver.Saver(MemoryStorage()), make, stop, stop + 2, 7)
    assert_same(parts.objects(), whole.objects())


def test_gradients_that_an_optimizer_has_stepped_with_are_not_saved() -> None:
    store = saver.Saver(MemoryStorage())
    lives(store, lambda: Life(Plain, "AdamW"), 2)
    lives(store, lambda: Life(Plain, "AdamW"), 3)
    assert "rest" not in store.load("run", trust=["*"])["net"].__dict__
    assert all("gradients" not in str(store.load(ref, parts=["rest"])) for ref in ("run@1", "run@3"))


def test_sparse_gradients_wait_too() -> None:
    def made() -> dict[str, Any]:
        table = nn.Embedding(5, 2, sparse=True)
        return {"table": table, "optimizer": torch.optim.SGD(table.parameters(), 0.1)}

    given = made()
    given["table"](torch.tensor([1, 3])).sum().backward()
    again = resumed(given, made)
    found, expected = again["table"].weight.grad, given["table"].weight.grad
    assert found.is_sparse
    assert_same(found.to_dense(), expected.to_dense())


def test_without_gradients_a_resume_leaves_none() -> None:
    net, other = Plain(), Plain()
    other(torch.ones(2, 3)).sum().backward()
    resumed({"net": net}, lambda: {"net": other})
    assert all(parameter.grad is None for parameter in other.parameters())


# Hostile files


@pytest.mark.parametrize("form", ["whole", "state"])
@pytest.mark.parametrize("name", ["forward", "_modules", "_parameters", "__class__", "training_step"])
def test_no_attribute_of_a_file_takes_the_place_of_a_method(save: Any, form: str, name: str) -> None:
    net = Hooked() if form == "state" else Growing()
    net.__class__.training_step = lambda self: None
    with pytest.raises(SaverError):
        forge(save, net, "training", lambda attributes: attributes.update({name: 3}))


@pytest.mark.parametrize("form", ["whole", "state"])
@pytest.mark.parametrize(
    "change", [{"groups": 0}, {"padding": Node("list", state=[1 << 40])}, {"in_channels": 7}]
)
def test_what_leads_native_code_astray_is_refused(save: Any, form: str, change: Any) -> None:
    net = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    if form == "state":
        net[0].register_forward_hook(lambda module, given, found: found)
    before = vars(net[0]).copy()
    with pytest.raises(SaverError):
        forge(save, net, "groups", lambda attributes: attributes.update(change))
    assert vars(net[0]) == before


def forge(save: Any, net: Any, having: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Put back what was saved of a module, after a change of its attributes in the file."""
    objects = Objects({"net": net})
    opened = save(objects.state())
    found = [
        item.state["attributes"]
        for tree in opened.trees.values()
        for item in walk(tree.root)
        if type(item) is Node and isinstance(item.state, dict) and "attributes" in item.state
    ]
    states = [each.state if isinstance(each, Node) else each for each in found]
    for attributes in states:
        if having in attributes:
            change(attributes)
    assert any(having in attributes for attributes in states)
    objects.put_back(forged(opened), "*")


@pytest.mark.parametrize(
    ("given", "fresh"),
    [
        (np.ones(3, "f8"), lambda: np.ones(3, "f4")),
        (torch.ones(3, dtype=torch.float64), lambda: torch.ones(3)),
        (nn.Parameter(torch.ones(3)), lambda: nn.Parameter(torch.ones(3).half())),
    ],
)
def test_a_dtype_is_not_converted_by_a_resume(given: Any, fresh: Any) -> None:
    with pytest.raises(DoesNotFitError, match=r"saved as float.*, here float"):
        resumed({"weights": given}, lambda: {"weights": fresh()})


def test_a_tensor_by_itself_is_frozen_again() -> None:
    weight = nn.Parameter(torch.ones(3), requires_grad=False)
    again = resumed({"weights": weight}, lambda: {"weights": nn.Parameter(torch.zeros(3))})
    assert not again["weights"].requires_grad


STRANGE: list[Any] = [
    None, 5, -1, 1 << 70, 1.5, "x", "", [], {}, [1, 2], {"a": 1}, True, Tensor("nowhere"),
    Reference("net/1"), Reference("optimizer/1"),
    Node("list", state=[1]), Node("dict", state={"a": 1}), Node("function", cls="os:system"),
    Node("torch.Tensor", state={"data": "00000000", "dtype": "float32"}),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(120))
def test_whatever_a_tree_says_it_fits_or_nothing_is_changed(save: Any, seed: int) -> None:
    chance = random.Random(seed)
    life = Life((Batched, Nested, Hooked, Recurrent)[seed % 4], "AdamW")
    for step in range(2):
        life.train(step)
    life.net(torch.ones(2, 3)).sum().backward()
    objects = Objects(life.objects())
    opened = save(objects.state())
    part = chance.choice([name for name in opened.trees if name != "rate"])
    for _ in range(chance.choice((1, 1, 3))):
        container, key = chance.choice(places_of(opened.trees[part].root))
        strange = copy.deepcopy(chance.choice(STRANGE))
        if isinstance(container, Node):
            names = {"codec": ["dict", "torch.Module", "no.codec"], "cls": ["os:system", "no name", None]}
            setattr(container, key, chance.choice(names.get(key, [strange])))
        else:
            container[key] = strange
    whole = copy.deepcopy({name: vars(obj) for name, obj in objects.live.items() if name == "net"})
    try:
        objects.put_back(forged(opened), "*")
    except SaverError as error:
        if "had been restored" not in str(error) and "failed" not in str(error):
            life.net.zero_grad()  # which a deep copy does not have
            assert_same({"net": vars(life.net)}, whole)


def test_a_file_cannot_have_integers_trained(save: Any) -> None:
    """Refused before anything is changed, not when PyTorch refuses it in the middle."""
    net = nn.Sequential(nn.Linear(2, 2))
    net[0].counts = nn.Parameter(torch.arange(3), requires_grad=False)
    net.register_forward_hook(lambda *_: None)
    objects = Objects({"net": net})
    opened = save(objects.state())
    states = [
        item.state
        for tree in opened.trees.values()
        for item in walk(tree.root)
        if type(item) is Node and isinstance(item.state, dict) and "frozen" in item.state
    ]
    assert states
    for state in states:
        state["frozen"] = Node("list", state=[]) if isinstance(state["frozen"], Node) else []
    with torch.no_grad():
        net[0].weight.add_(1)
    before = net[0].weight.clone()
    with pytest.raises(SaverError, match="cannot be trained"):
        objects.put_back(forged(opened), "*")
    assert torch.equal(net[0].weight, before)
