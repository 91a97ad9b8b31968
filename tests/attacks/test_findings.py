"""What a hostile review found, each as a file whose hashes all match. The kinds are enumerated elsewhere:
references in tests/families/test_references.py, attributes in test_shadows.py, the rest below.
"""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forge import File, forged, node, places

import saver
from forging import dump_unchecked
from saver.errors import LimitExceededError
from saver.opening import open_file
from saver.restoring import restore
from saver.strict import _unique


def partial(function: Any, *arguments: Any, **options: Any) -> Any:
    """`functools.partial` as a node."""
    called = function if isinstance(function, dict) else node("function", cls=function)
    return node("stdlib.partial", [called, node("tuple", list(arguments)), node("dict", options)])


class TestReferences:
    """Finding 1: functions of whole modules do more than compute."""

    GETTER = "sklearn.feature_selection._base:_get_feature_importances"

    @pytest.mark.parametrize("name", [GETTER, "builtins:type", "scipy.special._precompute.cosine_cdf:main"])
    def test_are_refused_before_anything_is_imported(self, name: str, tmp_path: Path, refused: Any) -> None:
        file = forged(tmp_path, [1])
        file.tree = partial(name, node("class", cls="builtins:int"), "__subclasses__")
        refused(file.write(tmp_path / "bad.saver"), saver.UntrustedError)

    def test_a_transformer_holds_no_function_but_a_unary_one(self, tmp_path: Path) -> None:
        pytest.importorskip("sklearn")
        from sklearn.preprocessing import FunctionTransformer

        honest = forged(tmp_path, FunctionTransformer(np.log1p))
        for function in ("numpy:add", "sklearn.metrics._classification:accuracy_score", "builtins:len"):
            file = honest.copy()
            file.tree["state"]["func"] = node("function", cls=function)
            with pytest.raises(saver.IncompatibleError, match="'func' may be"):
                saver.load(file.write(tmp_path / "bad.saver"))

    def test_an_operator_is_unary_with_a_number_alone(self, tmp_path: Path) -> None:
        """With a text it would make texts, which others take for names of methods."""
        pytest.importorskip("sklearn")
        from sklearn.preprocessing import FunctionTransformer

        honest = forged(tmp_path, FunctionTransformer(np.log1p))
        array = node("numpy.array", {"dtype": "<f8", "shape": [1], "data": "AAAAAAAA8D8="})
        for argument, fine in (
            (2, True),
            (0.5, True),
            (array, True),
            ("eval", False),
            (node("list", []), False),
        ):
            file = honest.copy()
            file.tree["state"]["func"] = partial("numpy:multiply", argument)
            path = file.write(tmp_path / "bad.saver")
            if fine:
                saver.load(path)
            else:
                with pytest.raises(saver.IncompatibleError, match="'func' may be"):
                    saver.load(path)

    @pytest.mark.parametrize("option", ["out", "where", "like", "signature"])
    def test_no_option_writes_into_another_array(self, option: str, tmp_path: Path) -> None:
        """The support counts of a machine further down, for example."""
        pytest.importorskip("sklearn")
        from sklearn.preprocessing import FunctionTransformer

        honest = forged(tmp_path, FunctionTransformer(np.log1p, kw_args={"dtype": "f8"}))
        array = node("numpy.array", {"dtype": "<f8", "shape": [1], "data": "AAAAAAAA8D8="})
        for place in ("kw_args", "func"):
            file = honest.copy()
            if place == "func":
                file.tree["state"]["func"] = partial("numpy:log1p", **{option: array})
            else:
                file.tree["state"]["kw_args"]["state"] = {option: array}
            with pytest.raises(
                saver.IncompatibleError, match=f"'func' may be|cannot have the argument '{option}'"
            ):
                saver.load(file.write(tmp_path / "bad.saver"))

    def test_a_partial_is_of_a_function_alone(self, tmp_path: Path) -> None:
        file = forged(tmp_path, [1])
        for inner in (node("class", cls="builtins:dict"), node("list", []), partial("numpy:log1p")):
            file.tree = partial(inner)
            if inner["$"] == "stdlib.partial":
                continue
            with pytest.raises(saver.IncompatibleError, match="only functions can be in a partial"):
                saver.load(file.write(tmp_path / "bad.saver"))


