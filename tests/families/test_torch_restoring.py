from __future__ import annotations

import copy
import random
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import SWALR, AveragedModel
from torch.utils._python_dispatch import TorchDispatchMode

import saver
from forging import forged, places_of
from saver.errors import (
    DamagedError,
    DoesNotFitError,
    IncompatibleError,
    NotFoundError,
    SaverError,
    UntrustedError,
)
from saver.opened import Opened
from saver.opening import open_file
from saver.restoring import restore
from saver.tree import Node, Reference, Tensor

Save = Callable[[Any], Opened]


def bits(tensor: Any) -> bytes:
    """The elements in C order."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    plain = torch.view_as_real(plain) if plain.is_complex() else plain
    carrier = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[plain.dtype.itemsize]
    return bytes(plain.view(carrier).contiguous().numpy().tobytes())


def same(found: Any, expected: Any) -> bool:
    """Whether states are equal to the bit."""
    if isinstance(expected, torch.Tensor):
        return found.dtype == expected.dtype and bits(found) == bits(expected)
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    return bool(found == expected and type(found) is type(expected))


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Any) -> Any:
        return x + F.relu(self.norm(self.conv(x)))


class Vision(nn.Module):
    """A small residual network."""

    def __init__(self, classes: int = 10, channels: int = 8) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3)
        self.blocks = nn.Sequential(Block(channels), Block(channels))
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Detector(nn.Module):
    """Another head on the same backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Vision()
        self.box = nn.Linear(8, 4)


class Language(nn.Module):
    """A transformer whose output layer is its embedding."""

    def __init__(self, tied: bool = True) -> None:
        super().__init__()
        self.embedding = nn.Embedding(37, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(16, 37, bias=False)
        if tied:
            self.out.weight = self.embedding.weight
        self.register_buffer("positions", torch.arange(8), persistent=False)

    def forward(self, x: Any) -> Any:
        return self.out(self.layers(self.embedding(x) + self.positions[None, :, None]))


def seeded(make: Callable[[], Any], seed: int) -> Any:
    torch.manual_seed(seed)
    return make()


def forms(**objects: Any) -> dict[str, Any]:
    """Both ways in which people save: the objects themselves, and their state dicts."""
    return {"whole": objects, "state": {name: item.state_dict() for name, item in objects.items()}}


# Training goes on as if nothing had happened

_IMAGES = torch.randn(12, 4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
_LABELS = torch.randint(0, 10, (12, 4), generator=torch.Generator().manual_seed(2))

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: torch.optim.SGD(p, 0.01),
    "momentum": lambda p: torch.optim.SGD(p, 0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
    "Adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, 0.01),
    "fused": lambda p: torch.optim.AdamW(p, 0.01, fused=True),
    "tensor rate": lambda p: torch.optim.Adam(p, torch.tensor(0.01)),
    "RMSprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "Adadelta": lambda p: torch.optim.Adadelta(p),
    "Adamax": lambda p: torch.optim.Adamax(p),
    "NAdam": lambda p: torch.optim.NAdam(p),
    "RAdam": lambda p: torch.optim.RAdam(p),
    "ASGD": lambda p: torch.optim.ASGD(p, 0.01),
    "Rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "LBFGS": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
}
if hasattr(torch.optim, "Adafactor"):  # new in torch 2.5
    OPTIMIZERS["Adafactor"] = lambda p: torch.optim.Adafactor(p, 0.01)


def decay(epoch: int) -> float:
    return 0.9**epoch


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "cosine": lambda o: schedules.CosineAnnealingLR(o, 20),
    "one cycle": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=20, cycle_momentum=False),
    "sequential": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, total_iters=3), schedules.ExponentialLR(o, 0.9)], [3]
    ),
    "chained": lambda o: schedules.ChainedScheduler([schedules.ConstantLR(o), schedules.StepLR(o, 2)]),
    "lambda": lambda o: schedules.LambdaLR(o, decay),
    "cyclic": lambda o: schedules.CyclicLR(o, 0.01, 0.1, step_size_up=4, cycle_momentum=False),
    "warm restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 4),
    "averaging": lambda o: SWALR(o, 0.05, anneal_epochs=4),
}


