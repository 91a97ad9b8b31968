"""Objects for the fuzzer: together they use every codec. Add yours here, one entry for each family."""

from __future__ import annotations

import argparse
import array
import collections
import datetime
import decimal
import fractions
import functools
import ipaddress
import logging
import operator
import pathlib
import random
import re
import statistics
import string
import sys
import types
import uuid
import warnings
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from saver.training_log import Column, Content, TrainingLog


def _builtins() -> Any:
    looped: list[Any] = [1, "a"]
    looped.append(looped)
    shared = {"deep": [None, True, -0.0]}
    return {
        "scalars": [2**80, float("nan"), 1 + 2j, "x" * 600, "\ud800", b"bytes", bytearray(b"more")],
        "containers": [(1, (2,)), {1, "a"}, frozenset({2}), {1: 2, (3,): [4]}, range(3), slice(1, None)],
        "looped": looped,
        "shared": [shared, shared],
        "columns": [
            list(range(70)),
            [0.5] * 70,
            ["word"] * 70,
            [True] * 70,
            {f"w{i}": i for i in range(300)},
        ],
        "names": [Ellipsis, np.log1p, len, np.float64, int],
    }


def _stdlib() -> Any:
    utc = datetime.timezone.utc  # noqa: UP017  the object is what is saved
    dates: list[Any] = [
        datetime.date(2020, 1, 2),
        datetime.datetime(2020, 1, 2, tzinfo=zoneinfo.ZoneInfo("UTC")),
        datetime.time(1, 2, tzinfo=utc),
        datetime.timedelta(1, 2, 3),
        datetime.timezone(datetime.timedelta(hours=1), "A"),
    ]
    return {
        "collections": [
            collections.OrderedDict(a=1),
            collections.Counter("aab"),
            collections.defaultdict(list, {1: [2]}),
            collections.deque([1, 2], 3),
            types.SimpleNamespace(a=[1]),
        ],
        "numbers": [decimal.Decimal("1.50"), fractions.Fraction(1, 3), uuid.UUID(int=5)],
        "dates": dates,
        "rest": [
            functools.partial(np.add, 1, out=None),
            pathlib.PurePosixPath("a/b"),
            array.array("d", [1.0, 2.0]),
            array.array("w" if sys.version_info >= (3, 13) else "u", "ab"),
            random.Random(1),
        ],
        "texts": [
            re.compile("(a|b)[c-d]*", re.IGNORECASE),
            re.compile(b"x"),
            logging.getLogger("saver.sample"),
            logging.LoggerAdapter(logging.getLogger(), {"a": 1}),
            ipaddress.ip_address("::1"),
            ipaddress.ip_network("10.0.0.0/8"),
            operator.itemgetter(1, "a"),
            operator.attrgetter("a.b"),
            str.lower,
        ],
        "records": [
            argparse.Namespace(a=[1]),
            collections.UserDict(a=1),
            collections.UserList([1]),
            collections.UserString("a"),
            collections.ChainMap({1: 2}, {}),
            string.Template("$a"),
            statistics.NormalDist(1, 2),
        ],
    }


def _numpy() -> Any:
    structured = np.zeros(3, [("a", "<i4"), ("b", ">f8", (2,)), ("c", "S3")])
    mixed = np.zeros(2, [("o", object), ("i", "i8")])
    return {
        "plain": [np.arange(100.0).reshape(10, 10), np.asfortranarray(np.ones((20, 30))), np.array(3)],
        "kinds": [
            np.ones(80, complex), np.array(["ab", "c"]), np.array([b"x"]), np.zeros(2, ">i4"),
            np.array(["2020-01-01"], "M8[D]"), np.zeros((2, 0)), np.zeros(3, "V4"), np.ones(2, "f2"),
            np.array([1, 2], np.longdouble), np.array(["a" * 200] * 9),
        ],
        "objects": [np.array([1, "a", None, [1]], object), mixed, np.array([1.0] * 70, object)],
        "structured": [structured, structured.view(np.recarray), np.zeros(90, structured.dtype)],
        "scalars": [np.float32(1.5), np.int64(2**60), np.datetime64("2020", "D"), np.str_("a"),
        structured[0]],
        "masked": [np.ma.array([1, 2], mask=[0, 1], fill_value=7), np.ma.masked],
        "polynomials": [np.poly1d([1, 2]), np.polynomial.Chebyshev([1, 2], [0, 3], symbol="t")],
        "dtypes": [np.dtype("<f4"), structured.dtype, np.dtype((np.int32, (2, 3)))],
        "random": [
            np.random.RandomState(1), np.random.default_rng(1), np.random.Generator(np.random.MT19937(1)),
            np.random.SeedSequence(3), np.random.Philox(1), np.random.SFC64(1), np.random.PCG64DXSM(2),
        ],
    }  # fmt: skip


def _strings() -> Any:
    kind: Any = getattr(np.dtypes, "StringDType", None)
    if kind is None:
        pytest.skip("this NumPy has no strings of variable length")
    return [np.array(["a", "bb"], kind()), np.array(["a", None], kind(na_object=None))]


