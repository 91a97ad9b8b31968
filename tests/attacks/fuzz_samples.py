"""The objects that the fuzzer starts from: those of `samples`, and one of every class that has a codec."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import tempfile
import types
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from samples import SAMPLES

HERE = Path(__file__).parent
Makers = dict[str, Callable[[], Any]]


def makers(wanted: tuple[str, ...]) -> Makers:
    """Name → what makes the object, for the groups or single names that are wanted; all for none, but for
    those that are `ALONE`."""
    found: Makers = {}
    for group, make in GROUPS.items():
        named = any(name.partition("/")[0] == group for name in wanted)
        if named or (not wanted and group not in ALONE):
            try:
                found.update({f"{group}/{name}": maker for name, maker in make()})
            except BaseException as error:  # pytest's Skipped is one, where a library is not installed
                print(f"no samples of {group}: {type(error).__name__}: {error}", file=sys.stderr)
    keep = {name for name in found if not wanted or name in wanted or name.partition("/")[0] in wanted}
    return {name: found[name] for name in sorted(keep)}


def _tests(name: str) -> Any:
    """A module of the tests of families, which knows how objects of its library are made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _base() -> Iterator[tuple[str, Callable[[], Any]]]:
    yield from SAMPLES.items()


def _plain() -> Iterator[tuple[str, Callable[[], Any]]]:
    def shown() -> Any:
        ordered: Any = OrderedDict(weight=np.ones(3))
        ordered._metadata = OrderedDict({"": {"version": 1}})
        return {
            "space": types.SimpleNamespace(a=1, b=[2], call=functools.partial(np.add, 1)),
            "ordered": ordered,
            "factory": defaultdict(list, {"a": [1]}),
            "partials": [functools.partial(np.clip, a_min=0, a_max=1), functools.partial(np.log1p)],
            "keys": {(1, (2, "a")): 1, frozenset((1, frozenset((2,)))): 2, "text": 3},
        }

    yield "shown", shown
    yield "list", lambda: [1, [2.5, "a"], {"b": (None, True)}, {3, 4}]
    yield "array", lambda: np.arange(200.0).reshape(20, 10)


def _sklearn() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_sklearn")
    for parameter in tests.INSTANCES:
        yield parameter.id, lambda estimator=parameter.values[0]: tests.fitted(estimator)[0]
    yield "Bunch", _bunch
    yield "cached", _cached


def _bunch() -> Any:
    from sklearn.utils import Bunch

    return Bunch(data=np.ones((4, 2)), names=["a", "b"], inner=Bunch(a=1), make=np.log1p)


def _cached() -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    rows = np.random.default_rng(0).random((20, 6))
    return Pipeline([("f", FunctionTransformer(np.log1p)), ("s", StandardScaler())]).fit(rows)


def _modules() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_torch")
    for name in tests._torch_modules():
        if not name.startswith("Lazy"):
            yield name, lambda name=name: tests._made(name)


def _training() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_torch")
    torch = tests.torch

    def trained(kind: str, scheduled: str = "") -> Any:
        net = tests._network(kind)
        optimizer = getattr(torch.optim, kind)(net.parameters(), **tests._OPTIMIZERS[kind])
        schedulers = [tests._SCHEDULES[scheduled](optimizer)] if scheduled else []
        parts = {"model": net, "optimizer": optimizer, "schedulers": schedulers}
        tests._train({**parts, "generator": torch.Generator()}, 2)
        return parts

    for kind in tests._OPTIMIZERS:
        if hasattr(torch.optim, kind):
            yield kind, lambda kind=kind: trained(kind)
    for name in tests._SCHEDULES:
        if name not in ("LambdaLR", "MultiplicativeLR"):  # they hold functions of the user's own
            yield name, lambda name=name: trained("SGD", name)
    yield "GradScaler", lambda: torch.amp.GradScaler("cpu", init_scale=4.0)


