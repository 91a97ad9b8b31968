"""Pipelines and modules are written in ONNX, by the library that made them, and ONNX Runtime agrees."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

import saver  # noqa: E402
from saver.errors import IncompatibleError, UntrustedError  # noqa: E402

pytestmark = [pytest.mark.xdist_group("onnx"), pytest.mark.filterwarnings("ignore")]


def ran(file: Path, given: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """The outputs, and the shapes of the inputs."""
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session.run(None, given), [each.shape for each in session.get_inputs()]


# scikit-learn


def pipeline() -> tuple[Any, Any]:
    """Numbers are scaled, words are encoded; and the frame that it has learned from."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("skl2onnx")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    draw = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "age": draw.integers(18, 90, 80),
            "income": draw.normal(size=80),
            "city": draw.choice(["a", "b"], 80),
        }
    )
    columns = ColumnTransformer(
        [("numbers", StandardScaler(), ["age", "income"]), ("words", OneHotEncoder(), ["city"])]
    )
    model = make_pipeline(columns, RandomForestClassifier(10, random_state=0))
    return model.fit(frame, (frame["income"] > 0) & (frame["city"] == "a")), frame


@pytest.mark.parametrize("how", ["frame", "dict", "recorded"])
def test_a_pipeline_of_columns_has_an_input_for_each(how: str, tmp_path: Path) -> None:
    model, frame = pipeline()
    store = saver.Saver(tmp_path / "store")
    store.save("m", {"model": model}, data={"X": frame} if how == "recorded" else None)
    example = {"frame": frame[:2], "dict": {name: frame[name].to_numpy()[:2] for name in frame}}.get(how)
    done = store.export("m", tmp_path / "a.onnx", example=example)
    assert done.format == "onnx"
    assert [each.place.endswith("$.model") and "float32" in each.what for each in done.losses] == [True]
    given = {
        "age": frame[["age"]].to_numpy(np.int64), "income": frame[["income"]].to_numpy(np.float32),
        "city": frame[["city"]].to_numpy().astype(object),
    }  # fmt: skip
    (labels, probabilities), shapes = ran(tmp_path / "a.onnx", given)
    assert shapes == [[None, 1]] * 3
    assert np.array_equal(labels.astype(bool), model.predict(frame))
    assert np.allclose(probabilities, model.predict_proba(frame), atol=1e-5)