def _scipy() -> Any:
    sparse: Any = pytest.importorskip("scipy.sparse")
    stats: Any = pytest.importorskip("scipy.stats")
    matrix = sparse.random_array((6, 5), density=0.4, rng=np.random.default_rng(0))
    forms = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
    mean, eye = np.zeros(2), np.eye(2)
    return {
        "sparse": [matrix.asformat(form) for form in forms],
        "stats": [stats.norm(1, 2), stats.uniform, stats.levy_stable(1.8, 0.5)],
        "multivariate": [
            stats.dirichlet,
            stats.multivariate_normal(mean, eye),
            stats.wishart(5, eye),
            stats.multinomial(5, [0.2, 0.8]),
            stats.random_table([1, 2], [2, 1]),
            stats.Covariance.from_diagonal([1.0, 2.0]),
        ],
        "interpolators": _interpolators(),
    }


def _interpolators() -> list[Any]:
    from scipy import interpolate, spatial

    x, points = np.linspace(0, 1, 8), np.random.default_rng(0).random((9, 2))
    y = np.sin(3 * x)
    return [
        interpolate.RegularGridInterpolator((x, x), np.outer(y, y)),
        interpolate.RegularGridInterpolator((x,), y, method="cubic"),
        interpolate.RBFInterpolator(points, points[:, 0]),
        interpolate.RBFInterpolator(points, points[:, 0], neighbors=4),
        interpolate.CloughTocher2DInterpolator(points, points[:, 0]),
        interpolate.NearestNDInterpolator(points, points[:, 0]),
        interpolate.UnivariateSpline(x, y),
        interpolate.LSQUnivariateSpline(x, y, [0.4, 0.7]),
        interpolate.RectBivariateSpline(x, x, np.outer(y, y)),
        interpolate.NdPPoly(np.ones((2, 2, 1, 1)), ([0.0, 1.0], [0.0, 1.0])),
        interpolate.BarycentricInterpolator(x, y),
        interpolate.AAA(x, y),
        spatial.Delaunay(points),
    ]


def _pandas() -> Any:
    pd: Any = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
    return {
        "frame": frame,
        "dates": pd.Series(pd.date_range("2024-01-01", periods=3, tz="UTC")),
        "nullable": pd.array([1, None], dtype="Int64"),
        "index": [pd.MultiIndex.from_product([[1, 2], ["a"]]), pd.RangeIndex(3), pd.interval_range(0, 2)],
    }


def _sklearn_trees() -> Any:
    ensemble: Any = pytest.importorskip("sklearn.ensemble")
    rows, labels = _data()
    return {
        "forest": ensemble.RandomForestClassifier(2, max_depth=2, random_state=0).fit(rows, labels),
        "boosting": ensemble.HistGradientBoostingClassifier(max_iter=2, max_depth=2).fit(rows, labels),
    }


def _sklearn_others() -> Any:
    pytest.importorskip("sklearn")
    from sklearn.cluster import Birch
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from sklearn.svm import SVC

    rows, labels = _data()
    return {
        "pipeline": make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression()).fit(
            rows, labels
        ),
        "svc": SVC().fit(rows, labels),
        "kd": KNeighborsClassifier(2, algorithm="kd_tree", leaf_size=3).fit(rows, labels),
        "ball": KNeighborsClassifier(2, algorithm="ball_tree", leaf_size=3).fit(rows, labels),
        "birch": Birch(n_clusters=2).fit(rows),
    }


def _data() -> tuple[Any, Any]:
    rows = np.random.default_rng(0).random((30, 3))
    return rows, (rows[:, 0] > 0.5).astype(int)


def _torch() -> Any:
    torch: Any = pytest.importorskip("torch")
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.BatchNorm1d(4), torch.nn.LSTM(4, 2)
    )
    optimizer = torch.optim.Adam(net.parameters())
    net[0](torch.ones(2, 3)).sum().backward()
    optimizer.step()
    with warnings.catch_warnings():  # PyTorch says once in a process that these are in beta
        warnings.simplefilter("ignore", UserWarning)
        compressed = torch.eye(3).to_sparse_csr()
    return {
        "net": net,
        "optimizer": optimizer,
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2),
        "tensors": [torch.arange(6).reshape(2, 3).T, torch.ones(3, dtype=torch.bfloat16),
                    torch.eye(3).to_sparse(),
                    compressed, torch.tensor(1j), torch.zeros(2, 0)],
        "generator": torch.Generator().manual_seed(1),
    }  # fmt: skip


def _saver() -> Any:
    log = TrainingLog()
    for step in range(100):
        log.append(step, time=float(step), loss=1 / (step + 1), val_loss=None if step % 3 else 0.5)
        log.mark("saved", step, f"run@{step}", time=float(step))
    short = log.snapshot()
    short.truncate(5)
    steps = np.arange(2500)
    long = TrainingLog.of(Content(steps, steps * 0.5, {"loss": Column(0, 1 / (steps + 1))}, ()))
    return {"log": log, "short": short, "long": long, "empty": TrainingLog()}


SAMPLES: dict[str, Callable[[], Any]] = {
    "builtins": _builtins,
    "stdlib": _stdlib,
    "numpy": _numpy,
    "numpy strings": _strings,
    "scipy": _scipy,
    "pandas": _pandas,
    "sklearn trees": _sklearn_trees,
    "sklearn": _sklearn_others,
    "torch": _torch,
    "saver": _saver,
}
"""Name → what makes the object. The fuzzer saves each, changes the file, and loads it."""
