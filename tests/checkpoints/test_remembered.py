"""What the code of a run's objects remembers outside of them is named when the run is made."""

from __future__ import annotations

import functools
import itertools
import random
import warnings
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn

TOTAL = 0
SEEN: list[int] = []
COUNTS: Counter[str] = Counter()
SIZES = [2, 3]
RATES = {"slow": 0.1}


class Settings:
    scale = 1.0


class Meter:
    """An object of the user's, with state."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *given: Any) -> Any:
        self.calls += 1
        return given[0]

    def observe(self, x: Any) -> Any:
        self.calls += 1
        return x


class Net(nn.Module):
    """A module with a function of its own."""

    def __init__(self, act: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.act = act

    def forward(self, x: Any) -> Any:
        return self.act(self.layer(x))


def counting() -> Any:
    count = 0

    def act(x: Any) -> Any:
        nonlocal count
        count += 1
        return x * count

    return act


def holding(item: Any, use: Callable[[Any, Any], Any]) -> Any:
    return lambda x: use(item, x)


def listing() -> Any:
    seen: list[Any] = []

    def act(x: Any) -> Any:
        seen.append(x)
        return x

    return act


def averaging() -> Any:
    mean = torch.zeros(2)

    def act(x: Any) -> Any:
        mean.mul_(0.9).add_(x.mean(0))
        return x - mean

    return act


def drawing(generator: Any) -> Any:
    def act(x: Any) -> Any:
        return x * generator.random()

    return act


def calling(inner: Any) -> Any:
    def act(x: Any) -> Any:
        return inner(x)

    return act


def decorated() -> Any:
    inner = counting()

    @functools.wraps(inner)
    def act(x: Any) -> Any:
        return inner(x)

    return act


def total(x: Any) -> Any:
    global TOTAL
    TOTAL += 1
    return x


def seen(x: Any) -> Any:
    SEEN.append(len(x))
    return x


def counted(x: Any) -> Any:
    COUNTS["x"] += 1
    return x


def through_another(x: Any) -> Any:
    return seen(x)


def of_a_class(x: Any) -> Any:
    Settings.scale *= 0.9
    return x


def of_itself(x: Any) -> Any:
    of_itself.count += 1  # type: ignore[attr-defined]
    return x


def of_its_default(x: Any, before: list[Any] = []) -> Any:  # noqa: B006
    before.append(x)
    return x


class Shared(Net):
    """Changes what belongs to its class."""

    steps = 0
    history: list[int] = []  # noqa: RUF012

    def forward(self, x: Any) -> Any:
        type(self).steps += 1
        self.history.append(len(x))
        return x


class Globally(Net):
    def forward(self, x: Any) -> Any:
        SEEN.append(1)
        return x


def hooked(hook: Any) -> Any:
    net = Net(torch.relu)
    net.layer.register_forward_hook(hook)
    return net


def scheduled(rate: Any) -> Any:
    net = nn.Linear(2, 2)
    return torch.optim.lr_scheduler.LambdaLR(torch.optim.SGD(net.parameters(), 0.1), rate)


REMEMBERS: dict[str, tuple[Callable[[], Any], str]] = {
    "a counter": (lambda: Net(counting()), r"it\.act \(its closure changes 'count'\)"),
    "a list": (lambda: Net(listing()), r"it\.act \(its closure changes 'seen'\)"),
    "a tensor": (lambda: Net(averaging()), r"it\.act \(its closure changes 'mean'\)"),
    "a generator of Python": (lambda: Net(drawing(random.Random(1))), "holds 'generator': a random.Random"),
    "a generator of NumPy": (lambda: Net(drawing(np.random.default_rng(1))), "a numpy.*Generator"),
    "another module": (lambda: Net(calling(nn.BatchNorm1d(2))), r"'inner': a torch.*BatchNorm1d"),
    "an object": (lambda: Net(calling(Meter())), "'inner': a .*Meter"),
    "a function within": (lambda: Net(calling(counting())), "its closure changes 'count'"),
    "a decorated function": (lambda: Net(decorated()), "its closure changes 'count'"),
    "an iterator": (
        lambda: Net(functools.partial(holding(itertools.count(), lambda item, x: next(item) * x))),
        r"'item': an itertools\.count",
    ),
    "a partial": (lambda: Net(functools.partial(counting())), "its closure changes 'count'"),
    "an argument of a partial": (
        lambda: Net(functools.partial(torch.add, Meter())), "an argument: a .*Meter",
    ),
    "a method": (lambda: Net(Meter().observe), "its method of a .*Meter"),
    "a global": (lambda: Net(total), "changes the global 'TOTAL'"),
    "a global list": (lambda: Net(seen), "changes the global 'SEEN'"),
    "a global dict": (lambda: Net(counted), "changes the global 'COUNTS'"),
    "a global of a function that it calls": (lambda: Net(through_another), "changes the global 'SEEN'"),
    "an attribute of a class": (lambda: Net(of_a_class), r"changes the global 'Settings\.scale'"),
    "an attribute of a function": (lambda: Net(of_itself), r"changes the global 'of_itself\.count'"),
    "a default": (lambda: Net(of_its_default), "changes its default 'before'"),
    "its class": (lambda: Shared(torch.relu), r"it \(it changes Shared\.steps, an attribute of the class\)"),
    "a list of its class": (lambda: Shared(torch.relu), r"it changes Shared\.history"),
    "globals of a method": (lambda: Globally(torch.relu), r"it \(it changes the global 'SEEN'\)"),
    "a hook": (lambda: hooked(lambda *_: SEEN.append(1)), r"it\.layer\._forward_hooks .*'SEEN'"),
    "an object as a hook": (lambda: hooked(Meter()), r"it\.layer\._forward_hooks \(a hook: a .*Meter\)"),
    "a schedule": (lambda: scheduled(lambda step: SEEN.append(step) or 1.0), r"it\.lr_lambdas\[0\] .*'SEEN'"),
}  # fmt: skip


def made(obj: Any) -> None:
    objects = {"it": obj, "steers": getattr(obj, "optimizer", [])}
    saver.Saver("memory://").checkpoints("run", objects, every=Every(steps=9), progress=False)


@pytest.mark.parametrize("case", REMEMBERS)
def test_what_code_remembers_is_named_when_the_run_is_made(case: str) -> None:
    make, why = REMEMBERS[case]
    with pytest.warns(RuntimeWarning, match=rf"not saved, because it is outside of the objects: .*{why}"):
        made(make())


class Ordinary(nn.Module):
    """Uses much, and remembers nothing elsewhere."""

    names = ("layer",)
    sizes = [2, 2]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(*self.sizes)
        self.seen: list[float] = []
        self.recent = deque([0.0], 3)
        self.register_buffer("mean", torch.zeros(2))
        self.layer.register_forward_hook(lambda module, given, out: self.seen.append(1.0))
        self.layer.register_forward_hook(self.note)
        self.rates = dict(RATES)
        self.act: Any = functools.partial(nn.functional.dropout, p=0.5)
        self.shape = lambda x: x.view(-1, *SIZES[:1])

    def note(self, *given: Any) -> None:
        self.mean += 1
        self.recent.append(len(self.seen))

    def forward(self, x: Any) -> Any:
        found = list[Any]()
        for size in SIZES:
            found.insert(0, x * size * RATES["slow"])
        self.rates["slow"] = self.rates.get("slow", 0.0) * 0.9
        self.steps = Settings.scale
        torch.backends.cudnn.benchmark = False
        return torch.stack(found).mul_(2).add_(1)

    @torch.no_grad()
    def reset(self) -> None:
        self.mean.zero_()


def reading(item: Any) -> Any:
    def act(x: Any) -> Any:
        return x.reshape(len(x), *item)

    return act


def with_a_method(net: Any) -> Any:
    net.act = net.extra_repr
    return net


SILENT: dict[str, Callable[[], Any]] = {
    "a module that holds its state": Ordinary,
    "a closure over numbers": lambda: Net(reading((2,))),
    "a closure over a list that it reads": lambda: Net(reading([2])),
    "a method of its own": lambda: next(
        net for net in [Net()] if setattr(net, "act", net.extra_repr) is None
    ),
    "a function of PyTorch": lambda: Net(nn.functional.gelu),
    "a partial": lambda: Net(functools.partial(nn.functional.leaky_relu, negative_slope=0.2)),
    "a schedule": lambda: scheduled(lambda step: 0.9**step),
    "weights with a norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    "a transformer": lambda: nn.TransformerEncoderLayer(4, 2, activation=lambda x: torch.relu(x)),
}


@pytest.mark.parametrize("case", SILENT)
def test_code_that_remembers_nothing_elsewhere_is_not_reported(case: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(SILENT[case]())


def test_what_a_closure_shares_with_the_objects_is_saved() -> None:
    seen: list[Any] = []
    meter = nn.BatchNorm1d(2)

    def act(x: Any) -> Any:
        seen.append(1)
        return meter(x)

    net = Net(act)
    with pytest.warns(RuntimeWarning, match="'meter'.*'seen'"):
        made(net)
    net.seen, net.meter = seen, meter
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(net)
