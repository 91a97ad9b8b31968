from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.optim import lr_scheduler as schedules

import saver
from saver.codec import Decoder, Encoder
from saver.families.torch import devices as _torch_devices
from saver.families.torch.storages import DTYPES
from saver.opened import Opened
from saver.restoring import restore
from saver.tensors import Shard, TensorInfo, in_one, pieces, whole
from saver.tree import Node, Tensor, parse, to_json, walk

RoundTrip = Callable[..., Any]

HALF_COMPLEX = pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning")
SPARSE_BETA = pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta:UserWarning")


class _Memory:
    """The tensors of a walk, as a pack would hand them out."""

    def __init__(self, encoder: Encoder) -> None:
        self.held = {
            name: (data.dtype, data.shape, np.concatenate([np.empty(0, np.uint8), *pieces(data)]))
            for name, data in encoder.tensors.items()
        }

    def info(self, name: str) -> TensorInfo:
        dtype, shape, _ = self.held[name]
        return in_one(name, Shard(dtype, whole(shape)))

    def read(self, name: str, box: Any = None, mapped: bool = False) -> Any:
        return self.held[name][2]


def test_what_codecs_share_is_kept_for_one_walk_and_all_of_its_parts() -> None:
    encoder, other = Encoder(), Encoder()
    kept = encoder.shared(list)
    encoder.part("a", 1)
    assert encoder.shared(list) is kept
    assert encoder.shared(dict) == {}
    assert other.shared(list) is not kept


def encoded(obj: Any) -> tuple[Any, _Memory]:
    """The tree of `obj` as a loader would parse it, and its tensors."""
    encoder = Encoder()
    tree = encoder.part("model", obj)
    return json.loads(to_json(tree)), _Memory(encoder)


def decoded(tree: Any, memory: _Memory) -> Any:
    found: list[Any] = []
    value = parse(tree, "test", found)
    return Decoder([node for node in found if isinstance(node, Node)], {}, memory)(value)


def again(obj: Any) -> Any:
    return decoded(*encoded(obj))