def train(net: Any, optimizer: Any, scheduler: Any, steps: range) -> None:
    for step in steps:

        def closure(step: int = step) -> Any:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(_IMAGES[step]), _LABELS[step])
            loss.backward()
            return loss

        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["whole", "state"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_to_the_bit_with_every_optimizer(save: Save, name: str, form: str) -> None:
    net = seeded(Vision, 1)
    optimizer = OPTIMIZERS[name](net.parameters())
    train(net, optimizer, None, range(5))
    opened = save(forms(model=net, optimizer=optimizer)[form])
    reference = copy.deepcopy(optimizer.state_dict())
    train(net, optimizer, None, range(5, 10))

    for warm in (0, 2):  # into what is fresh, and into what has been used
        other = seeded(Vision, 2)
        again = OPTIMIZERS[name](other.parameters())
        train(other, again, None, range(warm))
        assert restore(opened, {"model": other, "optimizer": again})
        assert same(again.state_dict(), reference)
        train(other, again, None, range(5, 10))
        assert same(other.state_dict(), net.state_dict())
        assert same(again.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize("form", ["whole", "state"])
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:.*the epoch parameter:UserWarning")  # SequentialLR warns of itself
def test_training_goes_on_to_the_bit_with_every_schedule(save: Save, name: str, form: str) -> None:
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    scheduler = SCHEDULES[name](optimizer)
    train(net, optimizer, scheduler, range(5))
    opened = save(forms(model=net, optimizer=optimizer, scheduler=scheduler)[form])
    train(net, optimizer, scheduler, range(5, 10))

    other = seeded(Vision, 2)
    again = torch.optim.AdamW(other.parameters(), 0.5)
    follower = SCHEDULES[name](again)
    assert restore(opened, {"scheduler": follower, "optimizer": again, "model": other})
    train(other, again, follower, range(5, 10))
    assert same(other.state_dict(), net.state_dict())
    assert same(again.state_dict(), optimizer.state_dict())
    assert same(follower.state_dict(), scheduler.state_dict())
    assert follower.optimizer is again


@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_the_function_that_older_versions_have_in_the_state_of_an_average_stays(
    strategy: str, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in torch 2.4, where the state dict of SWALR holds all of its attributes."""

    def everything(self: Any) -> dict[str, Any]:
        return {name: item for name, item in vars(self).items() if name != "optimizer"}

    monkeypatch.setattr(SWALR, "state_dict", everything)

    def made(rate: float) -> Any:
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], rate)
        found = SWALR(optimizer, 0.05, anneal_epochs=4, anneal_strategy=strategy)
        optimizer.step()
        return found

    before = made(0.1)
    before.step()
    assert "anneal_func" in before.state_dict()
    for saved in forms(scheduler=before).values():
        again = made(0.2)
        own = again.anneal_func
        assert restore(save(saved), {"scheduler": again})
        assert again.last_epoch == before.last_epoch
        assert again.anneal_func == own


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("form", ["whole", "state"])
def test_options_keep_their_order(save: Save, form: str, loaded: bool) -> None:
    """Though torch's `load_state_dict` changes it: otherwise it would be taken for a difference."""

    def make() -> Any:
        net = nn.Linear(3, 2)
        optimizer = torch.optim.AdamW([{"params": [net.weight], "lr": 0.1}, {"params": [net.bias]}])
        schedules.CosineAnnealingLR(optimizer, 10)
        return optimizer

    optimizer, again = make(), make()
    if loaded and form == "whole":
        optimizer.load_state_dict(optimizer.state_dict())
    restore(save(forms(optimizer=optimizer)[form]), {"optimizer": again})
    assert [list(group) for group in again.param_groups] == [list(group) for group in optimizer.param_groups]


@pytest.mark.parametrize("form", ["whole", "state"])
def test_a_plateau_is_remembered(save: Save, form: str) -> None:
    def make() -> tuple[Any, Any]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(3))], 0.1)
        return optimizer, schedules.ReduceLROnPlateau(optimizer, patience=2, mode="max")

    optimizer, scheduler = make()
    for value in (1.0, 0.5):
        scheduler.step(value)
    again, follower = make()
    restore(
        save(forms(optimizer=optimizer, scheduler=scheduler)[form]),
        {"optimizer": again, "scheduler": follower},
    )
    for value in (0.4, 0.3, 0.2):
        scheduler.step(value)
        follower.step(value)
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    assert same(follower.state_dict(), scheduler.state_dict())


