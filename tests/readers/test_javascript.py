"""The reader in JavaScript reads what Saver writes, value for value, and refuses what Saver refuses."""

from __future__ import annotations

import importlib.util
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from javascript_reader import READER, ask, node, package, verdicts

import saver
from saver.training_log import TrainingLog

CONFORMANCE = Path(__file__).parents[1] / "conformance"


def described(value: Any) -> Any:
    """A value as show.mjs says it."""
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            return {"wide": value.encode("utf-8", "surrogatepass").hex()}
        return value
    if type(value) is int:
        return {"int": str(value)}
    if type(value) is float:
        return {"float": "nan" if value != value else struct.pack(">d", value).hex()}
    if type(value) is complex:
        return {"complex": [described(value.real), described(value.imag)]}
    if type(value) in (bytes, bytearray):
        return {type(value).__name__: value.hex()}
    if type(value) in (list, tuple):
        return {type(value).__name__: [described(each) for each in value]}
    if type(value) is dict:
        return {"dict": [[described(key), described(each)] for key, each in value.items()]}
    if type(value) is np.ndarray:
        return {"array": array(value)}
    return other(value)


def array(value: Any) -> dict[str, Any]:
    data: Any = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False).tobytes().hex()
    if value.dtype.kind == "U":
        data = [str(each) for each in value.ravel().tolist()]
    return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}


def other(value: Any) -> Any:
    """The same of ranges, slices and sets, whose order is that of the file."""
    if isinstance(value, (range, slice)):
        return {type(value).__name__: [described(each) for each in (value.start, value.stop, value.step)]}
    return {type(value).__name__: sorted(map(described, value), key=str)}


def settled(shown: Any) -> Any:
    """An answer, with the elements of sets sorted."""
    if isinstance(shown, dict):
        return {
            key: sorted(map(settled, each), key=str) if key in ("set", "frozenset") else settled(each)
            for key, each in shown.items()
        }
    return [settled(each) for each in shown] if isinstance(shown, list) else shown


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**70), 2**70), st.floats(), st.complex_numbers(),
    st.text(), st.text(st.characters()), st.binary(), st.binary().map(bytearray),
)  # fmt: skip
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()), st.binary())
DTYPES = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(endianness="?"), hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    hnp.datetime64_dtypes(), hnp.timedelta64_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(),
)  # fmt: skip
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)).flatmap(
    lambda found: st.sampled_from([found, np.asfortranarray(found), found.T, np.repeat(found, 40)])
)
VALUES = st.recursive(
    st.one_of(SCALARS, ARRAYS, st.lists(st.floats(), min_size=64), st.lists(st.text(), min_size=64)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(st.integers() | st.text(), max_size=4), st.frozensets(st.integers(), max_size=4),
        st.builds(slice, st.integers(), st.none(), st.integers()),
        st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.just(2)),
    ),
    max_leaves=12,
)  # fmt: skip


