"""Runs and model folders of MLflow are read, without MLflow and without running anything."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError
from saver.formats.mlflow.runs import around
from saver.formats.mlflow.yaml import NotReadError, parse
from saver.storages.memory import MemoryStorage

MODEL = """\
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
    model_path: {file}
  sklearn:
    code: null
    pickled_model: {file}
    serialization_format: cloudpickle
    sklearn_version: 1.4.0
mlflow_version: 2.9.2
run_id: {run}
signature:
  inputs: '[{{"type": "double", "name": "a", "required": true}}, {{"type": "double",
    "name": "it''s", "required": true}}]'
  outputs: null
utc_time_created: '2024-01-05 10:11:12.000000'
"""
RUN = """\
artifact_uri: file:///elsewhere/mlruns/1/{run}/artifacts
end_time: 1700000000{at}
experiment_id: '1'
lifecycle_stage: active
run_id: {run}
run_name: try {at}
start_time: 1690000000000
status: 3
tags: []
user_id: ann
"""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def model(folder: Path, value: Any, run: str = "r", file: str = "model.pkl") -> None:
    write(folder / "MLmodel", MODEL.format(run=run, file=file))
    write(folder / "conda.yaml", "name: env\n")
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(pickle.dumps(value))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """What MLflow 2 leaves behind: an experiment, two runs, and a model that one of them registered."""
    root = tmp_path / "mlruns"
    write(root / "1" / "meta.yaml", "experiment_id: '1'\nname: fraud\nlifecycle_stage: active\n")
    for at, run in ((100, "a" * 32), (200, "b" * 32)):
        here = root / "1" / run
        write(here / "meta.yaml", RUN.format(run=run, at=at))
        write(here / "params" / "C", "1.0")
        write(here / "params" / "long", "x" * 300)
        write(here / "metrics" / "auc", f"1690000000000 0.5 1\n1690000000001 0.{at} 2\n")
        write(here / "metrics" / "val" / "loss", "1690000000000 nan 0\n")
        write(here / "tags" / "team", "risk")
        write(here / "tags" / "mlflow.note.content", "a note\nof two lines")
        write(here / "tags" / "mlflow.user", "bob")
        model(here / "artifacts" / "model", {"w": np.full(3, at)}, run)
        write(here / "artifacts" / "plots" / "roc.svg", "<svg/>")
    about = "creation_timestamp: 1700000005000\ncurrent_stage: Production\ndescription: the best\n"
    source = f"file:///elsewhere/mlruns/1/{'b' * 32}/artifacts/model"
    about += f"name: fraud-clf\nrun_id: {'b' * 32}\nsource: {source}\nversion: 1\n"
    write(root / "models" / "fraud-clf" / "meta.yaml", "name: fraud-clf\ndescription: null\n")
    write(root / "models" / "fraud-clf" / "version-1" / "meta.yaml", about)
    write(root / "models" / "fraud-clf" / "aliases" / "champion", "1")
    return root


@pytest.mark.parametrize("above", [True, False])
def test_runs_come_with_what_they_recorded(above: bool, runs: Path) -> None:
    store = saver.Saver(MemoryStorage())
    found = saver.migrate(runs.parent if above else runs, store)
    assert store.models() == ["fraud-clf", "fraud/model"]
    run, registered = store.version("fraud/model@1"), store.version("fraud-clf@champion")
    assert run.labels["mlflow.run"] == "a" * 32
    assert run.labels["mlflow.run-name"] == "try 100"
    assert (run.labels["param.C"], run.labels["team"]) == ("1.0", "risk")
    assert run.metrics["auc"] == pytest.approx(0.1)
    assert np.isnan(run.metrics["val/loss"])
    assert (run.notes, run.author) == ("a note\nof two lines", "bob")
    assert registered.labels["mlflow.stage"] == "Production"
    assert registered.labels["mlflow.version"] == "1"
    assert "the best" in registered.notes
    assert store.load("fraud-clf")["w"][0] == 200
    losses = {str(loss) for each in found.came for loss in each.losses}
    assert "metrics.auc: its history: 2 values, of which the last is kept" in losses
    assert "conda.yaml: the environment" in losses
    assert any(loss.startswith("param.long: ") for loss in losses)
    assert {Path(each.path).name for each in found.left} == {"roc.svg"}
    assert not found.refused
    assert not saver.migrate(runs.parent if above else runs, store).came


def test_the_logged_models_of_mlflow_3_come_with_their_runs(runs: Path) -> None:
    here = runs / "1" / "models" / "m-7"
    about = "artifact_location: file:///elsewhere/mlruns/1/models/m-7/artifacts\n"
    about += "creation_timestamp: 1600000000000\n"
    write(here / "meta.yaml", f"{about}model_id: m-7\nname: net\nsource_run_id: {'a' * 32}\nstatus: 2\n")
    write(here / "params" / "depth", "3")
    write(here / "metrics" / "f1", f"1690000000000 0.75 0 {'a' * 32}\n")
    write(here / "tags" / "mlflow.modelVersions", '[{"name": "fraud-clf", "version": 2}]')
    model(here / "artifacts", {"w": np.full(3, 7)})
    place = "storage_location: file:///elsewhere/mlruns/1/models/m-7/artifacts\nsource: models:/m-7\n"
    for version in (2, 3):
        at = runs / "models" / "fraud-clf" / f"version-{version}" / "meta.yaml"
        write(at, f"name: fraud-clf\n{place}version: {version}\n")
    store = saver.Saver(MemoryStorage())
    found = saver.migrate(runs, store)
    logged = next(each for each in store.versions("fraud-clf") if "mlflow.model" in each.labels)
    assert (logged.labels["mlflow.model"], logged.labels["mlflow.version"]) == ("m-7", "2")
    assert (logged.labels["param.depth"], logged.labels["param.C"]) == ("3", "1.0")
    assert (logged.labels["mlflow.run"], logged.metrics["f1"]) == ("a" * 32, 0.75)
    assert logged.metrics["auc"] == pytest.approx(0.1)
    assert store.load(logged)["w"][0] == 7
    assert "it is fraud-clf version-3 too" in str(found)


def test_a_run_or_the_folder_of_its_artifacts_can_be_given_alone(runs: Path) -> None:
    for folder, name in (
        (runs / "1" / ("a" * 32), "fraud/model"),
        (runs / "1" / ("a" * 32) / "artifacts", "model"),
    ):
        store = saver.Saver(MemoryStorage())
        saver.migrate(folder, store)
        assert store.models() == [name]


def test_two_runs_with_the_same_model_are_two_versions(runs: Path) -> None:
    for run in ("a" * 32, "b" * 32):
        model(runs / "1" / run / "artifacts" / "model", {"w": np.ones(3)}, run)
    (runs / "models").rename(runs.parent / "gone")
    store = saver.Saver(MemoryStorage())
    saver.migrate(runs, store)
    assert len(store.versions("fraud/model")) == 2


def test_a_model_folder_is_imported(tmp_path: Path) -> None:
    model(tmp_path / "m", {"w": np.arange(3)})
    store = saver.Saver(MemoryStorage())
    store.import_(tmp_path / "m", "m")
    assert np.array_equal(store.load("m")["w"], np.arange(3))
    assert np.array_equal(saver.load(tmp_path / "m")["w"], np.arange(3))


def test_the_folders_of_pytorch_have_the_model_one_below(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write(
        tmp_path / "m" / "MLmodel", "flavors:\n  pytorch:\n    model_data: data\n    pytorch_version: 2.4.0\n"
    )
    write(tmp_path / "m" / "data" / "pickle_module_info.txt", "mlflow.pytorch.pickle_module")
    torch.save({"w": torch.ones(3)}, tmp_path / "m" / "data" / "model.pth")
    assert torch.equal(saver.load(tmp_path / "m")["w"], torch.ones(3))


def test_other_flavours_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "m" / "MLmodel", "flavors:\n  spark:\n    model_data: sparkml\n")
    with pytest.raises(IncompatibleError, match="flavours spark"):
        saver.load(tmp_path / "m")
    refused = saver.migrate(tmp_path, MemoryStorage()).refused
    assert [each.path for each in refused] == ["m"]


@pytest.mark.parametrize(
    "name", ["../secret.pkl", "/secret.pkl", "a/../../secret.pkl", "link.pkl", "\\secret.pkl"]
)
def test_no_file_outside_is_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.pkl").write_bytes(pickle.dumps({"secret": 1}))
    write(tmp_path / "m" / "MLmodel", f"flavors:\n  sklearn:\n    pickled_model: '{name}'\n")
    (tmp_path / "m" / "link.pkl").symlink_to("../secret.pkl")
    with pytest.raises(IncompatibleError):
        saver.load(tmp_path / "m")


def test_links_in_runs_are_not_followed(runs: Path, tmp_path: Path) -> None:
    write(tmp_path / "secret", "secret")
    here = runs / "1" / ("a" * 32)
    (here / "params" / "stolen").symlink_to(tmp_path / "secret")
    (here / "tags" / "stolen").symlink_to(tmp_path / "secret")
    os.mkfifo(here / "metrics" / "pipe")
    (runs / "models" / "out").symlink_to(tmp_path)
    store = saver.Saver(MemoryStorage())
    saver.migrate(runs, store)
    assert "secret" not in str(store.version("fraud/model@1").labels)


def test_what_a_registry_names_is_looked_for_below_alone(runs: Path) -> None:
    for source in (
        "file:///a/../../etc/artifacts/model",
        "models:/m-1",
        "s3://bucket/9/run/artifacts/model",
        "",
    ):
        path = runs / "models" / "fraud-clf" / "version-1" / "meta.yaml"
        write(path, f"name: fraud-clf\nsource: {source}\nversion: 1\n")
        store = saver.Saver(MemoryStorage())
        saver.migrate(runs, store)
        assert store.models() == ["fraud/model"]
    (runs.parent / "r" / "artifacts").mkdir(parents=True)
    write(runs / "models" / "fraud-clf" / "version-1" / "meta.yaml", "source: a/../r/artifacts\nversion: 1\n")
    found = around(str(runs), sorted(os.listdir(runs)))
    assert found is not None
    assert not found.records


@pytest.mark.slow
def test_runs_that_were_changed_anywhere_are_migrated_or_refused(runs: Path) -> None:
    rng = random.Random(0)
    files = [path for path in sorted(runs.rglob("*")) if path.is_file()]
    for path in files:
        good = path.read_bytes()
        for _ in range(12):
            at = rng.randrange(len(good))
            junk = rng.choice((b"\xff" * 4, b": ", b"\n", b"\0", b"'", b"- ", b"9" * 400, b""))
            path.write_bytes(good[:at] + junk + good[at + rng.choice((0, 1, 9)) :])
            saver.migrate(runs, MemoryStorage(), dry_run=True)
        path.write_bytes(good)


TEXTS = {
    "a: 1\nb: -2.5\nc: null\nd: true\ne: []\nf: {}\ng:\n": {
        "a": 1, "b": -2.5, "c": None, "d": True, "e": [], "f": {}, "g": None,
    },
    "a: 'it''s'\nb: \"x\\ty\\\n  z\"\nc: plain\n  and more\n": {
        "a": "it's", "b": "x\tyz", "c": "plain and more",
    },
    "a:\n- 1\n- x: 2\n  y: 3\n- - 4\nb:\n  c:\n    d: 5\n": {
        "a": [1, {"x": 2, "y": 3}, [4]], "b": {"c": {"d": 5}},
    },
    "'k: 1': '[\"x\"]'\n": {"k: 1": '["x"]'},
    "a: 1.10.0\nb: 0123\nc: 1e5\n": {"a": "1.10.0", "b": "0123", "c": 100000.0},
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_yaml_of_mlflow_is_read(text: str) -> None:
    assert parse(text) == TEXTS[text]


WRONG = (
    "- 1\n", "a: 1\na: 2\n", "a: !!python/object/apply:os.system ['x']\n", "a: &x 1\n", "a: *x\n",
    "a: |\n  x\n", "a: {b: 1}\n", "a: [1]\n", "? a\n: b\n", "\ta: 1\n", "a: 'x\n", "x\n", "a: \"\\q\"\n",
    "a: 1\n   b: 2\n  c: 3\n", "a: b: c\n", "a: b # c\n", "a: x\u2028y\n",
    "\n".join(f"{' ' * at}a:" for at in range(100)), "a: " + "x" * (5 << 20),
)  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_other_yaml_is_refused(text: str) -> None:
    with pytest.raises(NotReadError):
        parse(text)


def exported(value: Any, folder: Path) -> Any:
    """A value, written as a model folder and loaded by MLflow."""
    pyfunc = pytest.importorskip("mlflow.pyfunc")
    saver.dump(value, folder / "m.saver")
    found = saver.export(folder / "m.saver", folder / "m", format="mlflow")
    assert (found.losses, found.format) == ((), "mlflow")
    return pyfunc.load_model(str(folder / "m"))


@pytest.mark.slow
@pytest.mark.shows("MLflow model folders", "save", "load")
@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_predicts_in_mlflow(tmp_path: Path) -> None:
    pandas, pipeline = pytest.importorskip("pandas"), pytest.importorskip("sklearn.pipeline")
    linear, scaling = (
        pytest.importorskip("sklearn.linear_model"),
        pytest.importorskip("sklearn.preprocessing"),
    )
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(40, 3)), columns=["a", "b", "c"])
    fitted = pipeline.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression())
    fitted.fit(frame, frame["a"] > 0)
    loaded = exported(fitted, tmp_path)
    assert np.array_equal(loaded.predict(frame), fitted.predict(frame))
    assert loaded.metadata.get_input_schema().input_names() == ["a", "b", "c"]
    assert np.array_equal(loaded.predict(frame[["c", "a", "b"]]), fitted.predict(frame)), "by name"
    assert np.array_equal(saver.load(tmp_path / "m").predict(frame), fitted.predict(frame))
    needed = (tmp_path / "m" / "requirements.txt").read_text().splitlines()
    assert any(each.startswith("scikit-learn==") for each in needed)
    assert parse((tmp_path / "m" / "conda.yaml").read_text())["name"] == "mlflow-env"
    assert parse((tmp_path / "m" / "python_env.yaml").read_text())["dependencies"] == ["-r requirements.txt"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_modules_and_boosters_predict_in_mlflow(tmp_path: Path) -> None:
    torch, xgboost = pytest.importorskip("torch"), pytest.importorskip("xgboost")
    x = np.random.default_rng(0).normal(size=(40, 3))
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout())
    expected = net.eval()(torch.from_numpy(x).float()).detach().numpy()
    assert np.array_equal(exported({"net": net.train()}, tmp_path / "a").predict(x), expected)
    booster = xgboost.train({}, xgboost.DMatrix(x, x[:, 0]), 3)
    assert np.array_equal(exported(booster, tmp_path / "b").predict(x), booster.predict(xgboost.DMatrix(x)))


def signed(data: Any, model: Any, folder: Path) -> Any:
    """What MLflow says goes into a model whose version recorded this data."""
    store = saver.Saver(folder / "store")
    store.save("m", model, data=data)
    store.export("m", folder / "m", format="mlflow")
    return pytest.importorskip("mlflow.pyfunc").load_model(str(folder / "m"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_signature_is_that_of_the_recorded_data(tmp_path: Path) -> None:
    linear, torch = pytest.importorskip("sklearn.linear_model"), pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(40, 3))
    fitted = linear.LogisticRegression().fit(x, x[:, 0] > 0)
    loaded = signed(x, fitted, tmp_path / "a")
    spec = loaded.metadata.get_input_schema().inputs[0]
    assert (spec.type, spec.shape) == (np.dtype("float64"), (-1, 3))
    assert np.array_equal(loaded.predict(x), fitted.predict(x))
    with_target = np.column_stack((x, x[:, 0] > 0))
    loaded = signed(with_target, fitted, tmp_path / "b")
    assert loaded.metadata.signature is None, "the data is not what goes into the model"
    assert np.array_equal(loaded.predict(x), fitted.predict(x))
    pictures = np.zeros((5, 2, 3), "float32")
    loaded = signed(pictures, torch.nn.Linear(3, 1), tmp_path / "c")
    assert loaded.metadata.get_input_schema().inputs[0].shape == (-1, 2, 3)
    assert loaded.predict(pictures).shape == (5, 2, 1)
    frame = pandas.DataFrame(x, columns=["a", "b", "c"])
    fitted = linear.LogisticRegression().fit(x, x[:, 0] > 0)
    assert signed(frame, fitted, tmp_path / "d").metadata.get_input_schema().input_names() == ["a", "b", "c"]


SAID = (
    1, {}, {"shape": 3}, {"shape": [3]}, {"shape": [3, "x"], "kind": "array", "dtype": "int8"},
    {"shape": [3, 2], "kind": "array", "dtype": "x\ny"}, {"shape": [3, 2], "kind": "array"},
    {"shape": [3, 2], "kind": "frame"}, {"shape": [3, 2], "kind": "frame", "columns": [1]},
    {"shape": [3, 2], "kind": "frame", "columns": [{"name": "a\nb: c"}, {}]},
)  # fmt: skip


@pytest.mark.parametrize("said", SAID, ids=range(len(SAID)))
def test_what_a_file_says_of_its_data_stays_within_a_line(said: Any, tmp_path: Path) -> None:
    from saver.formats.mlflow.writing import files
    from saver.opening import open_file

    saver.dump({"a": 1}, tmp_path / "m.saver")
    opened = open_file(tmp_path / "m.saver")
    cast(dict[str, Any], opened.manifest.data)["data"] = said
    found = parse(files(opened, "a")["MLmodel"])
    assert found.keys() <= {"flavors", "signature"}


def test_several_parts_and_what_does_not_predict_are_refused(tmp_path: Path) -> None:
    saver.dump({"a": [1], "b": 2}, tmp_path / "m.saver")
    with pytest.raises(IncompatibleError, match="2 parts"):
        saver.export(tmp_path / "m.saver", tmp_path / "m", format="mlflow")
    assert not (tmp_path / "m").exists()
    saver.export(tmp_path / "m.saver", tmp_path / "m", format="mlflow", parts=["a"])
    from saver.integrations import mlflow

    with pytest.raises(IncompatibleError, match="does not predict"):
        mlflow._load_pyfunc(str(tmp_path / "m" / "model.saver"))


def test_what_a_file_says_of_its_packages_cannot_add_lines(tmp_path: Path) -> None:
    from saver.formats.mlflow.writing import files
    from saver.opening import open_file

    saver.dump({"a": 1}, tmp_path / "m.saver")
    opened = open_file(tmp_path / "m.saver")
    evil = {"x\n--index-url": "1", "numpy": "1\nevil", "-r": "1", "pandas": "2.0.1+local", "a b": "1"}
    opened.manifest.environment["packages"] = evil
    opened.manifest.environment["python"] = "3\n- evil"
    found = files(opened, "a")
    assert "evil" not in "".join(found.values())
    assert "index-url" not in "".join(found.values())
    assert "pandas==2.0.1" in found["requirements.txt"].splitlines()