@pytest.mark.parametrize("form", ["whole", "state"])
def test_a_gradient_scaler_goes_on(save: Save, form: str) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    parameter = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], 0.1)
    scaler.scale(parameter.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    opened = save(forms(scaler=scaler)[form])
    for used in (False, True):
        other = torch.amp.GradScaler("cpu")
        if used:
            other.scale(torch.ones(1))
        assert restore(opened, {"scaler": other})
        assert other.state_dict() == scaler.state_dict()
    off = torch.amp.GradScaler("cpu", enabled=False)
    restore(opened, {"scaler": off})
    assert off.state_dict() == {}
    with pytest.raises(DoesNotFitError, match="5 were not saved: scale"):
        restore(save(forms(scaler=off)[form]), {"scaler": torch.amp.GradScaler("cpu")})


# Modules, in place


@pytest.mark.parametrize("form", ["whole", "state"])
@pytest.mark.parametrize("make", [Vision, Language, lambda: nn.LSTM(5, 7, 2), lambda: Vision().bfloat16()])
def test_values_go_into_the_parameters_that_are_there(save: Save, make: Any, form: str) -> None:
    net, other = seeded(make, 1), seeded(make, 2)
    for parameter in list(other.parameters())[::2]:
        parameter.requires_grad_(False)
    before = {
        name: (tensor, tensor.data_ptr(), tensor.requires_grad, tensor.stride())
        for name, tensor in other.state_dict(keep_vars=True).items()
    }
    assert restore(save(forms(model=net)[form]), {"model": other})
    after = other.state_dict(keep_vars=True)
    for name, (tensor, address, grad, stride) in before.items():
        assert after[name] is tensor
        assert (tensor.data_ptr(), tensor.requires_grad, tensor.stride()) == (address, grad, stride)
    assert same(other.state_dict(), net.state_dict())


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_memory_formats_stay_those_of_the_target(save: Save, memory_format: Any) -> None:
    net = seeded(Vision, 1).to(memory_format=torch.channels_last)
    other = seeded(Vision, 2).to(memory_format=memory_format)
    stride = other.stem.weight.stride()
    restore(save(net), other)
    assert other.stem.weight.stride() == stride
    assert same(other.state_dict(), net.state_dict())


def test_views_and_parameters_of_any_layout_take_their_elements(save: Save) -> None:
    def make() -> Any:
        net = nn.Module()
        flat = torch.randn(40)
        net.first = nn.Parameter(flat[3:15].view(3, 4))
        net.second = nn.Parameter(flat[20:40:2])
        net.turned = nn.Parameter(torch.randn(4, 6).t())
        net.register_buffer("wave", torch.randn(3, dtype=torch.complex64).conj())
        net.register_buffer("mask", torch.tensor([True, False]))
        net.register_buffer("nothing", torch.empty(0, 3))
        net.register_buffer("none", None)
        return net

    net, other = seeded(make, 1), seeded(make, 2)
    restore(save(net), other)
    assert same(other.state_dict(), net.state_dict())
    assert other.first.untyped_storage().data_ptr() == other.second.untyped_storage().data_ptr()


def test_sparse_parameters_are_restored(save: Save) -> None:
    def make(value: float) -> Any:
        net = nn.Module()
        net.register_buffer("sparse", torch.eye(4).mul(value).to_sparse())
        return net

    other = make(2.0)
    restore(save(make(1.0)), other)
    assert torch.equal(other.sparse.to_dense(), torch.eye(4))
    dense = nn.Module()
    dense.register_buffer("sparse", torch.eye(4))
    with pytest.raises(DoesNotFitError, match=r"saved as torch.sparse_coo, here torch.strided"):
        restore(save(make(1.0)), dense)


KINDS = st.sampled_from(["float64", "float32", "float16", "bfloat16", "int32", "bool", "complex64"])


@given(KINDS, KINDS)
@settings(max_examples=49)
def test_dtypes_are_converted_as_torch_does_but_never_cut_off(save: Save, saved_as: str, here: str) -> None:
    value = (torch.randn(50) * 3).to(getattr(torch, saved_as))
    target = torch.zeros(50, dtype=getattr(torch, here))
    opened = save(value)
    if not torch.can_cast(value.dtype, target.dtype):
        with pytest.raises(DoesNotFitError, match=f"{saved_as} cannot be converted to {here}"):
            restore(opened, target)
        assert not target.any()
        return
    report = restore(opened, target)
    assert bits(target) == bits(value.to(target.dtype))
    assert [(c.saved, c.target) for c in report.parts["model"].converted] == (
        [] if saved_as == here else [(saved_as, here)]
    )


def test_a_tied_weight_stays_tied(save: Save) -> None:
    net, other = seeded(Language, 1), seeded(Language, 2)
    restore(save(net), other)
    assert other.out.weight is other.embedding.weight
    untied = seeded(lambda: Language(tied=False), 3)
    restore(save(net), untied)
    assert untied.out.weight is not untied.embedding.weight
    assert bits(untied.out.weight) == bits(untied.embedding.weight) == bits(net.out.weight)


def test_one_name_of_a_tied_weight_is_enough(save: Save) -> None:
    net, other = seeded(Language, 1), seeded(Language, 2)
    state = net.state_dict()
    del state["out.weight"]
    report = restore(save({"model": state}), {"model": other})
    assert report.parts["model"].missing == ()
    assert bits(other.out.weight) == bits(net.embedding.weight)


def test_a_tied_weight_cannot_take_two_values(save: Save) -> None:
    net, other = seeded(lambda: Language(tied=False), 1), seeded(Language, 2)
    with pytest.raises(
        DoesNotFitError, match=r"it is the same tensor as embedding.weight, which was saved with other"
    ):
        restore(save(net), other)


def test_buffers_that_are_not_persistent_are_not_state(save: Save) -> None:
    net, other = seeded(Language, 1), seeded(Language, 2)
    net.positions += 1
    assert restore(save(net), other)
    assert other.positions.tolist() == list(range(8))
    persistent = seeded(Language, 3)
    persistent.register_buffer("positions", torch.zeros(8, dtype=torch.int64))
    assert restore(save(net), persistent)
    assert persistent.positions.tolist() == list(range(1, 9))
    with pytest.raises(DoesNotFitError, match="1 are not in the target: positions"):
        restore(save(persistent), other)


def test_a_class_that_is_not_there_is_no_hindrance(save: Save) -> None:
    package = types.ModuleType("some_package")
    sys.modules["some_package"] = package

    class Net(Vision):
        pass

    Net.__module__, Net.__qualname__ = "some_package", "Net"
    package.Net = Net  # type: ignore[attr-defined]
    net = seeded(Net, 1)
    net.stem.weight.origin = Net  # type: ignore[assignment]
    opened = save({"model": net})
    del sys.modules["some_package"]
    with pytest.raises(UntrustedError, match=r"some_package\.Net"):
        saver.load(opened.where)
    other = seeded(Vision, 2)
    restore(opened, {"model": other})
    assert same(other.state_dict(), net.state_dict())
    assert "some_package" not in sys.modules


def test_nothing_is_copied_twice(save: Save) -> None:
    class Watch(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.new: dict[str, int] = {}
            self.met: set[str] = set()

        def __torch_dispatch__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            self.met.add(str(function))
            if str(function).startswith(("aten.empty", "aten.clone", "aten._to_copy", "aten.zeros")):
                self.new[str(function)] = self.new.get(str(function), 0) + found.numel()
            return found

    net, other = seeded(Vision, 1), seeded(Vision, 2)
    other.to(memory_format=torch.channels_last)
    opened = save(net)
    with Watch() as watch:
        restore(opened, other)
    assert sum(watch.new.values()) == 0
    assert any("copy_" in name for name in watch.met)
    assert same(other.state_dict(), net.state_dict())


def test_autograd_notices_that_values_changed(save: Save) -> None:
    for net, other in ((nn.Linear(3, 3), nn.Linear(3, 3)), (nn.Linear(3, 3).double(), nn.Linear(3, 3))):
        opened = save(net)
        loss = (other.weight**2).sum()
        restore(opened, other)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


# What does not fit


def test_a_new_head_keeps_its_own_weights(save: Save) -> None:
    net, other = seeded(Vision, 1), seeded(lambda: Vision(classes=3), 2)
    head = bits(other.head.weight)
    before = copy.deepcopy(other.state_dict())
    opened = save({"model": net})
    with pytest.raises(
        DoesNotFitError, match=r"head.weight \(saved \[10, 8\], here \[3, 8\]\), head.bias"
    ) as caught:
        restore(opened, {"model": other})
    assert same(other.state_dict(), before)
    report = restore(opened, {"model": other}, strict=False)
    assert report.parts == caught.value.report.parts
    assert [m.name for m in report.parts["model"].mismatched] == ["head.weight", "head.bias"]
    assert bits(other.head.weight) == head
    assert bits(other.blocks[1].conv.weight) == bits(net.blocks[1].conv.weight)


def test_a_backbone_goes_into_a_model_that_calls_it_otherwise(save: Save) -> None:
    net, other = seeded(Vision, 1), seeded(Detector, 2)
    opened = save({"model": net})
    box = bits(other.box.weight)
    with pytest.raises(DoesNotFitError, match=r"names=\{'': 'backbone.'\} would match more"):
        restore(opened, {"model": other})
    report = restore(opened, {"model": other}, names={"": "backbone."}, strict=False)
    assert report.parts["model"].missing == ("box.weight", "box.bias")
    assert same(other.backbone.state_dict(), net.state_dict())
    assert bits(other.box.weight) == box

    back = seeded(Vision, 3)
    report = restore(save({"model": other}), {"model": back}, names={"backbone": "", "box": None})
    assert report
    assert report.parts["model"].left_out == ("box.weight", "box.bias")
    assert same(back.state_dict(), net.state_dict())


NAME = st.sampled_from([f"{a}{b}" for a in "abc" for b in "xyz"])
NAMES = st.lists(NAME, unique=True, min_size=1)


@given(NAMES, NAMES, st.dictionaries(NAME, NAME))
@settings(max_examples=80)
def test_what_matches_by_name_is_copied_and_the_rest_is_reported(
    save: Save, saved_names: list[str], target_names: list[str], renames: dict[str, str]
) -> None:
    new_names = [renames.get(name, name) for name in saved_names]
    net, other = nn.ParameterDict(), nn.ParameterDict()
    for number, name in enumerate(saved_names):
        net[name] = nn.Parameter(torch.full((3,), float(number + 1)))
    for name in target_names:
        other[name] = nn.Parameter(torch.zeros(3))
    opened = save({"model": net})
    if len(set(new_names)) < len(new_names):
        with pytest.raises(DoesNotFitError, match="to both"):
            restore(opened, {"model": other}, names=lambda name: renames.get(name, name))
        return
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        report = restore(
            opened, {"model": other}, strict=False, names=lambda name: renames.get(name, name)
        ).parts["model"]
    assert ["no name matched" in str(each.message) for each in met] == [True] * (not report.matched)
    assert set(report.matched) == set(new_names) & set(target_names)
    assert set(report.missing) == set(target_names) - set(new_names)
    assert set(report.unexpected) == set(new_names) - set(target_names)
    for name in target_names:
        expected = new_names.index(name) + 1 if name in new_names else 0
        assert other[name].tolist() == [expected] * 3


def test_names_lead_where_they_say() -> None:
    from saver.restoring import Naming

    naming = Naming({"fc.weight": "head.w", "fc": "last", "fc.bias": None, "encoder.": "", "": "all."})
    found = {name: naming(name) for name in ("fc.weight", "fc.bias", "fc.x.y", "fcx", "encoder.a", "encoder")}
    assert found == {
        "fc.weight": "head.w", "fc.bias": None, "fc.x.y": "last.x.y", "fcx": "all.fcx", "encoder.a": "a",
        "encoder": "all.encoder",
    }  # fmt: skip
    with pytest.raises(TypeError, match="gives 5 for 'a'"):
        Naming(lambda name: 5)("a")  # type: ignore[arg-type,return-value]
    naming = Naming({"typo.": "b."})
    naming("encoder.weight")
    with pytest.raises(DoesNotFitError, match=r"'typo.', but the saved names begin with encoder"):
        naming.check("here")


def test_wrappers_are_seen_through(save: Save) -> None:
    class Compiled(nn.Module):
        """What `torch.compile` makes, as far as names go."""

        def __init__(self, inner: Any) -> None:
            super().__init__()
            self._orig_mod = inner

    net = seeded(Vision, 1)
    plain = save({"model": net})
    wrapped = [
        save({"model": Compiled(net).state_dict()}),
        save({"model": nn.DataParallel(net).state_dict()}),
        save({"model": nn.DataParallel(Compiled(net)).state_dict()}),
    ]
    partly = copy.deepcopy(net)
    partly.blocks[0] = Compiled(partly.blocks[0])
    for opened in [*wrapped, save({"model": partly.state_dict()})]:
        other = seeded(Vision, 2)
        assert restore(opened, {"model": other})
        assert same(other.state_dict(), net.state_dict())
    for opened in (plain, *wrapped):
        for wrap in (Compiled, nn.DataParallel):
            other = seeded(Vision, 2)
            assert restore(opened, {"model": wrap(other)})
            assert same(other.state_dict(), net.state_dict())


def test_averaged_weights_are_restored(save: Save) -> None:
    net = AveragedModel(seeded(Vision, 1))
    net.update_parameters(seeded(Vision, 2))
    for form in forms(model=net).values():
        other = AveragedModel(seeded(Vision, 3))
        assert restore(save(form), {"model": other})
        assert same(other.state_dict(), net.state_dict())


def test_a_state_dict_that_was_saved_by_itself_is_restored(save: Save) -> None:
    net = seeded(Vision, 1)
    nested = {
        "stem": net.stem.state_dict(),
        "blocks": net.blocks.state_dict(),
        "head": dict(net.head.state_dict()),
    }
    many = OrderedDict((f"deep.{n}.{k}", v) for n in range(10) for k, v in net.state_dict().items())
    for state in (net.state_dict(), dict(net.state_dict()), {"model": nested}):
        other = seeded(Vision, 2)
        assert restore(save(state), other)
        assert same(other.state_dict(), net.state_dict())
    deep = nn.Module()
    deep.deep = nn.ModuleList(seeded(Vision, n) for n in range(10))
    assert restore(save(dict(many)), deep)
    assert same(dict(deep.state_dict()), dict(many))


def test_a_checkpoint_within_a_dict_is_found_with_names(save: Save) -> None:
    net, other = seeded(Vision, 1), seeded(Vision, 2)
    opened = save({"checkpoint": {"state_dict": net.state_dict(), "epoch": 3}})
    with pytest.raises(DoesNotFitError, match=r"names=\{'state_dict.': ''\} would match more"):
        restore(opened, {"checkpoint": other})
    assert restore(opened, {"checkpoint": other}, names={"state_dict.": "", "epoch": None})
    assert same(other.state_dict(), net.state_dict())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: nn.Linear(3, 3, device="meta"), "it has no data; give it some with `to_empty"),
        (lambda: _changed(nn.Linear(3, 3), "bias", torch.zeros(1).expand(3)), "its elements share memory"),
        (lambda: _changed(nn.Linear(3, 3), "bias", _inferred()), "it was made in inference mode"),
    ],
)
def test_what_cannot_be_written_to_is_reported(save: Save, make: Any, why: str) -> None:
    with pytest.raises(DoesNotFitError, match=why):
        restore(save(nn.Linear(3, 3)), make())