SLOTS = [
    ("SVC", "kernel", "numpy:dot"),
    ("SVC", "kernel", "numpy:sum"),
    ("KNeighborsClassifier", "metric", "numpy:sum"),
    ("KNeighborsClassifier", "weights", "numpy:add"),
    ("SelectKBest", "score_func", "numpy:mean"),
    ("CountVectorizer", "tokenizer", "builtins:len"),
    ("CountVectorizer", "dtype", "builtins:dict"),
    ("GridSearchCV", "scoring", "numpy:mean"),
    ("RFE", "importance_getter", "numpy:absolute"),
    ("FastICA", "fun", "numpy:tanh"),
    ("LogisticRegression", "C", "numpy:tanh"),
    ("StandardScaler", "mean_", "builtins:float"),
    ("Pipeline", "memory", "numpy:tanh"),
]


@pytest.mark.parametrize(("cls", "attribute", "function"), SLOTS)
def test_an_estimator_holds_functions_where_they_belong_alone(
    cls: str, attribute: str, function: str, tmp_path: Path
) -> None:
    pytest.importorskip("sklearn")
    from sklearn.utils import all_estimators

    made = dict(all_estimators())[cls]
    needs = {
        "GridSearchCV": lambda: made(dict(all_estimators())["SVC"](), {}),
        "RFE": lambda: made(dict(all_estimators())["SVC"]()),
        "Pipeline": lambda: made([("a", dict(all_estimators())["SVC"]())]),
    }
    honest = forged(tmp_path, needs.get(cls, made)())
    kind = "class" if function.startswith("builtins:") and function != "builtins:len" else "function"
    for value in (node(kind, cls=function), partial(function) if kind == "function" else None):
        if value is not None:
            file = honest.copy()
            file.tree["state"][attribute] = value
            with pytest.raises(saver.IncompatibleError, match=f"'{attribute}' (may be|cannot be)"):
                saver.load(file.write(tmp_path / "bad.saver"))


def test_a_kernel_with_rows_fixed_by_the_file_is_refused(tmp_path: Path) -> None:
    """libsvm reads a column for each training sample, and would get one for each row of the file's."""
    pytest.importorskip("sklearn")
    from sklearn.svm import SVC

    honest = forged(tmp_path, SVC(kernel="linear").fit([[0.0], [1.0]] * 5, [0, 1] * 5))
    honest.tree["state"]["kernel"] = node("function", cls="sklearn.metrics.pairwise:linear_kernel")
    rows = node("numpy.array", {"dtype": "<f8", "shape": [1, 1], "data": "AAAAAAAA8D8="})
    honest.tree["state"]["kernel"] = partial("sklearn.metrics.pairwise:linear_kernel", rows)
    with pytest.raises(saver.IncompatibleError, match="'kernel' may be kernel"):
        saver.load(honest.write(tmp_path / "bad.saver"))


