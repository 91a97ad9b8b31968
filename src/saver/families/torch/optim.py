"""Optimizers, learning-rate schedulers, and the gradient scaler of mixed precision."""

from __future__ import annotations

import functools
import weakref
from collections import OrderedDict, defaultdict
from typing import Any

import torch
from torch.amp.grad_scaler import GradScaler, _refresh_per_optimizer_state
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler
from torch.optim.swa_utils import SWALR

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder, refusals, ways
from saver.families.torch.hooks import AfterStep, BeforeStep
from saver.families.torch.modules import lies_in
from saver.families.torch.schedules import check_held
from saver.families.torch.storages import Storages, is_dense
from saver.rules import Broken
from saver.tree import Node, Value

_HOOKS = (
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks",
    "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
    "_optimizer_load_state_dict_post_hooks",
)  # fmt: skip
NOT_STORED = frozenset((*_HOOKS, "step", "state", "param_groups", "_zero_grad_profile_name"))


_PLACES = ("torch.optim.", "torch.amp.", "torch.cuda.amp.", "torch.cpu.amp.")


def _is_of_a_run(hook: Any) -> bool:
    """Whether a training run registered this hook, which it removes at its end."""
    return isinstance(hook, (BeforeStep, AfterStep))


def _made(node: Node, decoder: Decoder, family: Any) -> Any:
    """An empty instance of the node's class, which must belong to `family`; no code of the class runs."""
    cls = decoder.cls(node)
    if not (isinstance(cls, type) and issubclass(cls, family)) or not lies_in(cls, _PLACES):
        raise ValueError(f"{cls!r} is not a {family.__name__} that can be rebuilt")
    obj: Any = object.__new__(cls)
    decoder.keep(node, obj)
    return obj


class OptimizerCodec(Codec):
    """Optimizers with the state of every parameter. If saved together with a model, they share its parameters
    again. `.grad` is not saved; hooks have no data form."""

    name = "torch.Optimizer"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, Optimizer)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if ways.way_out(obj) is not None:  # its state is not all here
            encoder.refuse(refusals.no_data_form(obj))
        own = vars(obj)
        hooks = next(
            (kind for kind in _HOOKS if not all(map(_is_of_a_run, own.get(kind, {}).values()))), None
        )
        if hooks:
            encoder.refuse(
                f"a hook of an optimizer ({hooks.strip('_')}) has no data form; remove it, save, "
                "and register it again"
            )
        step = own.get("step")
        if step is not None and not hasattr(step, "_wrapped_by_lr_sched"):
            encoder.refuse(
                "`step` was replaced by another function, which has no data form; put the original back first"
            )
        groups = encoder(obj.param_groups, "param_groups")
        fields = encoder.attributes(obj, NOT_STORED)
        return {
            "torch": str(torch.__version__),
            "attributes": fields,
            "param_groups": groups,
            "state": _encode_state(obj, encoder),
            "scheduled": step is not None,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        optimizer = _made(node, decoder, Optimizer)
        Optimizer._patch_step_function(optimizer)  # before attributes from the file are set
        own = optimizer.__dict__
        if not NOT_STORED.isdisjoint(state["attributes"]):
            raise Broken("4.06", "an attribute has the name of a field that torch manages itself")
        own.update((kind, OrderedDict()) for kind in _HOOKS)
        own["state"] = defaultdict(dict)
        own["param_groups"] = _checked_groups(decoder(state["param_groups"]))
        decoder.fill_attributes(optimizer, state["attributes"])
        for key, value in state["state"]:
            parameter = decoder(key)
            if not isinstance(parameter, torch.Tensor):
                raise Broken("4.06", "there is a state for an object that is not a parameter")
            own["state"][parameter] = decoder(value)
            if type(own["state"][parameter]) not in (dict, defaultdict):
                raise Broken("4.06", "the state of a parameter is not a dict")
        if type(own.get("defaults", {})) is not dict:
            raise Broken("4.06", "the defaults of an optimizer are not a dict")
        if decoder.device.name is not None:
            _place_steps(own["param_groups"], own["state"])
        _check_fused(own["param_groups"], own["state"])
        if state["torch"] != str(torch.__version__) and type(optimizer).__module__.startswith("torch.optim."):
            type(optimizer).__setstate__(optimizer, {})
        if state["scheduled"] is True:
            own["step"] = _counting_step(optimizer)
        return optimizer

    def check(self, obj: Any) -> None:
        _check_uses(obj)


def _encode_state(obj: Any, encoder: Encoder) -> list[Value]:
    """Pairs of parameter and state, named by the parameter's number as in the optimizer's state dict."""
    ordered = dict.fromkeys(p for group in obj.param_groups for p in group["params"])
    numbers = {parameter: number for number, parameter in enumerate(ordered)}
    pairs: list[Value] = []
    known = encoder.shared(Storages)
    before, known.inline = known.inline, True
    for key, value in obj.state.items():
        number = numbers.setdefault(key, len(numbers))
        pairs.append([encoder(key, "state", number, "parameter"), encoder(value, "state", number)])
    known.inline = before
    return pairs


def _place_steps(groups: Any, state: Any) -> None:
    """Move step counters to where torch expects them: the parameters' device if a kernel reads them."""
    for group in groups:
        if group.get("fused") or group.get("capturable"):
            for parameter in group["params"]:
                step = state.get(parameter, {}).get("step")
                if isinstance(step, torch.Tensor):
                    state[parameter]["step"] = step.to(parameter.device)


def _checked_groups(groups: Any) -> Any:
    sound = type(groups) is list and all(
        type(group) is dict
        and type(group.get("params")) is list
        and all(isinstance(parameter, torch.Tensor) for parameter in group["params"])
        for group in groups
    )
    if not sound:
        raise Broken("4.06", "parameter groups are not lists of tensors")
    return groups


def _check_fused(groups: Any, state: Any) -> None:
    """Raise ValueError if state does not fit its parameter: fused kernels index the state by the size of the
    parameter without checking."""
    for group in groups:
        for parameter in group["params"] if group.get("fused") else ():
            if not is_dense(parameter.shape, parameter.stride()):
                raise Broken("4.06", "a fused optimizer needs dense parameters")
            for name, value in state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor) and name != "step" and (
                    value.shape != parameter.shape or value.stride() != parameter.stride()
                ):  # fmt: skip
                    raise Broken("4.06", f"the state {name!r} does not have the shape of its parameter")