def _scipy() -> Iterator[tuple[str, Callable[[], Any]]]:
    import scipy.interpolate
    import scipy.optimize
    import scipy.sparse
    import scipy.spatial
    import scipy.stats

    for form in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok"):
        for kind in ("array", "matrix"):
            eye = getattr(scipy.sparse, f"coo_{kind}")(np.eye(6, 5) + np.eye(6, 5, 2))
            yield f"{form}_{kind}", lambda eye=eye, form=form: eye.asformat(form)
    stats, interpolate = scipy.stats, scipy.interpolate
    yield "distributions", lambda: [
        stats.loguniform(1e-3, 1e2), stats.randint(2, 9), stats.norm(1, 2), stats.poisson(4.5), stats.norm,
        stats.rv_histogram(np.histogram(np.arange(50.0), 5)),
        stats.rv_discrete(values=([1, 2, 3], [0.2, 0.3, 0.5])),
    ]  # fmt: skip
    x = np.linspace(0, 4, 12)
    yield "interpolators", lambda: [
        interpolate.make_interp_spline(x, np.sin(x)), interpolate.interp1d(x, np.sin(x)),
        interpolate.interp1d(x, np.sin(x), kind="cubic", fill_value="extrapolate"),
        interpolate.CubicSpline(x, np.sin(x)), interpolate.PchipInterpolator(x, np.sin(x)),
        interpolate.Akima1DInterpolator(x, np.sin(x)),
    ]  # fmt: skip
    points = np.random.default_rng(0).random((60, 3))
    yield (
        "trees",
        lambda: [scipy.spatial.cKDTree(points, leafsize=7), scipy.spatial.KDTree(points, boxsize=2.0)],
    )
    yield "density", lambda: scipy.stats.gaussian_kde(points.T)
    yield "rotation", lambda: scipy.spatial.transform.Rotation.from_euler("xyz", [[10, 20, 30]], degrees=True)
    yield (
        "result",
        lambda: scipy.optimize.minimize(
            lambda v: float(((v - 1) ** 2).sum()), np.zeros(2), method="L-BFGS-B"
        ),
    )
    yield (
        "bounds",
        lambda: [scipy.optimize.Bounds([0.0, 0.0], [1.0, 2.0]), scipy.optimize.RootResults(1.0, 2, 3, 0, "")],
    )


def _forms() -> Iterator[tuple[str, Callable[[], Any]]]:
    """SciPy's interpolators, multivariate distributions and covariances, one of each."""
    tests = _tests("test_forms_of_scipy")
    for name, (make, _) in tests.INTERPOLATORS.items():
        if name not in ("AAA", "FloaterHormannInterpolator") or hasattr(tests.interpolate, name):
            yield name, make
    for name, arguments in tests.MULTIVARIATE.items():
        if hasattr(tests.stats, name):
            yield name, lambda name=name, given=arguments: getattr(tests.stats, name)(*given)
    covariance = tests.stats.Covariance
    yield "covariances", lambda: [
        tests.stats.multivariate_normal([0.0, 1.0], covariance.from_diagonal([1.0, 2.0])),
        covariance.from_precision(tests.EYE), covariance.from_cholesky(tests.EYE),
        covariance.from_eigendecomposition(np.linalg.eigh(tests.EYE)),
    ]  # fmt: skip


def _pandas() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_pandas")
    for name in tests.COLUMNS:
        yield f"series {name}", lambda name=name: tests.COLUMNS[name]
    for name in tests.INDEXES:
        yield f"index {name}", lambda name=name: tests.INDEXES[name]
    pd = tests.pd
    yield (
        "frame",
        lambda: pd.DataFrame({name: tests.COLUMNS[name] for name in ("float", "str", "category", "Int32")}),
    )
    yield "scalars", lambda: [
        pd.Timestamp("2024-01-01", tz="Europe/Oslo"), pd.Timedelta(1, "ns"), pd.Period("2024-05", "M"),
        pd.NaT,
        pd.Interval(0, 1.5, "both"), pd.offsets.Week(weekday=3), pd.CategoricalDtype(["a"], True),
    ]  # fmt: skip


def _pyarrow() -> Iterator[tuple[str, Callable[[], Any]]]:
    import pyarrow as pa

    yield "table", lambda: pa.table({"a": [1, None, 3], "b": ["x", "y", None], "c": [[1], [], None]})
    yield "batch", lambda: pa.RecordBatch.from_pydict({"a": [1.5, 2.5]})
    yield "arrays", lambda: [
        pa.array(["a", "b", "a"]).dictionary_encode(), pa.array([{"x": 1}, None]), pa.array([b"a", None]),
        pa.chunked_array([[1, 2], [3]]), pa.list_(pa.int8()),
    ]  # fmt: skip


def _kin(family: str) -> Callable[[], Iterator[tuple[str, Callable[[], Any]]]]:
    def found() -> Iterator[tuple[str, Callable[[], Any]]]:
        importlib.import_module(family)
        tests = _tests("kin_of_sklearn")
        for name in tests.names(family):
            if tests.fitted(name)[0] is not None:
                yield name, lambda name=name: tests.fitted(name)[0]

    return found