def first_state(tree: Any, codec: str) -> Any:
    """The state of the first node of a codec in a raw tree, to be tampered with."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if isinstance(tree, dict):
        if tree.get("$") == codec:
            return tree["state"]
        for value in tree.values():
            found = first_state(value, codec)
            if found is not None:
                return found
    return None


def bits(tensor: Any) -> bytes:
    """The elements of a strided tensor in C order."""
    plain = tensor.detach().resolve_conj().resolve_neg()
    plain = torch.view_as_real(plain) if plain.is_complex() else plain
    carrier = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[plain.dtype.itemsize]
    return bytes(plain.view(carrier).contiguous().numpy().tobytes())


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.layout == expected.layout
    assert found.requires_grad == expected.requires_grad
    if expected.layout is torch.strided:
        assert found.stride() == expected.stride()
        assert found.is_conj() == expected.is_conj()
        assert found.is_neg() == expected.is_neg()
        assert bits(found) == bits(expected)
        assert found.grad_fn is None
        assert not found._is_view() or found.is_conj() or found.is_neg()


def assert_same_modules(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert found.training == expected.training
    assert list(found.state_dict()) == list(expected.state_dict())
    for name, tensor in expected.named_parameters():
        assert_same(found.get_parameter(name), tensor)
    for name, tensor in expected.named_buffers():
        assert_same(found.get_buffer(name), tensor)
    assert repr(found) == repr(expected)


def equal(found: Any, expected: Any) -> bool:
    if isinstance(expected, torch.Tensor):
        return bits(found) == bits(expected)
    if isinstance(expected, (tuple, list)):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return bool(found == expected)


def filled(dtype: Any, shape: tuple[int, ...], seed: int = 0) -> Any:
    """A tensor of any bits that the dtype can have."""
    count = int(np.prod(shape)) * dtype.itemsize
    raw = np.random.default_rng(seed).integers(0, 2 if dtype is torch.bool else 256, count, np.uint8)
    storage = torch.from_numpy(raw).clone().untyped_storage()
    return (
        torch.empty(0, dtype=dtype)
        .set_(storage)
        .reshape(shape)
        .detach()
        .clone(memory_format=torch.contiguous_format)
        if dtype in CLONABLE
        else torch.empty(0, dtype=dtype).set_(storage, 0, shape, torch.empty(shape, device="meta").stride())
    )


CLONABLE = (torch.float32, torch.int64)
dtypes = st.sampled_from(sorted(DTYPES.values(), key=str))
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@HALF_COMPLEX
@given(dtypes, shapes, st.integers(0, 99), st.permutations(range(4)))
def test_tensors_of_every_dtype_shape_and_order_come_back_to_the_bit(
    dtype: Any, shape: tuple[int, ...], seed: int, order: list[int]
) -> None:
    tensor = filled(dtype, shape, seed)
    permuted = tensor.permute([axis for axis in order if axis < len(shape)])
    found = again(permuted)
    assert_same(found, permuted)


@HALF_COMPLEX
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_every_dtype_survives_a_file(dtype: Any, roundtrip: RoundTrip) -> None:
    tensor = filled(dtype, (3, 5))
    assert_same(roundtrip(tensor), tensor)


@st.composite
def views(draw: st.DrawFn) -> list[Any]:
    """Views of one storage, of several dtypes, overlapping or not."""
    base = filled(torch.int64, (6, 8), draw(st.integers(0, 9)))
    found = []
    for _ in range(draw(st.integers(1, 5))):
        view = base.view(draw(st.sampled_from([torch.int64, torch.int32, torch.uint8, torch.complex128])))
        if draw(st.booleans()):
            view = view.t()
        axis = draw(st.integers(0, 1))
        start = draw(st.integers(0, view.shape[axis] - 1))
        length = draw(st.integers(1, view.shape[axis] - start))
        view = view.narrow(axis, start, length)
        if draw(st.booleans()):
            view = view[:: draw(st.integers(1, 3))]
        if draw(st.booleans()):
            view = view[0].expand(3, -1)
        found.append(view)
    return found


@pytest.mark.slow
@given(views())
def test_views_share_their_storage_again(tensors: list[Any]) -> None:
    found = again(tensors)
    for new, old in zip(found, tensors, strict=True):
        assert_same(new, old)
    if len(tensors) > 1:
        first = tensors[0].untyped_storage().data_ptr()
        assert len({new.untyped_storage().data_ptr() for new in found}) == 1
        start = found[0].data_ptr() - tensors[0].data_ptr()
        assert start % 64 == 0
        assert first == tensors[-1].untyped_storage().data_ptr()
        assert all(n.data_ptr() - o.data_ptr() == start for n, o in zip(found, tensors, strict=True))


def test_writing_through_one_view_shows_in_another(roundtrip: RoundTrip) -> None:
    whole = torch.arange(100.0).reshape(10, 10)
    found = roundtrip([whole[2:4], whole[:, 3], whole])
    found[2][2, 3] = -1
    assert found[0][0, 3] == -1
    assert found[1][2] == -1


def test_parts_share_storages(roundtrip: RoundTrip) -> None:
    whole = torch.arange(100.0)
    found = roundtrip({"end": whole[50:], "whole": whole})
    found["whole"][60] = -1
    assert found["end"][10] == -1


def test_a_bare_storage_is_shared_with_its_tensors(roundtrip: RoundTrip) -> None:
    whole = torch.arange(100.0)
    for order in ([whole[50:], whole.untyped_storage(), whole], [whole.untyped_storage(), whole[50:], whole]):
        found = roundtrip(order)
        assert [type(item) for item in found] == [type(item) for item in order]
        (bare,) = (item for item in found if not isinstance(item, torch.Tensor))
        assert {t.untyped_storage().data_ptr() for t in found if t is not bare} == {bare.data_ptr()}
        assert bits(found[2]) == bits(whole)


def test_only_the_used_span_of_a_storage_is_written(tmp_path: Path) -> None:
    big = torch.zeros(1_000_000)
    saver.dump([big[500:510], big[600:620:2]], tmp_path / "small.saver")
    assert (tmp_path / "small.saver").stat().st_size < 10_000


def test_a_storage_is_written_once(tmp_path: Path) -> None:
    big = torch.zeros(1_000, 1_000)
    saver.dump([big[:500], big[500:], big.t(), big.view(torch.int32)], tmp_path / "once.saver")
    assert (tmp_path / "once.saver").stat().st_size < 4_100_000


def test_a_large_tensor_is_neither_copied_by_saving_nor_by_loading(roundtrip: RoundTrip) -> None:
    tensor = torch.zeros(1 << 20, dtype=torch.bfloat16)
    encoder = Encoder()
    encoder.part("model", tensor)
    (data,) = encoder.tensors.values()
    assert isinstance(data.data, np.ndarray)
    assert data.data.ctypes.data == tensor.data_ptr()
    memory = _Memory(encoder)
    found = decoded(json.loads(to_json(Encoder().part("model", tensor))), memory)
    assert memory.held["model"][2].ctypes.data % 64 or found.data_ptr() == memory.held["model"][2].ctypes.data


@given(st.integers(0, 99), st.integers(1, 99), st.integers(0, 15))
def test_memory_keeps_its_place_in_a_cache_line(start: int, length: int, moved: int) -> None:
    tensor = torch.arange(200.0)[start : start + length]
    tree, memory = encoded(tensor)
    dtype, shape, data = memory.held["model"]
    room = np.zeros(data.size + 128, np.uint8)
    at = (4 * moved - room.ctypes.data) % 64
    room[at : at + data.size] = data
    memory.held["model"] = (dtype, shape, room[at : at + data.size])
    found = decoded(tree, memory)
    assert_same(found, tensor)
    assert found.data_ptr() % 64 == tensor.data_ptr() % 64


@HALF_COMPLEX
@pytest.mark.parametrize("dtype", [torch.complex32, torch.complex64, torch.complex128], ids=str)
def test_conjugate_and_negative_views_stay_lazy(dtype: Any, roundtrip: RoundTrip) -> None:
    tensor = filled(dtype, (4, 3))
    found = roundtrip([tensor, tensor.conj(), tensor.conj().imag, tensor.conj().t()])
    for new, old in zip(found, [tensor, tensor.conj(), tensor.conj().imag, tensor.conj().t()], strict=True):
        assert_same(new, old)
    assert found[0].data_ptr() == found[1].data_ptr()


@pytest.mark.parametrize("tensor", [
    torch.tensor(2.5), torch.empty(0), torch.empty(0, 3), torch.empty(3, 0).t(), torch.zeros(1, 3, 1)[:, ::2],
    torch.zeros(1).expand(1000), torch.tensor(-0.0),
    torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    torch.randn(6, 4, 1, 1).to(memory_format=torch.channels_last), torch.randn(5).as_strided((3, 3), (1, 1)),
])  # fmt: skip
def test_odd_tensors_come_back_as_they_were(tensor: Any, roundtrip: RoundTrip) -> None:
    assert_same(roundtrip(tensor), tensor)


def test_tensors_keep_what_torch_save_keeps(roundtrip: RoundTrip) -> None:
    leaf = torch.randn(3, requires_grad=True)
    middle = leaf * 2
    frozen = nn.Parameter(torch.randn(3), requires_grad=False)
    frozen.group = "frozen"
    middle.sum().backward()
    buffers = [nn.Buffer(torch.ones(2))] if hasattr(nn, "Buffer") else []  # new in torch 2.5
    found = roundtrip([leaf, middle, frozen, nn.Parameter(torch.randn(2)), *buffers])
    assert [t.requires_grad for t in found] == [True, True, False, True, False][: len(found)]
    assert [type(t) for t in found[:4]] == [torch.Tensor, torch.Tensor, nn.Parameter, nn.Parameter]
    assert found[1].is_leaf
    assert found[0].grad is None
    assert found[2].group == "frozen"
    assert all(isinstance(buffer, nn.Buffer) for buffer in found[4:])


@SPARSE_BETA
def test_a_default_device_changes_nothing(roundtrip: RoundTrip) -> None:
    eye = torch.eye(3)
    tensors = [torch.arange(3), eye[1:], eye.to_sparse(), eye.to_sparse_csr(), torch.empty(0)]
    with torch.device("meta"):
        found = roundtrip([*tensors, torch.Generator("cpu")])
    for new, old in zip(found, tensors, strict=False):
        assert new.device == old.device
        assert_same(new, old)


def test_what_was_made_in_inference_mode_can_be_trained(roundtrip: RoundTrip) -> None:
    with torch.inference_mode():
        made = torch.ones(3)
    found = roundtrip(made)
    assert_same(found, made)
    found.requires_grad_().sum().backward()
    assert equal(found.grad, torch.ones(3))


def test_a_tensor_may_know_the_module_that_holds_it(roundtrip: RoundTrip) -> None:
    net = nn.Linear(2, 2)
    net.weight.owner = net
    for found in (roundtrip({"net": net})["net"], roundtrip({"w": net.weight})["w"].owner):
        assert found.weight.owner is found


@SPARSE_BETA
@given(
    st.sampled_from(["coo", "csr", "csc", "bsr", "bsc", "hybrid"]),
    st.sampled_from([torch.float32, torch.bool, torch.complex64, torch.int16]),
    st.integers(0, 9),
)
def test_sparse_tensors_come_back_to_the_bit(layout: str, dtype: Any, seed: int) -> None:
    dense = filled(torch.int64, (4, 6, 2), seed).remainder(3).to(dtype)
    flat = dense[..., 0]
    tensor = {
        "coo": lambda: flat.to_sparse(),
        "hybrid": lambda: dense.to_sparse(2),
        "csr": lambda: flat.to_sparse_csr(),
        "csc": lambda: flat.to_sparse_csc(),
        "bsr": lambda: flat.to_sparse_bsr((2, 3)),
        "bsc": lambda: flat.to_sparse_bsc((2, 3)),
    }[layout]()
    found = again(tensor)
    assert_same(found, tensor)
    assert bits(found.to_dense()) == bits(tensor.to_dense())


def test_repeated_indices_of_a_sparse_tensor_stay_apart(roundtrip: RoundTrip) -> None:
    indices, values = torch.tensor([[0, 0, 2]]), torch.tensor([1.0, 2.0, 3.0])
    tensor = torch.sparse_coo_tensor(indices, values, (3,), requires_grad=True, check_invariants=True)
    found = roundtrip(tensor)
    assert not found.is_coalesced()
    assert found._nnz() == 3
    assert found.requires_grad
    assert roundtrip(tensor.detach().coalesce()).is_coalesced()


@pytest.mark.parametrize("value", [
    torch.float32, torch.float8_e5m2, torch.strided, torch.sparse_coo, torch.channels_last,
    torch.device("cpu"), torch.device("cuda:1"), torch.Size([2, 3]), torch.Size([]),
], ids=str)  # fmt: skip
def test_small_values_come_back(value: Any, roundtrip: RoundTrip) -> None:
    found = roundtrip([value])[0]
    assert type(found) is type(value)
    assert found == value


@given(st.integers(0, 2000), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=30)
def test_a_generator_goes_on_with_the_same_sequence(draws: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.rand(draws, generator=generator)
    torch.randn(1, generator=generator)
    found = again(generator)
    assert found.initial_seed() == generator.initial_seed()
    for draw in (torch.randn, torch.rand):
        assert equal(draw(700, generator=found), draw(700, generator=generator))


def test_a_new_generator_comes_back(roundtrip: RoundTrip) -> None:
    assert equal(
        torch.rand(5, generator=roundtrip(torch.Generator())), torch.rand(5, generator=torch.Generator())
    )


# Modules

_BATCH = {"batch_first": True}
_SIZES: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "AdaptiveLogSoftmaxWithLoss": ((8, 20, [5, 10]), {"div_value": 2.0}),
    "Bilinear": ((4, 4, 3), {}),
    "ChannelShuffle": ((2,), {}),
    "CrossMapLRN2d": ((2,), {}),
    "Embedding": ((10, 4), {"padding_idx": 0}),
    "EmbeddingBag": ((10, 4), {}),
    "Flatten": ((), {}),
    "Fold": (((4, 4), (2, 2)), {}),
    "FractionalMaxPool2d": ((2,), {"output_size": (2, 2), "_random_samples": torch.rand(1, 4, 2)}),
    "FractionalMaxPool3d": ((2,), {"output_size": (2, 2, 2), "_random_samples": torch.rand(1, 4, 3)}),
    "GRU": ((4, 6, 2), {"bidirectional": True, "batch_first": True}),
    "GRUCell": ((4, 6), {}),
    "GroupNorm": ((2, 4), {}),
    "KLDivLoss": ((), {"reduction": "batchmean"}),
    "LSTM": ((4, 6, 2), {"proj_size": 3, "batch_first": True}),
    "LSTMCell": ((4, 6), {}),
    "LayerNorm": ((4,), {}),
    "Linear": ((4, 3), {}),
    "LinearCrossEntropyLoss": ((4, 3), {}),
    "LocalResponseNorm": ((2,), {}),
    "ModuleDict": (({"a": nn.Linear(2, 2), "b": nn.ReLU()},), {}),
    "ModuleList": (([nn.Linear(2, 2), nn.ReLU()],), {}),
    "MultiheadAttention": ((4, 2), _BATCH),
    "PReLU": ((4,), {}),
    "ParameterDict": (({"a": torch.randn(2), "b": torch.randn(3)},), {}),
    "ParameterList": (([torch.randn(2), nn.Parameter(torch.randn(3))],), {}),
    "PixelShuffle": ((2,), {}),
    "PixelUnshuffle": ((2,), {}),
    "RMSNorm": ((4,), {}),
    "RNN": ((4, 6), {"nonlinearity": "relu", "batch_first": True}),
    "RNNBase": (("LSTM", 4, 6), {}),
    "RNNCell": ((4, 6), {}),
    "RNNCellBase": ((4, 6, True, 4), {}),
    "Sequential": ((nn.Linear(4, 4), nn.GELU()), {}),
    "SyncBatchNorm": ((4,), {}),
    "Threshold": ((0.1, 0.2), {}),
    "Transformer": ((4, 2, 1, 1, 8), _BATCH),
    "TransformerDecoder": ((nn.TransformerDecoderLayer(4, 2, 8, batch_first=True), 2), {}),
    "TransformerDecoderLayer": ((4, 2, 8), {**_BATCH, "activation": F.gelu}),
    "TransformerEncoder": ((nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2), {}),
    "TransformerEncoderLayer": ((4, 2, 8), {**_BATCH, "activation": torch.relu}),
    "TripletMarginWithDistanceLoss": ((), {"distance_function": F.pairwise_distance}),
    "Unflatten": ((1, (2, 2)), {}),
    "Unfold": ((2,), {}),
    "Upsample": ((), {"scale_factor": 2}),
    "UpsamplingBilinear2d": ((), {"scale_factor": 2}),
    "UpsamplingNearest2d": ((), {"scale_factor": 2}),
}  # fmt: skip
_NOT_MODULES = {"DataParallel", "Container", "Module"}


def _torch_modules() -> Iterator[str]:
    for name in sorted(dir(nn)):
        cls = getattr(nn, name)
        if isinstance(cls, type) and issubclass(cls, nn.Module) and name not in _NOT_MODULES:
            yield name


def _made(name: str) -> Any:
    """A module of that class; the arguments that families share need no entry in the table."""
    torch.manual_seed(1)
    cls = getattr(nn, name)
    positional, named = _SIZES.get(name, ((), {}))
    if name not in _SIZES:
        if "BatchNorm" in name or "InstanceNorm" in name:
            positional = () if name.startswith("Lazy") else (4,)
            named = {"affine": True, "track_running_stats": True}
        elif "Conv" in name:
            positional = (3, 2) if name.startswith("Lazy") else (4, 3, 2)
        elif name == "LazyLinear":
            positional = (3,)
        elif "Pool" in name or "Unpool" in name:
            positional = (2.0, 2) if name.startswith("LP") else (2,)
        elif "ConstantPad" in name:
            positional = (1, 0.5)
        elif "Pad" in name:
            positional = (1,)
        elif name in ("Softmax", "LogSoftmax", "Softmin"):
            named = {"dim": 1}
    return cls(*positional, **named)


def _inputs(name: str) -> list[Any]:
    """What a module of that class may be called with."""
    torch.manual_seed(2)
    rows = torch.rand(3, 4)
    labels = torch.tensor([0, 2, 1])
    signs = torch.tensor([1.0, -1.0, 1.0])
    known: dict[str, list[Any]] = {
        "AdaptiveLogSoftmaxWithLoss": [torch.rand(3, 8), labels],
        "BCELoss": [rows, torch.rand(3, 4)],
        "Bilinear": [rows, torch.rand(3, 4)],
        "CTCLoss": [
            rows.log_softmax(-1)[:, None],
            torch.tensor([[1, 2]]),
            torch.tensor([3]),
            torch.tensor([2]),
        ],
        "CosineEmbeddingLoss": [rows, torch.rand(3, 4), signs],
        "CosineSimilarity": [rows, torch.rand(3, 4)],
        "CrossEntropyLoss": [rows, labels],
        "Embedding": [labels],
        "EmbeddingBag": [labels[None]],
        "Fold": [torch.rand(1, 8, 9)],
        "GLU": [rows],
        "GaussianNLLLoss": [rows, torch.rand(3, 4), torch.rand(3, 4)],
        "LinearCrossEntropyLoss": [rows, labels],
        "MarginRankingLoss": [rows[:, 0], rows[:, 1], signs],
        "MultiLabelMarginLoss": [rows, torch.tensor([[0, 1, -1, -1]] * 3)],
        "MultiMarginLoss": [rows, labels],
        "MultiheadAttention": [torch.rand(2, 3, 4)] * 3,
        "NLLLoss": [rows, labels],
        "NLLLoss2d": [torch.rand(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64)],
        "PairwiseDistance": [rows, torch.rand(3, 4)],
        "ParameterDict": [],
        "Transformer": [torch.rand(2, 3, 4)] * 2,
        "TransformerDecoder": [torch.rand(2, 3, 4)] * 2,
        "TransformerDecoderLayer": [torch.rand(2, 3, 4)] * 2,
        "TripletMarginLoss": [rows, torch.rand(3, 4), torch.rand(3, 4)],
        "TripletMarginWithDistanceLoss": [rows, torch.rand(3, 4), torch.rand(3, 4)],
    }
    if name in known:
        return known[name]
    if name.startswith("MaxUnpool"):
        axes = int(name[-2])
        shape = (1, 4, *[4] * axes)
        pool: Any = getattr(F, f"max_pool{axes}d")
        return list(pool(torch.rand(shape), 2, return_indices=True))
    if "Loss" in name:
        return [rows, torch.rand(3, 4)]
    axes = {"1d": 1, "2d": 2, "3d": 3}.get(name[-2:], 0)
    if name in (
        "ChannelShuffle",
        "PixelShuffle",
        "PixelUnshuffle",
        "LocalResponseNorm",
        "Unfold",
        "SyncBatchNorm",
    ):
        axes = 2
    if name.startswith(("Upsample", "CrossMap")):
        axes = 2
    if name.startswith("Upsampling"):
        axes = 2
    if name in ("GRU", "LSTM", "RNN", "TransformerEncoder", "TransformerEncoderLayer"):
        return [torch.rand(2, 3, 4)]
    return [torch.rand(1, 4, *[4] * axes) if axes else rows]


_NO_FORWARD = {"ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "RNNBase", "RNNCellBase"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in _torch_modules() if not name.startswith("Lazy")])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:.*NLLLoss2d.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_every_module_of_torch_computes_the_same_again(name: str, roundtrip: RoundTrip) -> None:
    module = _made(name)
    found = roundtrip(module)
    assert_same_modules(found, module)
    if name in _NO_FORWARD:
        return
    inputs = _inputs(name)
    outputs = []
    for which in (module, found):
        torch.manual_seed(3)
        outputs.append(which(*inputs))
    assert equal(outputs[1], outputs[0])
    assert_same_modules(found, module)


class Residual(nn.Module):
    """A module class of a user's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(width, width, bias=False)
        self.decoder = nn.Linear(width, width, bias=False)
        self.decoder.weight = self.encoder.weight
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("mask", torch.ones(width, dtype=torch.bool), persistent=False)
        self.register_buffer("nothing", None)
        self.activation = F.gelu
        self.history = {"loss": [1.0, 0.5], "best": self.decoder}

    def forward(self, rows: Any) -> Any:
        return rows + self.scale * self.decoder(self.activation(self.encoder(rows)))