def test_a_pipeline_of_columns_asks_for_an_example(tmp_path: Path) -> None:
    model, _ = pipeline()
    saver.dump(model, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=r"what its columns hold; .*--example FILE"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx")
    assert not (tmp_path / "a.onnx").exists()


def test_a_frame_of_numbers_is_one_matrix(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import Ridge

    frame = pandas.DataFrame({"a": np.arange(9.0), "b": np.arange(9) % 4})
    saver.dump(Ridge().fit(frame, frame["a"]), tmp_path / "a.saver")
    for example in (frame, None):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=example)
        (found,), shapes = ran(tmp_path / "a.onnx", {"X": frame.to_numpy(np.float32)})
        assert shapes == [[None, 2]]
        assert np.allclose(found[:, 0], saver.load(tmp_path / "a.saver").predict(frame), atol=1e-4)


def test_words_take_a_runtime_that_has_operators_for_them(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = np.array(["one two", "two three", "three one", "two two"])
    model = make_pipeline(CountVectorizer(lowercase=False), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    saver.dump(model, tmp_path / "a.saver")
    done = saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=texts)
    assert "operators of com.microsoft" in done.losses[1].what
    (labels, probabilities), _ = ran(tmp_path / "a.onnx", {"X": texts.astype(object)})
    assert np.array_equal(labels, model.predict(texts))
    assert np.allclose(probabilities, model.predict_proba(texts), atol=1e-5)


def test_what_skl2onnx_writes_wrong_is_refused(tmp_path: Path) -> None:
    """Also deep in a pipeline."""
    pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import TunedThresholdClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(0).normal(size=(60, 2))
    model = make_pipeline(StandardScaler(), TunedThresholdClassifierCV(LogisticRegression()))
    saver.dump(model.fit(x, x[:, 0] > 0), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="leaves its threshold out"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx")


def test_what_skl2onnx_does_not_know_is_named(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.cluster import Birch
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    x = np.arange(20.0).reshape(10, 2)
    saver.dump(make_pipeline(Birch(), Ridge()).fit(x, x[:, 0]), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=r"skl2onnx has no converter for sklearn\.cluster.*Birch"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx")
    dates = np.array(["2026-01-01"], "M8[D]")
    with pytest.raises(IncompatibleError, match="no inputs of the dtype datetime64"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=dates)
    saver.dump({"x": x, "n": 1}, tmp_path / "b.saver")
    with pytest.raises(IncompatibleError, match=r"written from objects of scikit-learn, torch"):
        saver.export(tmp_path / "b.saver", tmp_path / "a.onnx", parts=["x"])


PROGRAM = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[3]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
import saver
try:
    saver.export(sys.argv[1], sys.argv[2], example=__import__("numpy").zeros((1, 2), "f4"))
except saver.IncompatibleError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("package", ["skl2onnx", "onnxscript"])
def test_a_missing_package_names_the_extra(package: str, tmp_path: Path) -> None:
    if package == "skl2onnx":
        linear = pytest.importorskip("sklearn.linear_model")
        made = linear.Ridge().fit([[0.0, 1.0], [1.0, 0.0]], [0.0, 1.0])
    else:
        made = pytest.importorskip("torch").nn.Linear(2, 1)
    saver.dump(made, tmp_path / "a.saver")
    run = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.saver"), str(tmp_path / "a.onnx"), package]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    assert f"needs the package {package}, which is not installed" in done.stdout
    assert "pip install 'saver-ml[onnx]'" in done.stdout


# PyTorch

torch = pytest.importorskip("torch")


class Mixed(torch.nn.Module):  # type: ignore[misc]
    """Two inputs, of numbers and of indices, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.words = torch.nn.Linear(4, 8), torch.nn.Embedding(10, 8)

    def forward(self, x: Any, ids: Any) -> dict[str, Any]:
        """A sum, and what one input alone gives."""
        body = self.body(x)
        return {"sum": body + self.words(ids).mean(1), "body": body}


class Recurrent(torch.nn.Module):  # type: ignore[misc]
    """The last state of a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = torch.nn.GRU(4, 6, batch_first=True), torch.nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        """Of each sequence, two numbers."""
        return self.head(self.cell(x)[0][:, -1])


def layers() -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(),
        nn.Linear(36, 3),
    )  # fmt: skip


def drawn(*shape: int) -> Any:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


NETS: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "layers": (layers, np.zeros((1, 3, 8, 8), np.float32), (drawn(5, 3, 8, 8),)),
    "attention": (
        lambda: torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), drawn(1, 5, 8),
        (drawn(4, 5, 8),),
    ),
    "recurrent": (Recurrent, drawn(1, 5, 4), (drawn(3, 5, 4),)),
    "mixed": (
        Mixed, (drawn(1, 4), torch.zeros(1, 3, dtype=torch.int64)),
        (drawn(6, 4), torch.arange(18).reshape(6, 3) % 10),
    ),
    "named": (
        Mixed, {"x": drawn(1, 4), "ids": torch.zeros(1, 3, dtype=torch.int64)},
        (drawn(6, 4), torch.arange(18).reshape(6, 3) % 10),
    ),
}  # fmt: skip
"""Each with an example of one row, and inputs with more."""


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_a_module_answers_the_same_for_any_number_of_rows(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    make, example, given = NETS[name]
    torch.manual_seed(0)
    net = make()
    net.train()
    saver.dump({"net": net}, tmp_path / "a.saver")
    own = [f"{__name__}.*"]
    if make in (Mixed, Recurrent):
        with pytest.raises(UntrustedError, match=make.__name__):
            saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=example)
    done = saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=example, trust=own)
    assert ["evaluation mode" in each.what for each in done.losses] == [True]
    model = onnx.load(tmp_path / "a.onnx")
    names = [each.name for each in model.graph.input]
    found, shapes = ran(
        tmp_path / "a.onnx", {key: each.numpy() for key, each in zip(names, given, strict=True)}
    )
    assert all(isinstance(shape[0], str) for shape in shapes)
    net.eval()
    with torch.no_grad():
        wanted = net(*given)
    wanted = list(wanted.values()) if isinstance(wanted, dict) else [wanted]
    assert all(np.allclose(a, b.numpy(), atol=1e-5) for a, b in zip(found, wanted, strict=True))
    assert str(Path(__file__).name).encode() not in (tmp_path / "a.onnx").read_bytes()
    assert saver.load(tmp_path / "a.onnx") == model


def test_a_module_asks_for_an_example(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    saver.dump({"net": torch.nn.Linear(2, 1), "p": torch.ones(2)}, tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match=r"\$\.net: PyTorch writes .*--example 1x3x224x224"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", parts=["net"])
    with pytest.raises(IncompatibleError, match=r"\$\.p: only modules have a graph"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", parts=["p"], example=torch.ones(2))


def test_a_module_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    from saver.families.torch import onnx as writing

    monkeypatch.setattr(writing, "LIMIT", 8)
    saver.dump(torch.nn.Linear(2, 1), tmp_path / "a.saver")
    with pytest.raises(IncompatibleError, match="12 bytes, more than one file"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.onnx", example=torch.ones(1, 2))


@pytest.mark.slow
def test_the_command_takes_trust_and_a_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    from click.testing import CliRunner

    from saver.cli import program

    monkeypatch.chdir(tmp_path)
    saver.Saver("models").save("net", {"net": Recurrent()})
    command = ["export", "net", "a.onnx", "--example", "1x5x4"]
    refused = CliRunner().invoke(program, command)
    assert refused.exit_code == 4
    assert "does not trust" in refused.output
    done = CliRunner().invoke(program, [*command, "--trust", f"{__name__}.*"])
    assert done.exit_code == 0, done.output
    assert "a.onnx as onnx" in done.output
    assert ran(tmp_path / "a.onnx", {"x": np.zeros((7, 5, 4), np.float32)})[0][0].shape == (7, 2)