def test_random_values_come_back_as_they_are(tmp_path: Path) -> None:
    found: list[Any] = []

    @settings(max_examples=120, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(VALUES)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    parts = {f"part {at}": found[at::40] for at in range(40)}
    saver.dump(parts, tmp_path / "a.saver")
    answers = dict(ask("values", path=tmp_path / "a.saver"))
    for name, values in parts.items():
        assert settled(answers[name]) == described(values), name
    (verdict,) = verdicts([tmp_path / "a.saver"])
    assert verdict["verdict"] == "valid"


@pytest.mark.slow
def test_its_own_tests_pass() -> None:
    files = sorted(str(path) for path in (READER / "test").glob("*.test.js"))
    done = subprocess.run([node(), "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_its_verdicts_are_those_of_the_corpus() -> None:
    spec = importlib.util.spec_from_file_location("check_of_conformance", CONFORMANCE / "check.py")
    assert spec is not None
    assert spec.loader is not None
    check = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = check
    spec.loader.exec_module(check)
    chosen = [
        case
        for case in check.cases()
        if case["layer"] <= 3
        or (case["layer"] == 4 and case["verdict"] == "valid")
        or case.get("rule") in ("4.02", "4.03", "4.07", "4.08")  # torch's dense tensors, scikit-learn's trees
        or case.get("rule") == "6.06"
    ]
    found = verdicts([CONFORMANCE / case["file"] for case in chosen])
    wrong = [
        (case["file"], case.get("rule"), answer.get("rule"), str(answer)[:200])
        for case, answer in zip(chosen, found, strict=True)
        if not check.agrees(case, answer)
    ]
    assert not wrong


def resealed(raw: bytes, at: int, byte: int) -> bytes:
    """A file with another byte in its header, and the hash that the header then has."""
    from blake3 import blake3

    size = 8 + int.from_bytes(raw[:8], "little")
    head = bytearray(raw[:size])
    head[at] = byte
    head[41:105] = b"0" * 64
    head[41:105] = blake3(head).hexdigest().encode()
    return bytes(head) + raw[size:]


@pytest.mark.slow
def test_of_changed_headers_with_a_right_hash_it_accepts_what_saver_accepts(tmp_path: Path) -> None:
    rng = random.Random(7)
    values = {"a": [1, 2.5, "text", (1,), {1, 2}], "b": np.arange(3.0), "c": {"x": 2**70, "y": float("nan")}}
    saver.dump(values, tmp_path / "a.saver")
    raw = (tmp_path / "a.saver").read_bytes()
    end = len(raw[: 8 + int.from_bytes(raw[:8], "little")].rstrip(b" "))
    paths = []
    for number in range(1500):
        at = rng.randrange(105, end)
        byte = (
            rng.choice(b'0123456789abcdef"[]{}:,$-.\\tnuE \xff')
            if rng.random() < 0.7
            else raw[at] ^ 1 << rng.randrange(8)
        )
        paths.append(tmp_path / f"{number}.saver")
        paths[-1].write_bytes(resealed(raw, at, byte))
    differ = []
    for path, answer in zip(paths, verdicts(paths), strict=True):
        try:
            saver.load(path)
            rule = None
        except saver.errors.SaverError as error:
            rule = getattr(error, "rule", None) or error.code
        if (rule is None) != (answer["verdict"] == "valid"):
            differ.append((path.name, rule, answer.get("rule"), answer.get("message")))
    assert not differ


def test_a_training_log_has_its_curves(tmp_path: Path) -> None:
    log = TrainingLog()
    for step in range(0, 3000, 3):
        more = {"val\\loss": step / 7} if step % 10 == 0 else {}
        log.append(step, loss=1 / (step + 1), **more)
    log.mark("saved", 30, "m@1")
    saver.dump({"log": log}, tmp_path / "a.saver")
    answer = ask("log", path=tmp_path / "a.saver")
    steps, times, columns, _ = log.content()
    assert answer["steps"] == steps.tolist()
    assert answer["times"] == times.tolist()
    for name, rows, values in answer["columns"]:
        first, expected = columns[name]
        assert values == expected.tolist()
        assert rows == ([*range(first, first + len(values))] if isinstance(first, int) else first.tolist())
    assert [(each["kind"], each["step"], each["ref"]) for each in answer["events"]] == [("saved", 30, "m@1")]


def test_it_predicts_what_scikit_learn_predicts(tmp_path: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    x, y = load_iris(return_X_y=True)
    names = np.array(["one", "two", "three"])[y]
    two = np.stack([y, 2 * y], axis=1)
    logistic = LogisticRegression(max_iter=500)
    models = {
        "linear": LinearRegression().fit(x, y),
        "outputs": Ridge().fit(x, two),
        "logistic": logistic.fit(x, names),
        "binary": LogisticRegression().fit(x[:100], y[:100]),
        "tree": DecisionTreeClassifier(random_state=0).fit(x, names),
        "regressor": DecisionTreeRegressor(max_depth=3).fit(x, two),
        "forest": RandomForestRegressor(5, random_state=0).fit(x, y),
        "extra": ExtraTreesClassifier(5, random_state=0).fit(x, y),
    }
    saver.dump(models, tmp_path / "a.saver")
    answer = ask("predictions", path=tmp_path / "a.saver", rows=x.tolist())
    for name, model in models.items():
        expected = model.predict(x)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(answer[name]["labels"], expected, rtol=1e-9, atol=1e-12)
        else:
            assert answer[name]["labels"] == expected.tolist()
        if hasattr(model, "predict_proba"):
            np.testing.assert_allclose(answer[name]["shares"], model.predict_proba(x), rtol=1e-9, atol=1e-12)


def test_tensors_of_pytorch_have_their_numbers(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors = [
        base, base.permute(2, 0, 1), base[1:], base[:, ::2].expand(2, 2, 4), torch.ones(2).bfloat16(),
        torch.tensor(3), torch.tensor([1 + 2j]), torch.tensor([True]), torch.nn.Parameter(torch.rand(3, 2).T),
        torch.empty(0, 3), torch.rand(4, dtype=torch.float16)[1::2],
    ]  # fmt: skip
    saver.dump({"all": tensors}, tmp_path / "a.saver")
    ((_, answer),) = ask("values", path=tmp_path / "a.saver")
    for tensor, found in zip(tensors, answer["list"], strict=True):
        raw = (
            bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())
            if tensor.numel()
            else b""
        )
        assert found["torch"]["shape"] == list(tensor.shape)
        assert found["torch"]["dtype"] == str(tensor.dtype).removeprefix("torch.")
        assert found["torch"]["data"] == raw.hex()


@pytest.mark.slow
def test_a_large_file_is_read_lazily_in_little_memory(tmp_path: Path) -> None:
    rows = np.arange(75_000 * 512, dtype=np.float64).reshape(75_000, 512)  # 307 MB
    saver.dump(rows, tmp_path / "a.saver")
    answer = ask("lazily", path=tmp_path / "a.saver", box=[[74_990, 75_000], [5, 7]])
    assert answer["values"] == rows[74_990:, 5:7].ravel().tolist()
    assert answer["grown"] < 100e6


@pytest.mark.slow
def test_its_types_are_those_that_it_declares() -> None:
    done = subprocess.run(
        [str(package("tsc")), "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext",
         "--lib", "es2022,dom,esnext.disposable", str(READER / "test" / "types.ts")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_it_exports_has_types() -> None:
    script = f"console.log(JSON.stringify(Object.keys(await import({str(READER / 'index.js')!r}))))"
    done = subprocess.run(
        [node(), "--input-type=module", "-e", script], capture_output=True, text=True, check=True
    )
    declared = (READER / "index.d.ts").read_text()
    for name in done.stdout.strip("[]\n").replace('"', "").split(","):
        assert f"class {name} " in declared or f"function {name}(" in declared, name


def test_the_vendored_package_is_as_its_authors_published_it() -> None:
    import hashlib

    folder = READER / "vendor" / "noble-hashes"
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    expected = {name: digest for digest, name in (line.split("  ") for line in lines)}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.suffix == ".js" or path.name == "LICENSE"
    }
    assert found == expected


def test_the_example_of_the_documentation_works_as_an_installed_package(tmp_path: Path) -> None:
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    page = (READER.parents[1] / "docs" / "javascript.md").read_text()
    (tmp_path / "example.mjs").write_text(page.split("```js\n", 1)[1].split("```", 1)[0])
    scope = tmp_path / "node_modules" / "@saver-ml"
    scope.mkdir(parents=True)
    (scope / "reader").symlink_to(READER)
    model = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    saver.dump(model, tmp_path / "model.saver")
    done = subprocess.run([node(), "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sklearn.linear_model._logistic:LogisticRegression" in done.stdout
    assert done.stdout.endswith("[ 0 ]\n")