def _skorch() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_skorch")
    for kind in tests.KINDS:
        yield kind, lambda kind=kind: tests.made(kind).fit(*tests.data(kind))
    scoring = tests.EpochScoring("accuracy")
    yield "callbacks", lambda: tests.made(callbacks=[scoring, tests.EarlyStopping(), tests.LRScheduler()])


def _torchmetrics() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_torchmetrics")
    for number, (name, metric) in enumerate(tests.metrics()):
        if number % 8 == 0:
            yield name, lambda metric=metric: metric


def _statsmodels() -> Iterator[tuple[str, Callable[[], Any]]]:
    yield from _tests("statsmodels_models").FITTED.items()


def _keras() -> Iterator[tuple[str, Callable[[], Any]]]:
    """On the backend that `KERAS_BACKEND` names; PyTorch is the one that a process may be forked with."""
    tests = _tests("keras_models")
    for name, make in tests.MODELS.items():
        if name not in ("subclassed", "unregistered", "functional"):  # they hold what the user must trust
            yield name, make
    inputs = tests.keras.Input((tests.FEATURES,), name="in")
    yield "preprocessing", lambda: [
        tests.layers.StringLookup(vocabulary=["a", "b"]), tests.layers.Discretization([0.0, 1.0]),
        tests.layers.Hashing(4), tests.layers.CategoryEncoding(3), tests.layers.Rescaling(0.5),
    ]  # fmt: skip
    yield "operations", lambda: tests.keras.Model(inputs, tests.keras.ops.relu(inputs * 2.0)[:, 1:3])
    yield "optimizers", lambda: [
        tests.keras.optimizers.AdamW(tests.keras.optimizers.schedules.CosineDecay(0.1, 10), use_ema=True),
        tests.keras.optimizers.SGD(0.1, momentum=0.5, clipnorm=1.0), tests.keras.optimizers.Lion(0.1),
    ]  # fmt: skip


def _tokenizers() -> Iterator[tuple[str, Callable[[], Any]]]:
    tests = _tests("test_python_tokenizers")
    for kind in tests.KINDS:
        yield kind, lambda kind=kind: tests.made(kind, Path(tempfile.mkdtemp()))
    import tokenizers
    import transformers

    def fast() -> Any:
        inner = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
        inner.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(vocab_size=60, special_tokens=["<unk>", "<pad>"])
        inner.train_from_iterator(["low lower lowest", "new newer newest"], trainer)
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", model_max_length=32
        )

    yield "fast", fast
    yield "plain", lambda: fast().backend_tokenizer


def _sktime() -> Iterator[tuple[str, Callable[[], Any]]]:
    """What a user of sktime trusts, for these need trust."""
    trust = Path(os.environ["SAVER_CONFIG"])
    trust.parent.mkdir(exist_ok=True, parents=True)
    trust.write_text('trust = ["sktime.*"]')
    tests = _tests("sktime_models")
    for kind, make in tests.KINDS.items():
        yield kind, lambda make=make: make()[0]


def _boosters() -> Iterator[tuple[str, Callable[[], Any]]]:
    trees, texts = _tests("test_xgboost"), _tests("test_lightgbm")
    for booster in ("gbtree", "dart", "gblinear"):
        yield f"xgboost {booster}", lambda booster=booster: trees.trained("multi:softprob", booster)[0]
    for boosting in ("gbdt", "dart", "rf"):
        yield f"lightgbm {boosting}", lambda boosting=boosting: texts.trained("multiclass", boosting)
    rows, labels = np.random.default_rng(0).random((30, 3)), np.arange(30) % 2
    yield "XGBClassifier", lambda: trees.xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(rows, labels)
    yield "LGBMClassifier", lambda: texts.lightgbm.LGBMClassifier(n_estimators=2, n_jobs=1).fit(rows, labels)


GROUPS: dict[str, Callable[[], Iterator[tuple[str, Callable[[], Any]]]]] = {
    "base": _base, "plain": _plain, "sklearn": _sklearn, "nn": _modules, "training": _training,
    "scipy": _scipy, "forms": _forms, "pandas": _pandas, "pyarrow": _pyarrow,
    "imblearn": _kin("imblearn"), "category_encoders": _kin("category_encoders"),
    "feature_engine": _kin("feature_engine"), "skorch": _skorch, "torchmetrics": _torchmetrics,
    "statsmodels": _statsmodels, "keras": _keras, "tokenizers": _tokenizers, "boosters": _boosters,
    "sktime": _sktime,
}  # fmt: skip

ALONE = ("keras", "tokenizers", "boosters", "sktime")
"""Groups for runs of their own: their libraries take long to import, or files of theirs need trust."""
