"""What ranks of torch.distributed hold, saved as one version, and restored into any other mesh."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

import saver

RANKS = Path(__file__).parent / "torch_ranks.py"

pytestmark = pytest.mark.slow


def run(size: int, folder: Path, *what: str) -> None:
    """Do this in so many ranks."""
    notes = folder.parent / f"notes-{size}-{'-'.join(what)}"
    done = subprocess.run(
        [sys.executable, str(RANKS), str(size), str(notes), ",".join(what), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_any_mesh_restores_what_any_mesh_saved(tmp_path: Path, size: int) -> None:
    """Saved by so many ranks under each mesh, as tensors, models and optimizers; restored by 1 to 4 under
    each."""
    folder = tmp_path / "models"
    folder.mkdir()
    more = ["accumulate"] if size in (2, 3) else []
    run(size, folder, "save_meshes", "save_models", "loads_alone", "compare_copies", "scattered", *more)
    for other in {1: (4,), 2: (3,), 3: (2,), 4: (1,)}[size]:
        run(other, folder, "restore_meshes", "restore_models")


def test_ranks_of_a_sealed_store_meet_and_pass_on_what_they_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they tell each other, and pass on, is sealed (`attacks/test_nothing_in_clear.py`)."""
    made = pytest.importorskip("saver.keys.files")
    pytest.importorskip("pyrage")
    made.new_key_file(str(tmp_path / "own.key"))
    folder = tmp_path / "models"
    saver.Saver(folder, key=str(tmp_path / "own.key")).create()
    monkeypatch.setenv("SAVER_KEY", str(tmp_path / "own.key"))
    run(2, folder, "save_meshes", "restore_few_meshes")


@pytest.mark.parametrize(
    ("before", "after", "which"),
    [
        (1, 2, ""),
        *(pytest.param(a, b, "_of_all", marks=pytest.mark.long) for a, b in [(2, 2), (2, 3), (4, 2), (3, 4)]),
    ],
)
def test_a_run_goes_on_to_the_bit_with_other_ranks_and_another_mesh(
    tmp_path: Path, before: int, after: int, which: str
) -> None:
    """Weights and optimizer state are those of one process that was never stopped."""
    folder = tmp_path / "models"
    folder.mkdir()
    run(before, folder, f"train_first{which}")
    run(after, folder, f"train_on{which}")


def test_the_state_of_zero_is_refused_and_restored_by_another_number_of_ranks_once_collected(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    run(2, folder, "save_zero")
    run(3, folder, "restore_zero")