class TestMethods:
    """Finding 2: an attribute of the file is called in the place of a method."""

    @pytest.mark.parametrize("name", ["is_enabled", "get_scale", "__reduce_ex__", "state_dict"])
    def test_of_a_scaler(self, name: str, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        file = forged(tmp_path, torch.amp.GradScaler("cpu"))
        file.tree["state"][name] = partial("numpy:log1p", 1)
        with pytest.raises(saver.IncompatibleError, match=name):
            saver.load(file.write(tmp_path / "bad.saver"))

    @pytest.mark.parametrize(
        "name", ["__setstate__", "zero_grad", "step", "_cuda_graph_capture_health_check"]
    )
    def test_of_an_optimizer(self, name: str, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        file = forged(tmp_path, torch.optim.SGD([torch.ones(2)], lr=0.1))
        file.tree["state"]["torch"] = (
            "0.0"  # of another version, whose state is brought up to date on loading
        )
        file.tree["state"]["attributes"][name] = partial("numpy:log1p", 1)
        with pytest.raises(saver.IncompatibleError, match="attribute"):
            saver.load(file.write(tmp_path / "bad.saver"))

    def test_of_a_default_factory(self, tmp_path: Path) -> None:
        import collections

        file = forged(tmp_path, collections.defaultdict(list))
        for factory in ("numpy:log1p", "builtins:len", "math:sqrt"):
            file.tree["state"][0] = node("function", cls=factory)
            with pytest.raises(saver.IncompatibleError, match="factory"):
                saver.load(file.write(tmp_path / "bad.saver"))
        file.tree["state"][0] = node("list", [])
        with pytest.raises(saver.IncompatibleError, match="factory"):
            saver.load(file.write(tmp_path / "bad.saver"))

    @pytest.mark.parametrize("function", ["numpy:log1p", "builtins:len", "torch:cat"])
    def test_of_a_schedule(self, function: str, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        import math

        optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1)
        file = forged(tmp_path, torch.optim.lr_scheduler.LambdaLR(optimizer, math.cos))
        saver.load(file.write(tmp_path / "good.saver"))
        (place,) = (
            holder["state"]
            for holder in [file.tree["state"]["attributes"]["lr_lambdas"]]
        )  # fmt: skip
        place[0] = node("function", cls=function)
        path = file.write(tmp_path / "bad.saver")
        if function == "builtins:len":
            saver.load(path)  # a number of what it is given: it fails in Python when it is called
        else:
            with pytest.raises(saver.IncompatibleError, match="lr_lambdas"):
                saver.load(path)


class TestTensors:
    """Finding 4: what was checked once is changed behind the check."""

    def test_a_tensor_that_is_used_twice_is_two_arrays(self, tmp_path: Path) -> None:
        file = forged(tmp_path, {"a": np.arange(100.0), "b": np.arange(100.0)})
        file.manifest["parts"]["b"]["tree"]["state"] = {"$tensor": "a"}
        file.own["hashes"].pop()
        del file.tensors["b"]
        file.data = file.data[: len(file.data) // 2]
        found = saver.load(file.write(tmp_path / "bad.saver"))
        found["a"][:] = 7
        assert found["b"][3] == 3

    def test_a_reference_says_that_it_is_one(self, tmp_path: Path) -> None:
        array = np.arange(100.0)
        saver.dump({"a": array, "b": [array]}, tmp_path / "a.saver")
        found = saver.load(tmp_path / "a.saver")
        assert found["b"][0] is found["a"]

    def test_equal_tensors_of_a_store_are_arrays_of_their_own(self, tmp_path: Path) -> None:
        """The store keeps their bytes once."""
        store = saver.Saver(tmp_path / "store")
        store.save("m", {"a": np.arange(1e5), "b": np.arange(1e5), "c": np.zeros(9)})
        store.save("m", {"a": np.arange(1e5), "b": np.arange(1e5), "c": np.ones(9)})
        found = store.load("m")
        found["a"][:] = 7
        assert found["b"][3] == 3

    @pytest.mark.filterwarnings("ignore:Constructing a DIA")
    @pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
    @pytest.mark.parametrize("how", ["tensor", "ref"])
    def test_indices_of_a_sparse_matrix_are_its_own(self, how: str, form: str, tmp_path: Path) -> None:
        sparse = pytest.importorskip("scipy.sparse")
        rng = np.random.default_rng(0)
        matrix = sparse.random_array((400, 300), density=0.05, rng=rng).asformat(form)
        held = {
            "csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "bsr": ("indices", "indptr"),
            "coo": ("row", "col"), "dia": ("offsets",),
        }[form]  # fmt: skip
        arrays = [
            matrix.coords[held.index(name)] if form == "coo" else getattr(matrix, name) for name in held
        ]
        saver.dump({"matrix": matrix, "arrays": arrays}, tmp_path / "a.saver")
        found = saver.load(tmp_path / "a.saver")
        before = (found["matrix"] @ np.ones(300)).copy()
        for array in found["arrays"]:
            array[:] = 10**6
        assert np.array_equal(found["matrix"] @ np.ones(300), before)
        file = forged(tmp_path, matrix)
        state = file.tree["state"]
        names = [name for name in ("indices", "indptr", "offsets") if name in state]
        for name in names:
            state[name] = node("numpy.array", state[name]["state"], id=1) if how == "ref" else state[name]
            if how == "ref":
                file.tree = node("list", [state[name], {**file.tree}])
                state[name] = {"$ref": 1}
                path = file.write(tmp_path / "bad.saver")
                outer, inner = saver.load(path)
                kept = getattr(inner, name).copy()
                outer[:] = 10**6
                assert np.array_equal(getattr(inner, name), kept)
                break

    def test_indices_of_a_sparse_tensor_are_its_own(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        sparse = torch.eye(300).to_sparse()
        saver.dump({"sparse": sparse, "indices": sparse._indices()}, tmp_path / "a.saver")
        found = saver.load(tmp_path / "a.saver")
        found["indices"][:] = 10**6
        assert int(found["sparse"]._indices().max()) == 299


def many(file: File, count: int, make: Any) -> File:
    """A list of many nodes that all lean on the same few bytes."""
    file.tree = node("list", [make(number) for number in range(count)])
    return file


def costly(folder: Path) -> dict[str, File]:
    """Small files that would take minutes, or gigabytes."""
    found: dict[str, File] = {}
    block = forged(folder, [np.arange(1_000.0)])
    tensor = {"$tensor": next(iter(block.tensors))}
    found["one tensor in many arrays"] = many(block.copy(), 200_000, lambda _: node("numpy.array", tensor))
    found["seed sequences"] = many(
        forged(folder, [1]), 500,
        lambda number: node("numpy.SeedSequence", {
            "entropy": number, "spawn_key": node("tuple", []), "pool_size": 1024, "n_children_spawned": 0,
        }),
    )  # fmt: skip
    key: Any = node("frozenset", [1], id=0)
    for level in range(1, 60):
        key = node("frozenset", [key, node("tuple", [{"$ref": level - 1}])], id=level)
    found["frozensets in frozensets"] = forged(folder, [1])
    found["frozensets in frozensets"].tree = node("set", [key])
    empty = {"dtype": "|V0", "shape": [1 << 24], "data": ""}
    found["elements without bytes"] = many(forged(folder, [1]), 500, lambda _: node("numpy.array", empty))
    records = {"dtype": {"names": ["a"], "formats": ["|O"], "offsets": [0], "itemsize": 4000},
               "shape": [1000], "fields": [node("numpy.array", {"dtype": "|O", "shape": [1000],
                                                                "items": [None] * 1000})]}  # fmt: skip
    found["padded records"] = many(forged(folder, [1]), 100, lambda _: node("numpy.array", records))
    return found


COSTLY = ["one tensor in many arrays", "seed sequences", "frozensets in frozensets", "elements without bytes",
          "padded records"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", COSTLY)
def test_a_small_file_that_asks_for_much_is_refused_as_such(name: str, tmp_path: Path) -> None:
    """Finding 5."""
    file = costly(tmp_path)[name]
    path = file.write(tmp_path / "bad.saver")
    with pytest.raises(
        LimitExceededError, match=r"part 'model' asks for .* more, beyond the .* limit="
    ) as error:
        saver.load(path)
    assert error.value.code == "limit-exceeded"


@pytest.mark.slow
def test_a_limit_lets_those_pass_who_trust_the_file(tmp_path: Path) -> None:
    file = costly(tmp_path)["elements without bytes"]
    file.tree["state"] = file.tree["state"][:10]
    path = file.write(tmp_path / "large.saver")
    with pytest.raises(LimitExceededError):
        saver.load(path)
    for limit in ("1GB", 10**9, "0.5 GiB"):
        assert len(saver.load(path, limit=limit)) == 10
    with pytest.raises(LimitExceededError):
        saver.load(path, limit="32MiB")


@pytest.mark.parametrize("limit", ["", "much", "-1GB", 0, -5, True, "1XB", "nan"])
def test_a_limit_is_a_number_of_bytes(limit: Any, tmp_path: Path) -> None:
    saver.dump([1], tmp_path / "a.saver")
    with pytest.raises((ValueError, TypeError), match="limit="):
        saver.load(tmp_path / "a.saver", limit=limit)


def test_a_sparse_tensor_over_a_single_element_is_not_counted_through(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    file = forged(tmp_path, torch.eye(3).to_sparse())
    count = 1 << 40
    base = node("torch.Tensor", {"data": "0000000000000000", "dtype": "int64"}, id=1)
    views = [
        node("torch.Tensor", {"base": holder, "dtype": dtype, "shape": shape, "stride": [0] * len(shape),
                              "offset": 0})
        for holder, dtype, shape in ((base, "int64", [1, count]), ({"$ref": 1}, "float64", [count]))
    ]  # fmt: skip
    file.tree["state"] = {"layout": "sparse_coo", "shape": [count], "coalesced": False, "indices": views[0],
                          "values": views[1]}  # fmt: skip
    with pytest.raises(LimitExceededError):
        saver.load(file.write(tmp_path / "bad.saver"))


def test_compressed_buffers_of_an_old_arrow_are_not_read(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from base64 import b64encode

    table = pa.table({"a": np.zeros(10_000)})
    options = pa.ipc.IpcWriteOptions(metadata_version=pa.ipc.MetadataVersion.V4)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    file = forged(tmp_path, pa.table({"a": [1]}))
    file.tree["state"] = ["table", b64encode(sink.getvalue().to_pybytes()).decode()]
    with pytest.raises(saver.IncompatibleError, match="version other than 5"):
        saver.load(file.write(tmp_path / "bad.saver"))


class Counted(str):
    """A key that counts how often it is compared."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_one_key_many_times_is_found_without_comparing_all_with_all() -> None:
    pairs: list[tuple[str, Any]] = [(Counted(f"k{number}"), 1) for number in range(5_000)]
    with pytest.raises(ValueError, match="stands there twice"):
        _unique([*pairs, (Counted("k4999"), 1)])
    assert Counted.comparisons < 10 * len(pairs)


def masked(value: Any) -> Any:
    """An array as a masked one, with nothing shown: what is asked of it answers for no element."""
    whole = node("numpy.array", value["state"]) if isinstance(value, dict) and "$" in value else value
    shape = whole["state"]["shape"]
    count = int(np.prod(shape))
    mask = b64encode(bytes([1]) * count).decode()
    shown = node("numpy.array", {"dtype": "|b1", "shape": shape, "data": mask})
    return node("numpy.masked", {"data": whole, "mask": shown, "fill_value": None, "hard": False})


def arrays_of(value: Any) -> list[tuple[Any, Any]]:
    """Where plain arrays stand in a tree."""
    return [
        (holder, key)
        for holder, key in places(value)
        if isinstance(holder[key], dict) and holder[key].get("$") == "numpy.array"
        and isinstance(holder[key].get("state"), dict) and "shape" in holder[key]["state"]
    ]  # fmt: skip


def checked() -> dict[str, Any]:
    """Objects whose arrays are checked because native code relies on them."""
    sparse: Any = pytest.importorskip("scipy.sparse")
    interpolate: Any = pytest.importorskip("scipy.interpolate")
    pd: Any = pytest.importorskip("pandas")
    matrix = sparse.random_array((6, 5), density=0.3, rng=np.random.default_rng(0))
    found = {form: matrix.asformat(form) for form in ("csr", "csc", "coo", "bsr", "dok", "lil")}
    return {
        **found,
        "spline": interpolate.make_interp_spline(np.arange(6.0), np.arange(6.0)),
        "cubic": interpolate.CubicSpline(np.arange(6.0), np.arange(6.0)),
        "categories": pd.Categorical(["a", "b", "a"]),
        "levels": pd.MultiIndex.from_product([[1, 2], [3, 4]]),
        "gaps": pd.arrays.SparseArray([0.0, 0.0, 1.0]),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
    }


def test_a_masked_array_is_not_taken_for_an_array(tmp_path: Path) -> None:
    """Minima, maxima and comparisons of masked arrays leave out what is masked; native code does not."""
    tried = 0
    for name, obj in checked().items():
        honest = forged(tmp_path, [obj])
        for number in range(len(arrays_of(honest.tree))):
            file = honest.copy()
            holder, key = arrays_of(file.tree)[number]
            holder[key] = masked(holder[key])
            tried += 1
            with pytest.raises(saver.IncompatibleError, match="is not understood here"):
                saver.load(file.write(tmp_path / "bad.saver"))
            assert name
    assert tried > 20


def test_no_method_of_what_a_file_gives_is_called_by_an_optimizer(tmp_path: Path) -> None:
    """One of another version is brought up to date while it is loaded, by methods of its defaults."""
    torch = pytest.importorskip("torch")
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    honest = forged(tmp_path, optimizer)
    honest.tree["state"]["torch"] = "0.0"
    saver.load(honest.write(tmp_path / "good.saver"))
    evil = node("stdlib.SimpleNamespace", {"setdefault": partial("_operator:mod", "%s")})
    file = honest.copy()
    file.tree["state"]["attributes"]["defaults"] = evil
    with pytest.raises(saver.IncompatibleError, match="defaults of an optimizer"):
        saver.load(file.write(tmp_path / "bad.saver"))
    file = honest.copy()
    groups = file.tree["state"]["param_groups"]["state"]
    evil = {"setdefault": partial("_operator:mod", "%s")}
    groups[0] = node("stdlib.OrderedDict", [groups[0]["state"], evil, "attributes"])
    with pytest.raises(saver.IncompatibleError, match=r"parameter groups|attribute"):
        saver.load(file.write(tmp_path / "bad.saver"))


@pytest.mark.parametrize("place", ["steps", "estimator", "transformers", "estimators_"])
def test_a_data_frame_is_not_an_estimator(place: str, tmp_path: Path) -> None:
    """Its methods take texts that they evaluate, and names of other methods."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import StackingRegressor
    from sklearn.feature_selection import RFE
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline

    features, frame = np.random.default_rng(0).random((20, 3)), pd.DataFrame({"a": [1.0]})
    fitted = StackingRegressor([("a", LinearRegression())]).fit(features, features[:, 0])
    fitted.estimators_ = [frame]
    made = {
        "steps": lambda: Pipeline([("a", frame), ("b", LinearRegression())]),
        "estimator": lambda: RFE(frame),
        "transformers": lambda: ColumnTransformer([("a", frame, [0])]),
        "estimators_": lambda: fitted,
    }[place]()
    with pytest.raises(saver.CannotSaveError, match="holds a DataFrame, which is not an estimator"):
        saver.dump(made, tmp_path / "a.saver")
    dump_unchecked(made, tmp_path / "a.saver")
    with pytest.raises(saver.IncompatibleError, match="holds a DataFrame, which is not an estimator"):
        saver.load(tmp_path / "a.saver")


class TestImports:
    """Finding 6: importing is an effect."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", [
        "torch._functorch.aot_autograd:AOTConfig", "torch._dynamo.config:X",
        "torch.utils.tensorboard:SummaryWriter",
        "torch.nn.parallel:DataParallel", "torch.distributed.fsdp:FullyShardedDataParallel",
        "torch.nn.modules.linear:NonexistentLinear", "torch.nn.qat:Linear",
    ])  # fmt: skip
    @pytest.mark.parametrize("codec", ["torch.Module", "torch.options", "torch.Optimizer", "torch.Tensor"])
    def test_of_a_module_that_no_codec_declares(self, codec: str, name: str, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        file = forged(tmp_path, [1])
        file.tree = node(codec, {}, name)
        path = file.write(tmp_path / "bad.saver")
        program = (
            "import sys, saver, saver.file\n"
            "before = set(sys.modules)\n"
            f"try:\n    saver.load({str(path)!r})\n"
            "except saver.SaverError as error:\n    print(error.code)\n"
            "print(sorted(name for name in set(sys.modules) - before if name.partition('.')[0] != 'saver'))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        code, imported = done.stdout.splitlines()
        assert code == "untrusted"
        assert imported == "[]"


POINTER = {"shape": node("tuple", [8]), "typestr": "|S1", "data": node("tuple", [4096, True]), "version": 3}


@pytest.mark.parametrize("name", ["Bunch", "OptimizeResult"])
def test_a_live_mapping_gets_no_item_that_its_class_reads_as_an_attribute(name: str, tmp_path: Path) -> None:
    """One key that is not a string turns a dict into pairs, which a rule for texts would not see."""
    if name == "Bunch":
        target = pytest.importorskip("sklearn.utils").Bunch(a=1)
    else:
        target = pytest.importorskip("scipy.optimize").OptimizeResult(a=1)
    file = forged(tmp_path, [1])
    file.tree = node("dict", [[node("tuple", [1]), "__array_interface__"], [1, node("dict", POINTER)]])
    with pytest.raises(saver.IncompatibleError, match="__array_interface__"):
        restore(open_file(file.write(tmp_path / "bad.saver")), {"model": target}, strict=False)
    assert list(target) == ["a"]


def test_a_live_subclass_keeps_its_methods(tmp_path: Path) -> None:
    """What was saved as an OrderedDict fills one of a user's class, whose methods the file did not know."""
    from collections import OrderedDict

    class Registry(OrderedDict[str, int]):
        def step(self) -> str:
            return "the class's own"

    target = Registry()
    file = forged(tmp_path, [1])
    called = partial("_operator:add", 1, 2)
    file.tree = node("stdlib.OrderedDict", [[[node("tuple", [1])], [1]], {"step": called}, "attributes"])
    with pytest.raises(saver.IncompatibleError, match="step"):
        restore(open_file(file.write(tmp_path / "bad.saver")), {"model": target}, strict=False)
    assert target.step() == "the class's own"


@pytest.mark.parametrize("text", ["7", "", "<", "1e9", "<4", "i4,i4", "(2,)i4"])
def test_a_text_that_numpy_evaluates_is_not_a_dtype(text: str, tmp_path: Path, refused: Any) -> None:
    """NumPy takes digits alone for a literal, which it parses."""
    file = forged(tmp_path, [1])
    file.tree = node("numpy.array", {"dtype": text, "shape": [0], "data": ""})
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)
    file.tree = node("numpy.scalar", [text, 1])
    refused(file.write(tmp_path / "bad.saver"), saver.IncompatibleError)