TRUST = [f"{__name__}.*"]


def test_a_module_class_of_the_user_needs_trust(tmp_path: Path) -> None:
    saver.dump(Residual(4), tmp_path / "net.saver")
    with pytest.raises(saver.UntrustedError, match="Residual"):
        saver.load(tmp_path / "net.saver")
    assert type(saver.load(tmp_path / "net.saver", trust=TRUST)) is Residual


def test_a_trusted_module_comes_back_whole(roundtrip: RoundTrip) -> None:
    net = Residual(4).eval()
    found = roundtrip(net, trust=TRUST)
    assert_same_modules(found, net)
    assert found.decoder.weight is found.encoder.weight
    assert found.history["best"] is found.decoder
    assert found._non_persistent_buffers_set == {"mask"}
    assert found.nothing is None
    rows = torch.randn(3, 4)
    assert equal(found(rows), net(rows))
    found.register_forward_hook(lambda *_: None)
    assert not net._forward_hooks


def test_weights_tied_through_their_data_stay_tied(roundtrip: RoundTrip) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = nn.Parameter(net[0].weight.data.t())
    found = roundtrip(net)
    assert_same_modules(found, net)
    with torch.no_grad():
        found[0].weight[1, 2] = 7
    assert found[1].weight[2, 1] == 7