def _changed(net: Any, name: str, value: Any) -> Any:
    setattr(net, name, nn.Parameter(value, requires_grad=False))
    return net


def _inferred() -> Any:
    with torch.inference_mode():
        return torch.zeros(3)


def test_other_kinds_are_refused(save: Save) -> None:
    net = nn.Linear(3, 3)
    adam, sgd = torch.optim.Adam(net.parameters()), torch.optim.SGD(net.parameters(), 0.1)
    cosine, steps = schedules.CosineAnnealingLR(sgd, 5), schedules.StepLR(sgd, 5)
    for value, target, why in [
        (np.zeros(3), net, "neither a module nor a state dict"),
        (adam, sgd, "torch.optim.adam.Adam was saved, not a torch.optim.sgd.SGD"),
        ({"lr": 0.1}, sgd, "neither an optimizer nor its state dict"),
        (cosine, steps, "CosineAnnealingLR was saved, not a .*StepLR"),
        ([1], steps, "neither a scheduler nor its state dict"),
        ([1], torch.amp.GradScaler("cpu"), "neither a gradient scaler nor its state dict"),
        ([1], torch.zeros(1), "not a tensor"),
        ([1], torch.Generator(), "not a random generator"),
    ]:
        with pytest.raises(DoesNotFitError, match=why):
            restore(save({"part": value}), {"part": target})