def _counting_step(optimizer: Any) -> Any:
    """The `optimizer.step` that a scheduler installs: it records that it was called, so that the scheduler
    can warn about the wrong order."""
    function = type(optimizer).step
    holder = weakref.ref(optimizer)

    @functools.wraps(function)
    def step(*arguments: Any, **options: Any) -> Any:
        owner: Any = holder()
        owner._opt_called = True
        return function.__get__(owner, type(owner))(*arguments, **options)

    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    return step


_FACTOR = frozenset(("number", "schedule"))


def _check_uses(obj: Any) -> None:
    """Raise ValueError unless the functions in a scheduler are schedules: from a step to a number."""
    own = {name: value for name, value in vars(obj).items() if name not in ("step", *_MADE_ANEW)}
    listed = own.pop("lr_lambdas", None)
    functions = dict(enumerate(listed)) if type(listed) is list else {0: listed}
    own.update((f"lr_lambdas[{number}]", function) for number, function in functions.items())
    allowed = dict.fromkeys(("_scale_fn_custom", *(f"lr_lambdas[{number}]" for number in functions)), _FACTOR)
    of_torch = type(obj).__module__.partition(".")[0] == "torch"
    if of_torch:
        uses.check_objects(own, own.keys(), ("torch",))
    uses.check(own, allowed, of_torch)


def check_attributes(cls: type, fresh: dict[str, Any]) -> None:
    """ValueError for attributes that an optimizer of this class could not be loaded with."""
    scratch: Any = object.__new__(cls)
    vars(scratch).update(fresh)
    _check_uses(scratch)
    if type(fresh.get("defaults", {})) is not dict:  # whose methods torch calls
        raise Broken("4.06", "the defaults of an optimizer are not a dict")


_ANNEALINGS = ("_cosine_anneal", "_linear_anneal")
_MADE_ANEW = frozenset(("_scale_fn_ref", "anneal_func"))
"""The attributes in which schedulers hold functions."""


class SchedulerCodec(Codec):
    """Learning-rate schedulers, which hold their optimizer. The functions in them must have a data form:
    those of trusted modules have one, lambdas do not."""

    name = "torch.LRScheduler"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, LRScheduler)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state: dict[str, Value] = {}
        if isinstance(obj, SWALR):
            state["anneal"] = vars(obj)["anneal_func"].__name__
        return {"attributes": encoder.attributes(obj, _MADE_ANEW), **state}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        scheduler = _made(node, decoder, LRScheduler)
        if not _MADE_ANEW.isdisjoint(node.state["attributes"]):
            raise ValueError("an attribute has the name of a function that torch manages itself")
        decoder.fill_attributes(scheduler, node.state["attributes"])
        if isinstance(scheduler, CyclicLR):
            CyclicLR._init_scale_fn(scheduler)
        if isinstance(scheduler, SWALR):
            (anneal,) = (name for name in _ANNEALINGS if name == node.state["anneal"])
            scheduler.anneal_func = getattr(SWALR, anneal)
        return scheduler

    def check(self, obj: Any) -> None:
        _check_uses(obj)
        check_held(obj)


_OF_AN_ITERATION = frozenset(("_per_optimizer_states", "_scale", "_growth_tracker"))


class GradScalerCodec(Codec):
    """The gradient scaler of mixed precision, between two iterations. Its scale is stored as a number, so
    that it loads on any device."""

    name = "torch.GradScaler"

    def accepts(self, cls: type) -> bool:
        return cls in (GradScaler, torch.cuda.amp.GradScaler, torch.cpu.amp.GradScaler)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind: Any = type(obj)
        if vars(obj).get("_per_optimizer_states"):
            encoder.refuse("a GradScaler within an iteration has no data form; save after `scaler.update()`")
        state = encoder.attributes(obj, _OF_AN_ITERATION)
        if kind.is_enabled(obj):
            state.update(_init_scale=kind.get_scale(obj), _init_growth_tracker=kind._get_growth_tracker(obj))
        return {**state, "_scale": None, "_growth_tracker": None}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        scaler = _made(node, decoder, GradScaler)
        decoder.fill_attributes(scaler, node.state)
        if type(scaler).is_enabled(scaler):
            scaler._per_optimizer_states = defaultdict(_refresh_per_optimizer_state)
        return scaler