def test_any_safetensors_reader_sees_the_state_dict(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LSTM(4, 5), nn.Linear(5, 2))
    net[0].to(memory_format=torch.channels_last)
    net[3].to(torch.bfloat16)
    saver.dump(net, tmp_path / "net.saver")
    state = net.state_dict()
    with safe_open(tmp_path / "net.saver", "pt") as file:
        assert set(file.keys()) == {f"model/{name}" for name in state}
        for name, tensor in state.items():
            found = file.get_tensor(f"model/{name}")
            assert found.dtype == tensor.dtype
            assert found.shape == tensor.shape
            assert bits(found) == bits(tensor)


def test_a_state_dict_keeps_its_metadata(roundtrip: RoundTrip) -> None:
    state = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    found = roundtrip(state)
    assert type(found) is OrderedDict
    assert list(found) == list(state)
    assert found._metadata == state._metadata
    assert type(found._metadata) is OrderedDict
    other = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    other.load_state_dict(found)
    assert equal(list(other.state_dict().values()), list(state.values()))


def test_a_lazy_module_saves_once_it_has_seen_data(roundtrip: RoundTrip) -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    with pytest.raises(saver.CannotSaveError, match=r"\$\.model\[0\].*: a lazy module .* run one batch"):
        roundtrip(net)
    net(torch.randn(2, 4))
    assert_same_modules(roundtrip(net), net)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_module_compiled_in_place_comes_back_not_compiled(roundtrip: RoundTrip) -> None:
    net = nn.Linear(2, 2)
    net.compile()
    found = roundtrip(net)
    assert_same_modules(found, net)
    assert found._compiled_call_impl is None


def test_an_average_of_models_comes_back(roundtrip: RoundTrip) -> None:
    net = nn.Linear(2, 2)
    average = torch.optim.swa_utils.AveragedModel(net)
    average.update_parameters(net)
    found = roundtrip(average)
    assert_same_modules(found, average)
    found.update_parameters(net)


def _scripted() -> Any:
    return torch.jit.script(nn.Linear(2, 2))


def _hooked(register: str) -> Any:
    net = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    getattr(net[1], register)(_hook)
    return net


def _hook(*_: Any) -> None: ...


def _with(change: Callable[[Any], Any]) -> Any:
    net = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    change(net[1])
    return net


def _on_step(optimizer: Any) -> Any:
    optimizer.register_step_pre_hook(_hook)
    return optimizer


def _tensor_hook() -> Any:
    tensor = torch.randn(2, requires_grad=True)
    tensor.register_hook(_hook)
    return tensor


_STEPPER = lambda epoch: 0.9  # noqa: E731

_STATE_DICT_HOOK = "register_state_dict_post_hook"
if not hasattr(nn.Module, _STATE_DICT_HOOK):  # it is private before torch 2.5
    _STATE_DICT_HOOK = "_register_state_dict_hook"

_REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "forward hook": (
        lambda: _hooked("register_forward_hook"),
        r"\$\.model\[1\]: a forward hook \(_hook\).*remove",
    ),
    "forward pre-hook": (lambda: _hooked("register_forward_pre_hook"), r"\$\.model\[1\]: a forward pre hook"),
    "backward hook": (lambda: _hooked("register_full_backward_hook"), r"\$\.model\[1\]: a backward hook"),
    "state dict hook": (
        lambda: _hooked(_STATE_DICT_HOOK),
        r"\$\.model\[1\]: a state dict hook",
    ),
    "lambda": (lambda: _with(lambda net: setattr(net, "act", lambda x: x)), r"\$\.model\[1\]\.act: a lambda"),
    "parametrization": (
        lambda: _with(lambda net: nn.utils.parametrizations.weight_norm(net)),
        r"\$\.model\[1\]: .*remove_parametrizations",
    ),
    "pruning": (lambda: _with(lambda net: prune.identity(net, "weight")), r"\$\.model\[1\]: .*pruning"),
    "compiled": (lambda: torch.compile(nn.Linear(2, 2)), r"\$\.model: .*_orig_mod"),
    "scripted": (_scripted, r"\$\.model: .*torch\.jit"),
    "traced": (lambda: torch.fx.symbolic_trace(nn.Linear(2, 2)), r"\$\.model: .*traced from"),
    "data parallel": (lambda: nn.DataParallel(nn.Linear(2, 2)), r"\$\.model: .*\.module"),
    "local class": (lambda: type("Net", (nn.Module,), {})(), r"\$\.model: .*cannot be found again"),
    "meta": (lambda: nn.Linear(2, 2, device="meta"), r"\$\.model\.weight.*: .*meta"),
    "uninitialized": (lambda: nn.UninitializedParameter(), r"\$\.model: an uninitialized parameter"),
    "nested": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        r"\$\.model: a nested tensor",
    ),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8),
        r"\$\.model: a quantized",
    ),
    "onednn": (lambda: torch.ones(2).to_mkldnn(), r"\$\.model: .*oneDNN"),
    "subclass": (lambda: torch.ones(2).as_subclass(Subclass), r"\$\.model: .*Subclass, a subclass of Tensor"),
    "tensor hook": (_tensor_hook, r"\$\.model: a hook of a tensor"),
    "step hook": (lambda: _on_step(torch.optim.SGD([torch.ones(2)])), r"\$\.model: a hook of an optimizer"),
    "lambda schedule": (
        lambda: schedules.LambdaLR(torch.optim.SGD([torch.ones(2)]), _STEPPER),
        r"\$\.model\.lr_lambdas\[0\]: a lambda",
    ),
}


class Subclass(torch.Tensor):
    """A kind of tensor with a meaning of its own."""


@pytest.mark.parametrize("name", _REFUSED)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_what_cannot_be_saved_says_where_it_is_and_what_to_do(name: str, tmp_path: Path) -> None:
    make, message = _REFUSED[name]
    with pytest.raises(saver.CannotSaveError, match=message):
        saver.dump(make(), tmp_path / "refused.saver")
    assert not (tmp_path / "refused.saver").exists()


# Training

_OPTIMIZERS: dict[str, dict[str, Any]] = {
    "ASGD": {}, "Adadelta": {}, "Adafactor": {}, "Adagrad": {"lr_decay": 0.1}, "Adam": {"amsgrad": True},
    "AdamW": {"lr": torch.tensor(0.01)}, "Adamax": {},
    "LBFGS": {"history_size": 3, "line_search_fn": "strong_wolfe"},
    "Muon": {}, "NAdam": {}, "RAdam": {}, "RMSprop": {"momentum": 0.9, "centered": True}, "Rprop": {},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True}, "SparseAdam": {},
}  # fmt: skip


def _network(kind: str) -> Any:
    torch.manual_seed(5)
    if kind == "SparseAdam":
        return nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(0))
    bias = kind != "Muon"
    return nn.Sequential(nn.Linear(6, 8, bias), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 2, bias))


def _train(parts: dict[str, Any], steps: int) -> list[Any]:
    """The losses of some steps, with noise from the generators among the parts."""
    net, optimizer = parts["model"], parts["optimizer"]
    losses = []
    for _ in range(steps):
        noise = torch.randn(16, 6, generator=parts["generator"])
        labels = torch.randint(0, 10, (7,), generator=parts["generator"])
        torch.manual_seed(int(labels.sum()))

        def closure(noise: Any = noise, labels: Any = labels) -> Any:
            optimizer.zero_grad()
            loss = net(labels if isinstance(net[0], nn.Embedding) else noise).square().mean()
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).detach().clone())
        for scheduler in parts.get("schedulers", ()):
            with_metric = isinstance(scheduler, schedules.ReduceLROnPlateau)
            scheduler.step(*([losses[-1].item()] if with_metric else []))
    return losses


def _assert_trains_on(parts: dict[str, Any], roundtrip: RoundTrip, **options: Any) -> Any:
    """Training goes on after a load exactly as it would have without one."""
    _train(parts, 4)
    found = roundtrip(parts, **options)
    assert type(found["optimizer"]) is type(parts["optimizer"])
    held = [p for group in found["optimizer"].param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(p) for p in found["model"].parameters()]
    assert equal(_train(found, 5), _train(parts, 5))
    for new, old in zip(found["model"].parameters(), parts["model"].parameters(), strict=True):
        assert bits(new) == bits(old)
    assert repr(found["optimizer"]) == repr(parts["optimizer"])
    return found


def test_every_optimizer_of_torch_is_tested() -> None:
    known = {
        name for name, cls in vars(torch.optim).items()
        if isinstance(cls, type) and issubclass(cls, torch.optim.Optimizer)
    }  # fmt: skip
    assert known - {"Optimizer"} <= _OPTIMIZERS.keys()


@pytest.mark.parametrize("kind", [kind for kind in _OPTIMIZERS if hasattr(torch.optim, kind)])
def test_training_goes_on_with_every_optimizer(kind: str, roundtrip: RoundTrip) -> None:
    net = _network(kind)
    optimizer = getattr(torch.optim, kind)(net.parameters(), **_OPTIMIZERS[kind])
    _assert_trains_on({"model": net, "optimizer": optimizer, "generator": torch.Generator()}, roundtrip)


@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}], ids=str)
def test_training_goes_on_with_fused_and_foreach_steps(options: Any, roundtrip: RoundTrip) -> None:
    net = _network("Adam")
    optimizer = torch.optim.Adam(net.parameters(), **options)
    _assert_trains_on({"model": net, "optimizer": optimizer, "generator": torch.Generator()}, roundtrip)


def halved(epoch: int) -> float:
    return 0.5**epoch


_SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "ChainedScheduler": lambda o: schedules.ChainedScheduler([
        schedules.ConstantLR(o, 0.5, 2), schedules.ExponentialLR(o, 0.9),
    ]),
    "ConstantLR": lambda o: schedules.ConstantLR(o, 0.5, 6),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 6),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, 2),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.9),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: schedules.LambdaLR(o, halved),
    "LinearLR": lambda o: schedules.LinearLR(o, 0.1, 1.0, 6),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 6, 6]),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, halved),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.1, 20),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o, 20, 2.0),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.ConstantLR(o, 0.1, 3), schedules.CosineAnnealingLR(o, 5)], [5]
    ),
    "StepLR": lambda o: schedules.StepLR(o, 3),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.5, anneal_epochs=7, anneal_strategy="linear"),
}  # fmt: skip


def test_every_schedule_of_torch_is_tested() -> None:
    known = set(schedules.__all__) - {"LRScheduler"}
    assert known <= _SCHEDULES.keys()


