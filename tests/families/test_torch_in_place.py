"""Tensors within dicts and lists are filled where they are, and share what the saved ones shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import saver
from forging import forged
from saver.errors import IncompatibleError, SaverError
from saver.opened import Opened
from saver.restoring import restore
from saver.tree import Node, Reference

Save = Callable[[Any], Opened]


# Any tensors

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.complex64, torch.int16, torch.bool]
steps = st.one_of(
    st.tuples(
        st.just("tensor"), st.sampled_from(DTYPES), st.sampled_from([(), (0, 2), (3,), (4, 6), (40,)]),
        st.sampled_from(["plain", "grad", "parameter", "transposed", "sparse"]),
    ),
    st.tuples(
        st.just("view"), st.integers(0, 9),
        st.sampled_from(["whole", "tail", "head", "odd", "turned", "flat", "bytes", "conj", "numpy",
                         "tagged"]),
    ),
    st.tuples(st.sampled_from(["again", "list", "tuple", "opaque"]), st.integers(0, 9)),
)  # fmt: skip
recipes = st.lists(steps, min_size=1, max_size=8)


def view(tensor: Any, how: str) -> Any:
    plain = tensor.detach()
    if plain.layout is not torch.strided or plain.is_conj():
        return plain
    if how == "numpy" and plain.dtype is not torch.bfloat16:
        return plain.numpy()
    if how == "bytes":
        return plain.view(torch.uint8) if plain.numel() > 1 and plain.is_contiguous() else plain
    if how == "tagged":
        plain.tag = [1]
        return plain
    if how == "conj":
        return plain.conj() if plain.is_complex() else plain
    if plain.dim() == 0 or how == "whole":
        return plain
    if how == "flat":
        return plain.reshape(-1)
    return {
        "tail": plain[1:],
        "head": plain[:2],
        "odd": plain[::2],
        "turned": plain.mT if plain.dim() == 2 else plain,
    }.get(how, plain)


def cook(recipe: list[Any], seed: int) -> list[Any]:
    """The objects that a recipe describes; their numbers depend on `seed`, their form does not."""
    made: list[Any] = []
    for kind, *rest in recipe:
        if kind == "tensor":
            dtype, shape, how = rest
            tensor = (torch.arange(int(np.prod(shape))).reshape(shape) + seed).to(dtype)
            if how in ("grad", "parameter") and tensor.is_floating_point():
                tensor = nn.Parameter(tensor) if how == "parameter" else tensor.requires_grad_()
            elif how == "transposed" and tensor.dim() == 2:
                tensor = tensor.T
            elif how == "sparse" and tensor.dim():
                tensor = tensor.to_sparse()
            made.append(tensor)
            continue
        item = made[rest[0] % len(made)] if made else seed
        if kind == "view":
            made.append(view(item, rest[1]) if isinstance(item, torch.Tensor) else item)
        else:
            made.append({"again": item, "list": [item], "tuple": (item,), "opaque": slice(None, item)}[kind])
    return made


def told(value: Any) -> list[Any]:
    """All that is the same in equal objects: kinds and bits, and which are one, or lie in one storage."""
    met: dict[Any, int] = {}
    found: list[Any] = []

    def tell(item: Any) -> None:
        if isinstance(item, torch.Tensor):
            storage = None
            if item.layout is torch.strided and item.numel():
                storage = met.setdefault(("storage", item.untyped_storage().data_ptr()), len(met))
            dense = item.detach().to_dense().resolve_conj().clone(memory_format=torch.contiguous_format)
            found.append((
                met.setdefault(id(item), len(met)), type(item), item.dtype, tuple(item.shape), item.layout,
                item.requires_grad, storage, dense.reshape(-1).view(torch.uint8).tolist(), str(vars(item)),
            ))  # fmt: skip
        elif isinstance(item, np.ndarray):
            found.append((met.setdefault(id(item), len(met)), item.dtype, item.shape, item.tobytes()))
        elif isinstance(item, dict):
            found.append(list(item))
            for inner in item.values():
                tell(inner)
        elif isinstance(item, (list, tuple, slice)):
            found.append((type(item), met.setdefault(id(item), len(met))))
            for inner in [item.stop] if isinstance(item, slice) else item:
                tell(inner)
        else:
            found.append(item)

    tell(value)
    return found


@pytest.mark.shows("PyTorch", "restore")
@pytest.mark.slow
@given(recipes)
@settings(max_examples=200)
def test_every_tensor_stays_in_an_object_of_the_same_form(save: Save, recipe: Any) -> None:
    opened, target = save({"part": cook(recipe, 1)}), cook(recipe, 2)
    before = list(target)
    restore(opened, {"part": target})
    assert told(target) == told(saver.load(opened.where)["part"])
    if any("opaque" in step or "sparse" in step for step in recipe):
        return
    for here, there in zip(target, before, strict=True):
        assert here is there or isinstance(there, (tuple, int))


@pytest.mark.slow
@given(recipes, recipes)
@settings(max_examples=300)
def test_into_any_other_object_goes_what_load_would_give(save: Save, recipe: Any, other: Any) -> None:
    opened, target = save({"part": cook(recipe, 1)}), cook(other, 2)
    restore(opened, {"part": target})
    assert told(target) == told(saver.load(opened.where)["part"])


# What fits, and what does not


@pytest.mark.parametrize("there", [
    torch.zeros(99), torch.zeros(100, dtype=torch.float64), torch.zeros(1).expand(100), np.zeros(100), None,
    nn.Parameter(torch.zeros(100)), torch.zeros(100, requires_grad=True) * 1, torch.zeros(100).to_sparse(),
    torch.zeros(100, device="meta"),
])  # fmt: skip
def test_what_cannot_take_a_tensor_is_replaced(save: Save, there: Any) -> None:
    target = {"w": there}
    report = restore(save({"part": {"w": torch.ones(100)}}), {"part": target})
    assert report.parts["part"].matched == ("w",)
    assert target["w"] is not there
    assert told(target["w"]) == told(torch.ones(100))


def test_windows_that_overlap_are_replaced(save: Save) -> None:
    windows = torch.zeros(6).as_strided((4, 3), (1, 1))
    target = {"w": windows}
    restore(save({"part": {"w": filled(1, 2).reshape(4, 3)}}), {"part": target})
    assert told(target["w"]) == told(filled(1, 2).reshape(4, 3))


def test_a_part_of_its_own_stands_in_a_dict_if_it_is_the_same_there(save: Save) -> None:
    w, there = filled(1).requires_grad_(), filled(0)
    opened = save({"w": w, "params": {"w": w}})
    into: Any = {"w": there, "params": {"w": None}}
    restore(opened, into)
    assert told(there) == told(filled(1))
    assert told(into["params"]["w"]) == told(w)
    into = {"w": there.requires_grad_(), "params": {"w": None}}
    restore(opened, into)
    assert into["params"]["w"] is there


def test_a_tensor_keeps_its_layout_and_takes_the_rest(save: Save) -> None:
    there = torch.zeros(6, 4).T.requires_grad_(False)
    there.old = 1
    saved = torch.arange(24.0).reshape(4, 6).requires_grad_()
    saved.tag = {"group": 1}
    target = {"w": there}
    restore(save({"part": {"w": saved}}), {"part": target})
    assert target["w"] is there
    assert there.stride() == (1, 4)
    assert told(there) == told(saved)


@pytest.mark.parametrize("form", ["module", "state_dict", "by_state"])
def test_the_weights_of_a_module_in_a_dict_stay_its_weights(save: Save, form: str) -> None:
    def make(value: float) -> tuple[Any, dict[str, Any]]:
        net = nn.Linear(8, 8)
        nn.init.constant_(net.weight, value)
        return net, {
            "w": net.weight,
            "row": net.weight.detach()[1:3],
            "deep": [net.bias],
            "own": torch.ones(9),
        }

    for order in (("net", "params"), ("params", "net")):
        (saved, parts), (net, target) = make(1), make(0)
        state = saved if form == "module" else saved.state_dict()
        weight, row, bias, own = target["w"], target["row"], target["deep"][0], target["own"]
        into = {"net": net, "params": target}
        restore(save({"net": state, "params": parts}), {name: into[name] for name in order})
        assert target["w"] is weight is net.weight
        assert target["deep"][0] is bias is net.bias
        assert (target["row"] is row, target["own"] is own) == (True, True)
        assert weight.sum() == 64
        assert row.data_ptr() == weight[1:].data_ptr()


def test_what_a_module_did_not_share_is_not_filled_into_its_weights(save: Save) -> None:
    net, saved = nn.Linear(8, 8), nn.Linear(8, 8)
    target = {"w": net.weight, "numbers": net.weight.detach().numpy()[2:]}
    parts = {"w": nn.Parameter(torch.zeros(8, 8)), "numbers": np.full((6, 8), 2.0, np.float32)}
    restore(save({"params": parts, "net": saved}), {"params": target, "net": net})
    assert told(net.weight) == told(saved.weight)
    assert told(target) == told(parts)
    assert target["w"] is not net.weight


def test_an_optimizer_goes_on_with_the_weights_of_a_dict(save: Save) -> None:
    def make() -> tuple[Any, Any]:
        w = torch.arange(100.0).requires_grad_()
        return w, torch.optim.Adam([w], lr=0.1)

    def step(w: Any, optimizer: Any) -> None:
        optimizer.zero_grad()
        (w**2).sum().backward()
        optimizer.step()

    (w, optimizer), (other, its) = make(), make()
    step(w, optimizer)
    target = {"params": {"w": other}, "optimizer": its}
    restore(save({"params": {"w": w}, "optimizer": optimizer}), target)
    for _ in range(3):
        step(w, optimizer)
        step(other, its)
    assert target["params"]["w"] is other
    assert told(other) == told(w)


def test_a_sparse_tensor_is_checked_with_the_indices_that_were_saved(save: Save) -> None:
    indices, values = torch.tensor([[0, 40]]), torch.ones(2)
    there = torch.zeros(1, 2, dtype=torch.int64)
    saved = {
        "indices": indices,
        "matrix": torch.sparse_coo_tensor(indices, values, (50,), check_invariants=True),
    }
    target = {"indices": there, "matrix": None}
    restore(save({"part": saved}), {"part": target})
    assert told(target) == told(saved)
    opened = save({"part": {**saved, "indices": saved["matrix"]._indices()}})
    forged = opened.trees["part"].root.state["matrix"]
    forged.state["shape"] = [10]
    with pytest.raises(IncompatibleError):
        restore(opened, {"part": {"indices": there, "matrix": None}})
    assert there.sum() == 0


@pytest.mark.parametrize("change", [
    {"base": Node("list", state=[])}, {"offset": 1 << 40}, {"offset": -1}, {"shape": [1 << 40]},
    {"stride": [-1]}, {"stride": 5}, {"dtype": "nonsense"}, {"base": None}, {"attributes": [1]},
    {"attributes": {"x": Node("nonsense")}}, {"layout": "sparse_coo"}, {"base": Reference("part/9")},
    {"offset": None},
])  # fmt: skip
def test_a_view_that_lies_is_an_error_and_changes_nothing(save: Save, change: Any) -> None:
    def make(value: float) -> dict[str, Any]:
        w = torch.full((40,), value)
        return {"kept": torch.full((3,), value), "w": w, "v": w[4:]}

    opened, target = save({"part": make(1)}), make(0)
    node = opened.trees["part"].root.state["v"]
    node.id = "part/9"
    node.state.update(change)
    with pytest.raises(SaverError):
        restore(forged(opened), {"part": target})
    assert told(target) == told(make(0))


def filled(value: float, rows: int = 4) -> Any:
    return torch.arange(rows * 6.0).reshape(rows, 6) + value


def test_views_of_what_stays_are_views_of_it_again(save: Save) -> None:
    """Where the target has nothing for them, or something else."""
    saved, w = filled(1), filled(0)
    one, other = torch.zeros(2, 6), filled(0)[1:3]
    target = {"w": w, "lacking": None, "apart": one, "of_another": other}
    value = {"w": saved, "lacking": saved[1:], "apart": saved[2:], "of_another": saved[1:3]}
    opened = save({"part": value})
    restore(opened, {"part": target})
    assert target["w"] is w
    assert told(target) == told(saver.load(opened.where)["part"])
    assert one.sum() == 0
    for name in ("lacking", "apart", "of_another"):
        assert target[name].untyped_storage().data_ptr() == w.untyped_storage().data_ptr()


def test_views_without_the_whole_are_replaced_where_they_do_not_lie_alike(save: Save) -> None:
    saved, w = filled(1), filled(0)
    opened = save({"part": {"first": saved[:2], "last": saved[2:]}})
    for there in ([w[:2], w[1:3]], [w[:2], filled(0)[2:]], [w[:2], None], [w[:2], w[2:].flip(0)]):
        target = {"first": there[0], "last": there[1]}
        restore(opened, {"part": target})
        assert told(target) == told(saver.load(opened.where)["part"])
        assert target["first"] is target["first"]
        assert (w == filled(0)).all() or target["first"] is there[0]


def test_strides_that_differ_make_other_views(save: Save) -> None:
    saved, w = filled(1), filled(0)
    target = {"w": w, "turned": w.reshape(6, 4)}
    restore(save({"part": {"w": saved, "turned": saved.T}}), {"part": target})
    assert target["w"] is w
    assert told(target) == told({"w": saved, "turned": saved.T})


def test_one_storage_is_not_filled_from_two(save: Save) -> None:
    buffer = torch.zeros(12)
    target = {"first": buffer[:6], "last": buffer[6:]}
    saved = {"first": torch.ones(6), "last": torch.ones(6) * 2}
    restore(save({"part": saved}), {"part": target})
    assert told(target) == told(saved)


def test_tensors_of_one_array_agree_or_are_replaced(save: Save) -> None:
    array = np.zeros(12, np.float32)
    target = {"w": torch.from_numpy(array), "tail": torch.from_numpy(array[4:])}
    w = target["w"]
    saved = {"w": torch.ones(12), "tail": torch.ones(8) * 2}
    restore(save({"part": saved}), {"part": target})
    assert target["w"] is w
    assert told(target) == told(saved)


def test_a_part_that_begins_within_its_storage_stands_for_itself_alone(save: Save) -> None:
    buffer = torch.zeros(30)
    target = {"w": buffer[6:], "tail": None}
    saved = torch.arange(24.0)
    opened = save({"part": {"w": saved, "tail": saved[3:]}})
    restore(opened, {"part": target})
    assert told(target) == told(saver.load(opened.where)["part"])


def test_what_holds_the_root_only_by_its_values_is_not_a_root(save: Save) -> None:
    """A module takes the elements of a state dict; a view of them that nothing fits is apart from it."""
    net, saved = nn.Linear(8, 8), nn.Linear(8, 8)
    state = saved.state_dict()
    row = net.weight.detach()[1:]
    target = {"row": row, "more": None}
    opened = save({"net": state, "params": {"row": state["weight"][1:], "more": state["weight"][2:]}})
    restore(opened, {"net": net, "params": target})
    assert told(target) == told(saver.load(opened.where)["params"])