def test_a_name_that_is_not_a_tensor_is_reported(save: Save) -> None:
    state = {**nn.Linear(3, 3).state_dict(), "bias": [1.0, 2.0, 3.0]}
    with pytest.raises(DoesNotFitError, match=r"bias \(a list was saved, not a tensor\)"):
        restore(save({"model": state}), {"model": nn.Linear(3, 3)})


# Optimizers


@pytest.mark.parametrize("form", ["whole", "state"])
def test_an_optimizer_with_other_groups_is_left_alone(save: Save, form: str) -> None:
    net = nn.Linear(3, 3)
    optimizer = torch.optim.SGD([{"params": [net.weight]}, {"params": [net.bias], "lr": 1.0}], 0.1)
    opened = save(forms(optimizer=optimizer)[form])
    other = torch.optim.SGD(net.parameters(), 0.5)
    with pytest.raises(
        DoesNotFitError, match=r"saved 2 groups of 1 \+ 1 parameters, here 1 group of 2 parameters"
    ):
        restore(opened, {"optimizer": other})
    assert not restore(opened, {"optimizer": other}, strict=False)
    assert other.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("form", ["whole", "state"])
def test_state_of_another_shape_is_left_out(save: Save, form: str) -> None:
    def make(classes: int, seed: int) -> tuple[Any, Any]:
        net = seeded(lambda: Vision(classes), seed)
        return net, torch.optim.Adam(net.parameters())

    net, optimizer = make(10, 1)
    train(net, optimizer, None, range(2))
    opened = save(forms(model=net, optimizer=optimizer)[form])
    other, again = make(3, 2)
    with pytest.raises(DoesNotFitError, match=r"state\.\d+\.exp_avg \(saved \[10, 8\], here \[3, 8\]\)"):
        restore(opened, {"optimizer": again})
    assert again.state == {}
    restore(opened, {"model": other, "optimizer": again}, strict=False)
    assert other.head.weight not in again.state
    assert bits(again.state[other.stem.weight]["exp_avg"]) == bits(
        optimizer.state[net.stem.weight]["exp_avg"]
    )


def test_the_state_of_another_optimizer_is_known_by_its_options(save: Save) -> None:
    net = nn.Linear(3, 3)
    opened = save({"optimizer": torch.optim.SGD(net.parameters(), 0.1).state_dict()})
    other = torch.optim.Adam(net.parameters())
    with pytest.raises(DoesNotFitError, match=r"were not saved: param_groups.0.betas, param_groups.0.eps"):
        restore(opened, {"optimizer": other})
    restore(opened, {"optimizer": other}, strict=False)
    assert other.param_groups[0]["betas"] == (0.9, 0.999)


