"""Weights of embeddings, convolutions and normalisation have the sizes that their module declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forge import forged

import saver

torch: Any = pytest.importorskip("torch")
nn = torch.nn
MODULES: dict[str, Callable[[], Any]] = {
    "Embedding": lambda: nn.Embedding(5, 3, padding_idx=1),
    "EmbeddingBag": lambda: nn.EmbeddingBag(5, 3),
    "Conv1d": lambda: nn.Conv1d(4, 6, 3, groups=2),
    "Conv2d": lambda: nn.Conv2d(4, 6, (3, 2)),
    "Conv3d": lambda: nn.Conv3d(4, 6, 2, bias=False),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4),
    "SyncBatchNorm": lambda: nn.SyncBatchNorm(4),
    "InstanceNorm2d": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "LayerNorm": lambda: nn.LayerNorm((4, 2)),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "LSTM": lambda: nn.LSTM(4, 3, 2, bidirectional=True),
    "GRU": lambda: nn.GRU(4, 3),
    "RNN": lambda: nn.RNN(4, 3),
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2),
}
SIZES = {
    "num_embeddings", "embedding_dim", "in_channels", "out_channels", "groups", "num_features", "num_groups",
    "num_channels", "hidden_size", "input_size", "num_layers", "num_heads",
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_honest_ones_come_back(name: str, roundtrip: Any) -> None:
    for made in (MODULES[name](), MODULES[name]().half(), MODULES[name]().eval()):
        found = roundtrip(made)
        assert type(found) is type(made)
        for key, tensor in made.state_dict().items():
            assert torch.equal(found.state_dict()[key], tensor)


@pytest.mark.shows("PyTorch", "hostile files tried")
@pytest.mark.parametrize("name", MODULES)
def test_every_size_that_does_not_fit_the_weights_is_refused(
    name: str, tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    honest = forged(tmp_path, MODULES[name]())
    sizes = [key for key in honest.tree["state"]["attributes"] if key in SIZES]
    assert sizes or name in ("LayerNorm", "RMSNorm")
    for key in sizes:
        for value in (0, -1, 3, 7, 1000, 2**31, 2**53, 1.5, "4", None, True):
            if value == honest.tree["state"]["attributes"][key]:
                continue
            file = honest.copy()
            file.tree["state"]["attributes"][key] = value
            if key in ("num_heads", "num_groups") and value is True:
                continue  # which is one
            record_property("hostile files", 1)
            with pytest.raises(saver.IncompatibleError, match="is not understood here"):
                saver.load(file.write(tmp_path / "bad.saver"))


def test_weights_that_were_cut_by_hand_are_reported_when_they_are_saved(tmp_path: Path) -> None:
    made = nn.Conv2d(4, 6, 3)
    made.weight = nn.Parameter(made.weight[:3].detach())
    with pytest.raises(
        saver.CannotSaveError, match=r"a Conv2d: weight has the shape \(3, 4, 3, 3\), not \(6, 4, 3, 3\)"
    ):
        saver.dump(made, tmp_path / "a.saver")
    made.out_channels, made.bias = 3, nn.Parameter(made.bias[:3].detach())
    saver.dump(made, tmp_path / "a.saver")
    assert saver.load(tmp_path / "a.saver").weight.shape == (3, 4, 3, 3)