@pytest.mark.filterwarnings("ignore:.*the epoch parameter:UserWarning")  # SequentialLR warns of itself
@pytest.mark.parametrize("name", _SCHEDULES)
def test_training_goes_on_with_every_schedule(name: str, roundtrip: RoundTrip) -> None:
    net = _network("SGD")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    parts = {
        "model": net, "optimizer": optimizer, "schedulers": [_SCHEDULES[name](optimizer)],
        "generator": torch.Generator().manual_seed(1),
    }  # fmt: skip
    found = _assert_trains_on(parts, roundtrip, trust=TRUST)
    (scheduler,) = found["schedulers"]
    assert type(scheduler) is type(parts["schedulers"][0])
    assert scheduler.optimizer is found["optimizer"]
    assert scheduler.get_last_lr() == parts["schedulers"][0].get_last_lr()


@pytest.mark.parametrize("mode", ["triangular", "triangular2"])
def test_a_cyclic_schedule_scales_as_before(mode: str, roundtrip: RoundTrip) -> None:
    optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1, momentum=0.9)
    scheduler = schedules.CyclicLR(optimizer, 0.01, 0.1, 2, mode=mode)
    found = roundtrip(scheduler)
    for which in (scheduler, found):
        for _ in range(11):
            which.optimizer.step()
            which.step()
    assert found.get_last_lr() == scheduler.get_last_lr()


def test_a_schedule_still_warns_of_the_wrong_order(roundtrip: RoundTrip) -> None:
    optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1)
    found = roundtrip(schedules.StepLR(optimizer, 3))
    with pytest.warns(UserWarning, match=r"before `optimizer.step\(\)`"):
        found.step()
    found = roundtrip(schedules.StepLR(optimizer, 3))
    found.optimizer.step()
    found.step()


def test_an_optimizer_in_front_of_its_model_holds_its_parameters(roundtrip: RoundTrip) -> None:
    net = nn.Linear(2, 2)
    found = roundtrip({"optimizer": torch.optim.SGD(net.parameters()), "model": net})
    assert found["optimizer"].param_groups[0]["params"][0] is found["model"].weight


def test_an_optimizer_of_another_torch_gets_the_options_it_lacks() -> None:
    tree, memory = encoded(torch.optim.Adam([torch.nn.Parameter(torch.ones(2))]))
    state = first_state(tree, "torch.Optimizer")
    state["torch"] = "2.4.0"
    group = first_state(state["param_groups"], "dict")
    if "decoupled_weight_decay" not in group:
        pytest.skip("this torch has no option that 2.4.0 lacks")
    del group["decoupled_weight_decay"]
    group.pop("$order", None)
    found = decoded(tree, memory)
    found.param_groups[0]["params"][0].grad = torch.ones(2)
    found.step()
    assert found.param_groups[0]["decoupled_weight_decay"] is False


def test_step_counts_do_not_crowd_the_file(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2)).sum().backward()
    optimizer.step()
    saver.dump({"optimizer": optimizer}, tmp_path / "adam.saver")
    with safe_open(tmp_path / "adam.saver", "pt") as file:
        assert set(file.keys()) == {
            "optimizer/param_groups.0.params.0", "optimizer/param_groups.0.params.1",
            "optimizer/state.0.exp_avg", "optimizer/state.0.exp_avg_sq",
            "optimizer/state.1.exp_avg", "optimizer/state.1.exp_avg_sq",
        }  # fmt: skip


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("used", [True, False])
def test_a_gradient_scaler_comes_back(enabled: bool, used: bool, roundtrip: RoundTrip) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1, enabled=enabled)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))])

    def step(which: Any) -> Any:
        optimizer.zero_grad()
        loss = which.scale(optimizer.param_groups[0]["params"][0].sum())
        loss.backward()
        which.step(optimizer)
        which.update()
        return which.get_scale()

    if used:
        step(scaler)
    found = roundtrip(scaler)
    assert type(found) is torch.amp.GradScaler
    assert found.state_dict() == scaler.state_dict()
    assert step(found) == step(scaler)