def test_an_optimizer_of_ones_own_needs_no_trust(save: Save) -> None:
    class Own(torch.optim.SGD):
        pass

    Own.__qualname__ = "Own"
    globals()["Own"] = Own
    net = nn.Linear(3, 3)
    optimizer = Own(net.parameters(), 0.25, momentum=0.5)
    net(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    opened = save({"model": net, "optimizer": optimizer})
    other = Own(nn.Linear(3, 3).parameters(), 0.5)
    restore(opened, {"optimizer": other})
    assert same(other.state_dict(), optimizer.state_dict())


def test_state_is_copied_into_the_tensors_that_are_there(save: Save) -> None:
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    train(net, optimizer, None, range(2))
    opened = save({"model": net, "optimizer": optimizer})
    moments = {id(p): s["exp_avg"] for p, s in optimizer.state.items()}
    expected = copy.deepcopy(optimizer.state_dict())
    train(net, optimizer, None, range(2, 4))
    restore(opened, {"model": net, "optimizer": optimizer})
    assert same(optimizer.state_dict(), expected)
    assert all(s["exp_avg"] is moments[id(p)] for p, s in optimizer.state.items())


def test_state_converts_to_the_dtype_of_the_parameter(save: Save) -> None:
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    train(net, optimizer, None, range(2))
    opened = save({"model": net, "optimizer": optimizer})
    other = seeded(Vision, 2).bfloat16()
    again = torch.optim.AdamW(other.parameters())
    reference = torch.optim.AdamW(seeded(Vision, 3).bfloat16().parameters())
    reference.load_state_dict(optimizer.state_dict())
    report = restore(opened, {"model": other, "optimizer": again})
    assert same(again.state_dict(), reference.state_dict())
    assert {c.target for c in report.parts["model"].converted} == {"bfloat16"}


def test_fused_state_lies_as_its_parameter_does(save: Save) -> None:
    net = seeded(Vision, 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    train(net, optimizer, None, range(2))
    other = seeded(Vision, 2)
    again = torch.optim.AdamW(other.parameters(), fused=True)
    restore(save({"model": net, "optimizer": optimizer}), {"model": other, "optimizer": again})
    moment = again.state[other.stem.weight]["exp_avg"]
    assert moment.stride() == other.stem.weight.stride()
    assert bits(moment) == bits(optimizer.state[net.stem.weight]["exp_avg"])


def test_the_state_outlives_the_file(save: Save) -> None:
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    train(net, optimizer, None, range(2))
    opened = save({"model": net, "optimizer": optimizer})
    other = seeded(Vision, 2)
    again = torch.optim.AdamW(other.parameters())
    restore(opened, {"model": other, "optimizer": again})
    with open(opened.where, "r+b") as file:
        file.write(b"\xff" * file.seek(0, 2))
    assert same(again.state_dict(), optimizer.state_dict())
    assert same(other.state_dict(), net.state_dict())


# Schedulers


def test_a_schedule_of_other_pieces_is_refused(save: Save) -> None:
    def make(count: int) -> Any:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
        return schedules.ChainedScheduler([schedules.StepLR(optimizer, 2) for _ in range(count)])

    for form in forms(scheduler=make(3)).values():
        with pytest.raises(DoesNotFitError, match="saved with 3 schedulers or functions, and has 2 here"):
            restore(save(form), {"scheduler": make(2)})


def test_a_file_adds_no_attributes_to_a_schedule(save: Save) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    scheduler = schedules.StepLR(optimizer, 2)
    opened = save({"scheduler": {**scheduler.state_dict(), "step": 5, "last_epoch": 9}})
    with pytest.raises(DoesNotFitError, match="1 are not in the target: step"):
        restore(opened, {"scheduler": scheduler})
    restore(opened, {"scheduler": scheduler}, strict=False)
    assert callable(scheduler.step)
    assert scheduler.last_epoch == 9


def test_a_callable_of_a_schedule_gets_its_attributes(save: Save) -> None:
    class Warmup:
        def __init__(self, steps: int) -> None:
            self.steps = steps

        def __call__(self, epoch: int) -> float:
            return min(1.0, epoch / self.steps)

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)
    saved, other = schedules.LambdaLR(optimizer, Warmup(7)), schedules.LambdaLR(optimizer, Warmup(3))
    restore(save({"scheduler": saved.state_dict()}), {"scheduler": other})
    assert other.lr_lambdas[0].steps == 7


# Modules that load in ways of their own


class Renamed(nn.Linear):
    """A layer whose parameters were called otherwise once."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        for old, new in (("w", "weight"), ("b", "bias")):
            if prefix + old in state_dict:
                state_dict[prefix + new] = state_dict.pop(prefix + old)
        super()._load_from_state_dict(state_dict, prefix, *rest)


@pytest.mark.parametrize("strict", [True, False])
def test_a_module_that_knows_its_old_names_is_asked(save: Save, strict: bool) -> None:
    net = seeded(lambda: nn.Sequential(Renamed(3, 3), nn.Linear(3, 2)), 1)
    old = {
        "0.w": torch.ones(3, 3),
        "0.b": torch.zeros(3),
        "1.weight": torch.ones(2, 3),
        "1.bias": torch.ones(2),
    }
    report = restore(save({"model": old}), {"model": net}, strict=strict)
    assert report
    assert set(report.parts["model"].matched) == set(old)
    assert net[0].weight.sum() == 9
    before = copy.deepcopy(net.state_dict())
    worse = {**old, "0.w": torch.zeros(4, 4), "2.weight": torch.zeros(1)}
    with pytest.raises(DoesNotFitError, match=r"2\.weight"):
        restore(save({"model": worse}), {"model": net})
    assert same(net.state_dict(), before)


def test_weight_norm_of_old_is_translated(save: Save) -> None:
    net = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    old = {"weight_g": torch.ones(4, 1), "weight_v": torch.ones(4, 3), "bias": torch.zeros(4)}
    assert restore(save({"model": old}), {"model": net})
    assert torch.equal(net.parametrizations.weight.original1, torch.ones(4, 3))


class Counting(nn.Linear):
    """A layer with state beside its tensors."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.seen: Any = 0

    def get_extra_state(self) -> Any:
        return {"seen": self.seen}

    def set_extra_state(self, state: Any) -> None:
        self.seen = state["seen"]


def test_extra_state_is_restored_and_missed(save: Save) -> None:
    net, other = nn.Sequential(Counting()), nn.Sequential(Counting())
    net[0].seen = 7
    assert restore(save({"model": net.state_dict()}), {"model": other})
    assert other[0].seen == 7
    whole = save({"model": net})
    with pytest.raises(DoesNotFitError, match=r"1 were not saved: 0._extra_state"):
        restore(whole, {"model": other})
    other[0].seen = 3
    restore(whole, {"model": other}, strict=False)
    assert other[0].seen == 3
    assert bits(other[0].weight) == bits(net[0].weight)


@pytest.mark.filterwarnings("ignore:Lazy modules:UserWarning")
def test_a_lazy_module_takes_the_shapes_that_were_saved(save: Save) -> None:
    net, other = nn.Sequential(nn.Linear(5, 3)), nn.Sequential(nn.LazyLinear(3))
    assert restore(save({"model": net.state_dict()}), {"model": other})
    assert same(other.state_dict(), net.state_dict())


def test_a_module_that_refuses_leaves_the_others_alone(save: Save) -> None:
    class Refusing(nn.Linear):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("not now")

    opened = save({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    first = nn.Linear(2, 2)
    before = bits(first.weight)
    with pytest.raises(DoesNotFitError, match=r"second: .*Refusing.state_dict failed: RuntimeError: not now"):
        restore(opened, {"first": first, "second": Refusing(2, 2)})
    assert bits(first.weight) == before


# What else holds


def test_references_to_a_saved_module_lead_to_the_live_one(save: Save) -> None:
    net = seeded(Vision, 1)
    table = {"net": net, "stem": net.stem, "weights": [net.stem.weight, net.head.weight]}
    opened = save({"model": net, "table": table})
    other, found = seeded(Vision, 2), {}
    restore(opened, {"model": other, "table": found})
    assert found["net"] is other
    assert found["stem"] is other.stem
    assert found["weights"][0] is other.stem.weight
    assert found["weights"][1] is other.head.weight
    assert same(other.state_dict(), net.state_dict())


def test_modules_within_containers_are_restored_in_place(save: Save) -> None:
    nets = {"generator": seeded(Vision, 1), "critics": [seeded(Vision, 2), seeded(Vision, 3)], "step": 5}
    generator, critics = seeded(Vision, 4), [seeded(Vision, 5), seeded(Vision, 6)]
    target = {"generator": generator, "critics": list(critics), "step": 0}
    report = restore(save({"nets": nets}), {"nets": target})
    assert report
    assert target["generator"] is generator
    assert target["critics"] == critics
    assert target["step"] == 5
    for found, expected in zip([generator, *critics], [nets["generator"], *nets["critics"]], strict=True):
        assert same(found.state_dict(), expected.state_dict())
    assert "critics.1.head.weight" in report.parts["nets"].matched


def test_damage_anywhere_changes_nothing(save: Save) -> None:
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters())
    train(net, optimizer, None, range(2))
    opened = save({"model": net, "optimizer": optimizer})
    name = next(name for name in opened.tensors.names if name.startswith("optimizer/"))
    with open(opened.where, "r+b") as file:
        file.seek(opened.tensors.info(name).shards[0].extents[0][1])
        file.write(b"\xff\xff")
    other = seeded(Vision, 2)
    before = copy.deepcopy(other.state_dict())
    again = torch.optim.AdamW(other.parameters())
    with pytest.raises(DamagedError, match=name.replace(".", r"\.")):
        restore(open_file(opened.where), {"model": other, "optimizer": again})
    assert same(other.state_dict(), before)
    assert again.state == {}
    assert restore(open_file(opened.where), {"model": other})


def test_a_generator_of_torch_goes_on(save: Save) -> None:
    generator, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    torch.randn(5, generator=generator)
    restore(save({"rng": generator}), {"rng": other})
    assert torch.equal(torch.randn(5, generator=generator), torch.randn(5, generator=other))


def test_a_missing_part_is_not_found(save: Save) -> None:
    opened = save({"model": nn.Linear(2, 2)})
    with pytest.raises(NotFoundError, match="no part 'optimizer'; its parts are model"):
        restore(opened, {"optimizer": nn.Linear(2, 2)})
    restore(opened, nn.Linear(2, 2))


# Files that lie


def _first(tree: Any, codec: str) -> Any:
    """The first node of a codec."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, Node):
            if item.codec == codec:
                return item
            item = item.state
        if isinstance(item, (list, dict)):
            stack.extend(item if isinstance(item, list) else item.values())
    raise AssertionError(codec)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(data=5),
        lambda state: state.update(dtype="float64"),
        lambda state: state.update(dtype="nonsense"),
        lambda state: state.clear(),
        lambda state: state.update(layout="sparse_coo", shape=[3]),
        lambda state: (
            state.update(base=Node("list", state=[]), shape=[3], stride=[1], dtype="float32", offset=0)
            or state.pop("data")
        ),
    ],
)
def test_a_tensor_that_lies_changes_nothing(save: Save, change: Any) -> None:
    opened = save({"model": nn.Linear(20, 20)})
    change(opened.trees["model"].root.state["parameters"]["weight"].state)
    other = nn.Linear(20, 20)
    before = copy.deepcopy(other.state_dict())
    with pytest.raises((IncompatibleError, DoesNotFitError)):
        restore(opened, {"model": other})
    assert same(other.state_dict(), before)


def test_a_view_beyond_its_base_is_refused(save: Save) -> None:
    flat = torch.randn(100)
    net = nn.Module()
    net.a, net.b = nn.Parameter(flat[10:50]), nn.Parameter(flat[50:90])
    opened = save({"model": net})
    state = opened.trees["model"].root.state["parameters"]["b"].state
    state["offset"] = 1 << 40
    with pytest.raises(IncompatibleError, match="a view reaches"):
        restore(opened, {"model": net})


@pytest.mark.slow
def test_endless_names_end(save: Save) -> None:
    node = Node("torch.Module", state={"parameters": {}})
    for level in range(100):
        node.id = f"model/{level}"
        node = Node("torch.Module", state={"modules": {"a": node, "b": Reference(f"model/{level}")}})
    opened = save({"model": nn.Linear(2, 2)})
    with pytest.raises(IncompatibleError, match="too many names"):
        restore(forged(opened, model=node), {"model": nn.Linear(2, 2)})
    loop = Node("torch.Module", id="model/1", state={"modules": {"a": Reference("model/1")}})
    with pytest.raises(IncompatibleError, match="too deep"):
        restore(forged(opened, model=loop), {"model": nn.Linear(2, 2)})


def test_the_versions_of_a_state_dict_cannot_replace_parameters(save: Save) -> None:
    state = nn.Linear(3, 3).state_dict()
    state._metadata[""]["assign_to_params_buffers"] = True
    other = nn.Linear(3, 3)
    weight = other.weight
    restore(save({"model": state}), {"model": other})
    assert other.weight is weight
    assert bits(weight) == bits(state["weight"])


@pytest.mark.parametrize("fused", [True, False])
def test_forged_state_never_reaches_a_fused_kernel(save: Save, fused: bool) -> None:
    net = nn.Linear(30, 30)
    optimizer = torch.optim.AdamW(net.parameters(), fused=fused)
    net(torch.ones(2, 30)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"] = torch.zeros(2)
    state["param_groups"][0]["fused"] = True
    other = torch.optim.AdamW(nn.Linear(30, 30).parameters(), fused=fused)
    opened = save({"optimizer": state})
    with pytest.raises(DoesNotFitError, match=r"state.0.exp_avg"):
        restore(opened, {"optimizer": other})
    state["state"][0]["own"] = state["state"][0].pop("exp_avg")
    with pytest.raises(IncompatibleError, match="'own' does not have the shape"):
        restore(save({"optimizer": state}), {"optimizer": other})
    assert other.state == {}


@pytest.mark.parametrize("codec", ["torch.Optimizer", "torch.LRScheduler", "torch.GradScaler"])
@pytest.mark.parametrize("state", [None, 5, [], {}, {"attributes": 5}, {"param_groups": [1], "state": [2]}])
def test_states_that_are_invalid_are_refused(save: Save, codec: str, state: Any) -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    parts = {
        "torch.Optimizer": optimizer,
        "torch.LRScheduler": schedules.StepLR(optimizer, 2),
        "torch.GradScaler": torch.amp.GradScaler("cpu"),
    }
    opened = save({"part": parts[codec]})
    _first(opened.trees["part"].root, codec).state = state
    with pytest.raises((IncompatibleError, DoesNotFitError)):
        restore(opened, {"part": parts[codec]})


def test_a_state_dict_from_before_batches_were_counted_fits(save: Save) -> None:
    net, other = seeded(Vision, 1), seeded(Vision, 2)
    old = {name: item for name, item in net.state_dict().items() if "num_batches" not in name}
    assert restore(save({"model": old}), {"model": other})
    assert bits(other.stem.weight) == bits(net.stem.weight)
    new = OrderedDict(old)
    new._metadata = net.state_dict()._metadata  # type: ignore[attr-defined]
    with pytest.raises(DoesNotFitError, match=r"2 were not saved: blocks\.0\.norm\.num_batches_tracked"):
        restore(save({"model": new}), {"model": other})


def test_old_versions_of_a_module_reach_its_own_loading(save: Save) -> None:
    class Versioned(nn.Linear):
        _version = 3
        met: Any = None

        def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
            Versioned.met = metadata.get("version")
            super()._load_from_state_dict(state, prefix, metadata, *rest)

    state = Versioned(2, 2).state_dict()
    state._metadata[""]["version"] = 2
    restore(save({"model": state}), {"model": Versioned(2, 2)})
    assert Versioned.met == 2


def test_what_was_restored_before_a_refusal_is_reported(save: Save) -> None:
    class Refusing:
        def load_state_dict(self, state: Any) -> None:
            raise RuntimeError("no")

    net, other = nn.Linear(2, 2), nn.Linear(2, 2)
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    opened = save({"model": net, "optimizer": sgd, "loader": {"a": 1}})
    before = bits(other.weight)
    into = {"model": other, "optimizer": torch.optim.SGD(other.parameters(), 0.2), "loader": Refusing()}
    with pytest.raises(
        DoesNotFitError, match=r"loader: .*Refusing.load_state_dict failed.*; by then optimizer had been"
    ):
        restore(opened, into)
    assert bits(other.weight) == before


STRANGE: list[Any] = [
    None, 5, -1, 1 << 70, 1.5, "x", "", [], {}, [1, 2], {"a": 1}, True, Tensor("nowhere"),
    Reference("model/1"),
    Node("list", state=[1]), Node("dict", state={"a": 1}), Node("function", cls="os:system"),
    Node("torch.Tensor", state={"data": "00000000", "dtype": "float32"}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_whatever_a_tree_says_it_fits_or_is_an_error_of_saver(save: Save, seed: int) -> None:
    chance = random.Random(seed)
    net = seeded(Vision, 1)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    scheduler = schedules.SequentialLR(
        optimizer, [schedules.LinearLR(optimizer), schedules.LambdaLR(optimizer, decay)], [3]
    )
    loose = {"epoch": 1, "nets": [net.stem]}
    objects = {"model": net, "optimizer": optimizer, "scheduler": scheduler, "rng": torch.Generator()}
    opened = save(
        {"loose": loose, **(objects if seed % 2 else {name: _state(o) for name, o in objects.items()})}
    )
    places = places_of(opened.trees[chance.choice(["loose", *objects])].root)
    container, key = chance.choice(places)
    strange = copy.deepcopy(chance.choice(STRANGE))
    if isinstance(container, Node):
        names = {"codec": ["dict", "torch.Module", "no.codec"], "cls": ["os:system", "no name", None]}
        setattr(container, key, chance.choice(names.get(key, [strange])))
    else:
        container[key] = strange
    with suppress(SaverError):
        restore(opened, {"loose": loose, **objects}, strict=seed % 3 > 0)


def _state(item: Any) -> Any:
    return item.state_dict() if hasattr(item, "state_dict") else item


def test_a_tensor_without_elements_is_restored_whatever_its_steps_are(tmp_path: Path) -> None:
    """Those of such a tensor may be 0, as in one that was expanded, after any operation."""
    store, made = saver.Saver(tmp_path), torch.empty_strided((2, 0, 1), (0, 1, 0))
    store.save("m", {"t": made})
    target = torch.empty_strided((2, 0, 1), (0, 1, 0))
    assert store.restore("m", into={"t": target})