def test_a_gradient_scaler_amid_an_iteration_is_refused(tmp_path: Path) -> None:
    scaler = torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))])
    scaler.scale(optimizer.param_groups[0]["params"][0].sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(saver.CannotSaveError, match=r"after `scaler\.update"):
        saver.dump(scaler, tmp_path / "scaler.saver")


@pytest.mark.parametrize(
    "function",
    [torch.relu, torch.tanh, F.relu, F.gelu, F.silu, F.softplus, F.logsigmoid, F.pairwise_distance],
    ids=lambda function: function.__name__,
)
def test_activations_need_no_trust(function: Any, roundtrip: RoundTrip) -> None:
    assert roundtrip([function])[0] is function


# Trees that nobody saved

_PLAIN = torch.arange(12.0).reshape(3, 4)


def _tampered(obj: Any, codec: str, change: Callable[[Any], Any], trust: Any = ()) -> Any:
    tree, memory = encoded(obj)
    change(first_state(tree, codec))
    return decoded(tree, memory)


_VIEW: list[dict[str, Any]] = [
    {"offset": 9}, {"offset": -1}, {"offset": 1 << 61}, {"offset": "0"}, {"shape": [4, 3]},
    {"shape": [3, -1]},
    {"shape": [1 << 40, 1 << 40]}, {"shape": [3]}, {"shape": [True, 3]}, {"stride": [1 << 60, 1]},
    {"stride": [-1, 1]},
    {"stride": [1]}, {"stride": "11"}, {"dtype": "float64"}, {"dtype": "qint8"}, {"dtype": "object"},
    {"dtype": None},
    {"base": {"$": "list", "state": []}}, {"base": None},
]  # fmt: skip


@pytest.mark.parametrize("change", _VIEW, ids=str)
def test_a_view_beyond_its_storage_is_refused(change: dict[str, Any]) -> None:
    view = _PLAIN[:, 1:]
    assert bits(_tampered(view, "torch.Tensor", lambda state: None)) == bits(view)
    with pytest.raises(saver.IncompatibleError):
        _tampered(view, "torch.Tensor", lambda state: state.update(change))


_WRONG: list[dict[str, Any]] = [
    {"dtype": "float64"}, {"dtype": "complex64"}, {"dtype": "float8_e8m0fnu"}, {"stride": [1]},
    {"stride": [0, 0]},
    {"stride": [1, 1]}, {"stride": [1, 1 << 50]}, {"device": "nowhere"}, {"device": 3},
    {"conj": True, "data": None},
    {"data": "00"}, {"data": "zz", "dtype": "uint8"}, {"data": "0000", "dtype": "uint8"},
    {"layout": "sparse_coo"},
    {"layout": "jagged", "shape": [3]}, {"attributes": []},
]  # fmt: skip


@pytest.mark.parametrize("change", _WRONG, ids=str)
def test_a_tensor_that_contradicts_its_bytes_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(saver.IncompatibleError):
        _tampered(_PLAIN, "torch.Tensor", lambda state: state.update(change))


def test_a_file_holds_no_gradients_as_a_pickle_does_not_but_those_that_are_saved_by_name(
    roundtrip: RoundTrip,
) -> None:
    net, leaf = torch.nn.Linear(2, 1), torch.ones(2, requires_grad=True)
    (net(torch.ones(1, 2)).sum() + leaf.sum()).backward()
    grads = {name: item.grad for name, item in net.named_parameters()}
    found = roundtrip({"net": net, "leaf": leaf, "grads": grads})
    for tensor in (found["net"].weight, found["leaf"], pickle.loads(pickle.dumps(net.weight))):
        assert tensor.grad is None
    assert all(torch.equal(found["grads"][name], grad) for name, grad in grads.items())


def test_an_integer_that_wants_a_gradient_is_refused() -> None:
    with pytest.raises(saver.IncompatibleError):
        _tampered(torch.arange(3), "torch.Tensor", lambda state: state.update(requires_grad=True))


def test_a_bool_that_is_neither_true_nor_false_is_refused() -> None:
    tree, memory = encoded(torch.ones(4, dtype=torch.bool))
    memory.held["model"][2][2] = 2
    with pytest.raises(saver.IncompatibleError, match="neither 0 nor 1"):
        decoded(tree, memory)
    windows = torch.arange(6, dtype=torch.uint8).as_strided((3, 3), (1, 1))
    with pytest.raises(saver.IncompatibleError, match="neither 0 nor 1"):
        _tampered(windows, "torch.Tensor", lambda state: state.update(dtype="bool"))


def test_bools_of_other_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(saver.CannotSaveError, match="bytes other than 0 and 1"):
        saver.dump(torch.arange(3, dtype=torch.uint8).view(torch.bool), tmp_path / "bools.saver")


def test_bools_beside_other_bytes_are_sound(roundtrip: RoundTrip) -> None:
    numbers = torch.tensor([7, 1, 9, 0], dtype=torch.uint8)
    flags = numbers.view(torch.bool)[1::2]
    assert roundtrip([numbers, flags])[1].tolist() == [True, False]
    apart = torch.arange(100, dtype=torch.uint8).view(torch.bool)
    assert [t.tolist() for t in roundtrip([apart[:2], apart[1:2]])] == [[False, True], [True]]
    apart[99:].view(torch.uint8).fill_(1)
    assert [t.tolist() for t in roundtrip([apart[1:2].expand(2), apart[99:]])] == [[True, True], [True]]


@SPARSE_BETA
@pytest.mark.parametrize(("layout", "name", "values"), [
    ("coo", "indices", [[0, 3], [0, 1]]), ("coo", "indices", [[0, -1], [0, 1]]),
    ("coo", "indices", [[1, 0], [0, 1]]),
    ("csr", "crow_indices", [0, 1, 9]), ("csr", "crow_indices", [0, 2, 1]), ("csr", "col_indices", [0, 9]),
    ("csr", "crow_indices", [0, 2]),
])  # fmt: skip
def test_wrong_indices_of_a_sparse_tensor_are_refused(layout: str, name: str, values: Any) -> None:
    dense = torch.eye(2)
    tensor = dense.to_sparse().coalesce() if layout == "coo" else dense.to_sparse_csr()
    tree, memory = encoded(tensor)
    (place,) = (key for key in memory.held if key.endswith(f"/{name}"))
    array = np.array(values, np.int64)
    memory.held[place] = ("I64", array.shape, array.reshape(-1).view(np.uint8))
    with pytest.raises(saver.IncompatibleError):
        decoded(tree, memory)


def _renamed(obj: Any, old: str, new: str) -> Any:
    tree, memory = encoded(obj)
    return decoded(json.loads(json.dumps(tree).replace(f'"{old}"', f'"{new}"')), memory)


@pytest.mark.parametrize("name", [
    "torch.nn.parameter:Parameter", "torch.optim.sgd:SGD", "torch:Tensor", "torch.nn.functional:relu",
    "torch.nn.parallel.data_parallel:DataParallel", "torch.jit._script:RecursiveScriptModule",
    "torch.utils.data.dataset:Dataset", "torch.fx.graph_module:GraphModule", "torch.serialization:load",
])  # fmt: skip
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_class_that_is_not_a_plain_module_is_refused(name: str) -> None:
    assert (
        type(_renamed(nn.Tanh(), "torch.nn.modules.activation:Tanh", "torch.nn.modules.activation:ReLU"))
        is nn.ReLU
    )
    with pytest.raises(saver.SaverError) as caught:
        _renamed(nn.Tanh(), "torch.nn.modules.activation:Tanh", name)
    assert isinstance(caught.value, (saver.IncompatibleError, saver.UntrustedError, saver.NotFoundError))


@pytest.mark.parametrize("name", ["torch.nn.modules.linear:Linear", "torch.optim.lr_scheduler:StepLR"])
def test_a_class_that_is_not_an_optimizer_is_refused(name: str) -> None:
    with pytest.raises(saver.IncompatibleError):
        _renamed(torch.optim.SGD([torch.ones(2)]), "torch.optim.sgd:SGD", name)


@pytest.mark.parametrize("change", [
    {"attributes": {"_forward_hooks": {"$": "dict", "state": {}}}}, {"attributes": {"_parameters": None}},
    {"parameters": {"weight": 3}}, {"modules": {"child": {"$": "dict", "state": {}}}}, {"buffers": [1]},
    {"non_persistent": [1]}, {"parameters": {"weight": {"$ref": 99}}},
], ids=str)  # fmt: skip
def test_a_module_made_of_other_things_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(saver.IncompatibleError):
        _tampered(nn.Linear(2, 2), "torch.Module", lambda state: state.update(change))


def test_a_recurrent_network_without_sound_weights_is_refused() -> None:
    def change(state: Any) -> None:
        state["attributes"]["_flat_weights_names"] = {"$": "list", "state": ["training", 3]}

    with pytest.raises(saver.IncompatibleError):
        _tampered(nn.LSTM(2, 2), "torch.Module", change)


@pytest.mark.parametrize("change", [
    {"param_groups": {"$": "list", "state": [3]}}, {"param_groups": None}, {"state": [[3, 4]]},
    {"attributes": {"step": None}},
    {"param_groups": {"$": "list", "state": [{"$": "dict", "state": {"params": 1}}]}},
], ids=str)  # fmt: skip
def test_an_optimizer_made_of_other_things_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(saver.IncompatibleError):
        _tampered(torch.optim.SGD([torch.ones(2)]), "torch.Optimizer", lambda state: state.update(change))


def test_a_fused_step_is_not_led_beyond_its_state() -> None:
    net = nn.Linear(8, 8)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    net(torch.ones(8)).sum().backward()
    optimizer.step()
    optimizer.state[net.weight]["exp_avg"] = torch.zeros(2)
    with pytest.raises(saver.IncompatibleError, match="does not have the shape of its parameter"):
        again(optimizer)


@pytest.mark.parametrize(
    ("at", "value"), [(8, 0), (8, 625), (8, 624 << 32 | 1), (16, 624), (16, 1 << 40), (12, 0)]
)
def test_a_generator_cannot_be_led_beyond_its_words(at: int, value: int) -> None:
    generator = torch.Generator()
    torch.rand(10, generator=generator)
    tree, memory = encoded(generator)
    dtype, _, data = memory.held["model/state"]
    if (at, value) == (16, 624):
        data[8:12] = np.array([600], np.int32).view(np.uint8)
    width = np.int32 if at == 12 else np.int64
    data[at : at + np.dtype(width).itemsize] = np.array([value], width).view(np.uint8)
    with pytest.raises(saver.IncompatibleError):
        decoded(tree, memory)
    memory.held["model/state"] = (dtype, (40,), data[:40])
    with pytest.raises(saver.IncompatibleError):
        decoded(tree, memory)


# Accelerators


ABSENT = "xpu:99"
"""A device that no machine has."""


def from_absent(obj: Any, save: Callable[[Any], Opened]) -> Opened:
    """What was saved, as if all tensors had been on a device that is not here."""
    opened = save(obj)
    for item in opened.trees["model"].items:
        if isinstance(item, Node) and item.codec == "torch.Tensor" and "base" not in item.state:
            item.state["device"] = ABSENT
    return opened


@pytest.mark.parametrize("make", [
    lambda: torch.arange(300.0), lambda: torch.arange(300.0).reshape(20, 15).t(),
    lambda: torch.arange(300.0)[5:250], lambda: torch.eye(30).to_sparse(), lambda: nn.Linear(20, 20),
    lambda: torch.tensor(3), lambda: torch.eye(30).to_sparse_csr(),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")  # once in a process
@pytest.mark.parametrize("lazy", [False, True])
def test_what_was_on_a_device_that_is_not_here_loads_once_one_says_where(
    make: Callable[[], Any], lazy: bool, save: Callable[[Any], Opened]
) -> None:
    made = make()
    opened = from_absent(made, save)
    with pytest.raises(saver.IncompatibleError, match=f"{ABSENT}', which this machine lacks; pass device='c"):
        opened.load((), lazy=lazy)
    for device in ("cpu", torch.device("cpu")):
        assert equal(state_of(opened.load((), lazy=lazy, device=device)), state_of(made))


def state_of(found: Any) -> Any:
    if isinstance(found, nn.Module):
        return list(found.state_dict().values())
    return found.to_dense() if found.layout is not torch.strided else found


@pytest.mark.parametrize("device", ["", "CPU", "cuda:", "cuda:x", 0, "cpu cuda", "../x", b"cpu", "cuda:0000"])
def test_what_is_not_the_name_of_a_device_is_a_value_error(
    device: Any, save: Callable[[Any], Opened]
) -> None:
    with pytest.raises(ValueError, match="device="):
        saver.load(save(torch.zeros(3)).where, device=device)


@pytest.mark.parametrize("device", [ABSENT, "nonsense", "meta", "cpu:1"])
def test_tensors_go_to_no_device_that_is_not_here(device: str, save: Callable[[Any], Opened]) -> None:
    with pytest.raises(saver.IncompatibleError, match=r"^device='.*pass device='cpu'"):
        saver.load(save(torch.zeros(300)).where, device=device)


def test_restoring_asks_for_no_device(save: Callable[[Any], Opened]) -> None:
    target = torch.zeros(300)
    restore(from_absent(torch.arange(300.0), save), target)
    assert torch.equal(target, torch.arange(300.0))


def test_a_random_generator_needs_its_device() -> None:
    tree, memory = encoded(torch.Generator())
    tree["state"][0] = ABSENT
    with pytest.raises(saver.IncompatibleError, match=f"{ABSENT}' cannot continue without that device"):
        decoded(tree, memory)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [{}, {"fused": True}, {"capturable": True}, {"foreach": True}])
@pytest.mark.parametrize(("there", "wanted"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda:0")])
def test_a_training_goes_on_where_the_caller_wants_it(
    options: dict[str, bool], there: str, wanted: str, tmp_path: Path
) -> None:
    if "capturable" in options and there == "cpu":
        pytest.skip("torch captures nothing on the CPU")
    net = nn.Linear(6, 8).to(there)
    optimizer = torch.optim.AdamW(net.parameters(), **options)

    def train(model: Any, steps: Any) -> None:
        steps.zero_grad()
        device = next(model.parameters()).device
        model(torch.ones(2, 6, device=device)).square().mean().backward()
        steps.step()

    train(net, optimizer)
    saver.dump({"model": net, "optimizer": optimizer}, tmp_path / "s")
    found = saver.load(tmp_path / "s", device=wanted)
    assert {p.device.type for p in found["model"].parameters()} == {torch.device(wanted).type}
    if "capturable" not in options:
        train(found["model"], found["optimizer"])
        train(net, optimizer)
        assert torch.allclose(found["model"].weight.cpu(), net.weight.cpu(), atol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (1000,), (10, 100), (1000, 1)])
def test_what_is_taken_from_a_device_piece_by_piece_is_whole(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_torch_devices, "PIECE", 64)
    tensor = filled(torch.int64, shape)
    for items in (tensor, tensor.t() if len(shape) == 2 else tensor):
        pieces = list(_torch_devices._in_pieces(items))
        assert b"".join(piece.tobytes() for piece in pieces) == bits(items)
        assert all(piece.nbytes <= max(64, piece[:1].nbytes) for piece in pieces if piece.ndim)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_on_a_gpu_trains_on_there(roundtrip: RoundTrip) -> None:
    net = nn.LSTM(6, 8, 2).cuda()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    scaler = torch.amp.GradScaler("cuda")
    generator = torch.Generator("cuda").manual_seed(3)

    def train(parts: dict[str, Any]) -> Any:
        rows = torch.randn(5, 3, 6, generator=parts["generator"], device="cuda")
        parts["optimizer"].zero_grad()
        parts["scaler"].scale(parts["model"](rows)[0].square().mean()).backward()
        parts["scaler"].step(parts["optimizer"])
        parts["scaler"].update()
        return [p.cpu() for p in parts["model"].parameters()]

    parts = {"model": net, "optimizer": optimizer, "scaler": scaler, "generator": generator}
    train(parts)
    found = roundtrip(parts)
    assert {p.device.type for p in found["model"].parameters()} == {"cuda"}
    assert equal(train(found), train(parts))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_views_on_a_gpu_share_their_storage_again(roundtrip: RoundTrip) -> None:
    whole = torch.randn(100, 100, device="cuda")
    found = roundtrip([whole[2:4], whole.t(), whole.to(torch.bfloat16).t(), whole.to_sparse()])
    assert all(tensor.is_cuda for tensor in found)
    assert found[0].data_ptr() - found[1].data_ptr() == 800
    assert torch.equal(found[1], whole.t())
    assert torch.equal(found[2], whole.to(torch.bfloat16).t())
    assert torch.equal(found[3].to_dense(), whole)


# The file itself


@pytest.mark.shows("PyTorch", "save", "load")
@pytest.mark.slow
def test_a_new_process_needs_nothing_but_the_file(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.TransformerEncoderLayer(2, 1, 4, activation=F.gelu)).eval()
    optimizer = torch.optim.Adam(net.parameters())
    rows = torch.randn(3, 2)
    parts = {"f": torch.relu, "net": net, "optimizer": optimizer, "rows": rows, "expected": net(rows)}
    saver.dump(parts, tmp_path / "all.saver")
    script = (
        "import sys, saver; parts = saver.load(sys.argv[1]); import torch; "
        "assert torch.equal(parts['net'](parts['rows']), parts['expected']); "
        "assert parts['optimizer'].param_groups[0]['params'][0] is parts['net'][0].weight"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "all.saver")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_equal_models_make_equal_trees() -> None:
    first, second = (encoded({"model": _network("Adam"), "g": torch.Generator()}) for _ in range(2))
    assert first[0] == second[0]


def test_torch_is_not_needed_to_see_what_is_in_a_tree() -> None:
    tree, _ = encoded(nn.Linear(2, 2))
    found: list[Any] = []
    parse(tree, "test", found)
    assert {item.name for item in walk(found[0]) if isinstance(item, Tensor)} == {
        "model/weight",
        "model/bias",
    }
