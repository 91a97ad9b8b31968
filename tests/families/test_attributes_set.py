"""An attribute that somebody sets on an object comes back with it, or the object is refused by its name:
for the objects of every codec, and for names of every kind. What their libraries set there stops no save."""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import saver
from saver import registry
from saver.codec import Encoder, codec_for, lookup, own_dict

sys.path.append(str(Path(__file__).parents[1] / "attacks"))

import samples

pytest.importorskip(
    "scipy", "1.15", reason="the objects are made as newer versions of SciPy and NumPy make them"
)

pytestmark = pytest.mark.filterwarnings("ignore")


def _sklearn() -> Any:
    pytest.importorskip("sklearn")
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import Bunch

    columns = make_column_transformer((StandardScaler(), [0]), remainder="passthrough")
    return [Bunch(a=1), columns.fit(np.eye(3)), *_bars()]


def _bars() -> list[Any]:
    try:
        from sklearn.callback import ProgressBar
    except ImportError:  # since 1.9
        return []
    return [ProgressBar()]


FORMS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


def _scipy() -> Any:
    pytest.importorskip("scipy")
    from scipy import interpolate, optimize, sparse, spatial, stats
    from test_forms_of_scipy import INTERPOLATORS, MULTIVARIATE

    bowl = optimize.minimize(lambda x: x @ x, np.ones(2), method="L-BFGS-B")
    return [
        [make() for make, _ in INTERPOLATORS.values()],
        [getattr(stats, name)(*shapes) for name, shapes in MULTIVARIATE.items() if hasattr(stats, name)],
        [stats.Covariance.from_cholesky(np.eye(2)), stats.gaussian_kde([1.0, 2.0, 4.0])],
        [stats.rv_discrete(values=([1, 2], [0.5, 0.5])), stats.rv_histogram(np.histogram([1, 2, 2]))],
        [stats.loguniform, stats.truncnorm(-1, 1), stats.poisson(3)],
        [bowl, optimize.Bounds(0, 1), optimize.LinearConstraint(np.eye(2)), spatial.KDTree(np.eye(2))],
        [spatial.cKDTree(np.eye(2)), spatial.transform.Rotation.identity()],
        [interpolate.make_smoothing_spline(np.arange(9.0), np.arange(9.0))],
        [sparse.csr_matrix(np.eye(4)).asformat(form) for form in FORMS],
    ]  # fmt: skip


def _pandas() -> Any:
    pd: Any = pytest.importorskip("pandas")
    from test_pandas import INDEXES, columns

    moment = pd.Timestamp("2024-01-01 10:00")
    return [
        [each.copy() for each in INDEXES.values()],
        columns(),
        [each.array for each in columns().values()],
        [each.dtype for each in columns().values()],
        [moment, pd.Timedelta("1h"), pd.Period("2024-01"), pd.Interval(0, 1), pd.NA, pd.NaT],
        [pd.offsets.DateOffset(days=1), pd.offsets.MonthEnd(), pd.offsets.CBMonthEnd(), pd.offsets.YearEnd()],
    ]


def _torch() -> Any:
    torch: Any = pytest.importorskip("torch")
    net = torch.nn.Linear(2, 2)
    steps = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 3)
    return [
        [torch.Size([1]), torch.zeros(2).untyped_storage(), torch.device("cpu"), torch.float32],
        [net, net.weight, steps, schedule, torch.amp.GradScaler("cpu")],
    ]


def _zones() -> Any:
    tz: Any = pytest.importorskip("dateutil.tz")
    return tz.tzutc(), tz.tzoffset("a", 60)


MORE: dict[str, Callable[[], Any]] = {
    "scipy": _scipy, "pandas": _pandas, "sklearn": _sklearn, "torch": _torch, "dateutil": _zones,
}  # fmt: skip


def met(make: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    """An object of each class that a save of these meets, and the name of its codec."""
    found: dict[tuple[str, type], Any] = {}
    walk = Encoder._node

    def look(encoder: Encoder, obj: Any, kind: type, *rest: Any) -> Any:
        codec = codec_for(kind)
        if codec is not None:
            found.setdefault((codec.name, kind), obj)
        return walk(encoder, obj, kind, *rest)

    with mock.patch.object(Encoder, "_node", look):
        saver.dumps(make())
    return ((name, obj) for (name, kind), obj in found.items() if not isinstance(obj, type))


@functools.cache
def objects() -> dict[str, Any]:
    """All of them that have a `__dict__` of their own."""
    found = {}
    for make in [*samples.SAMPLES.values(), *MORE.values()]:
        try:
            new = list(met(make))
        except pytest.skip.Exception:
            continue
        for codec, obj in new:
            found.setdefault((codec, type(obj)), obj)
    return {f"{codec} {kind.__name__}": obj for (codec, kind), obj in found.items()}


SAVED_BY_NAME_ONLY = {"pyarrow.table", "sklearn.remainder", "stdlib.lock", "torch.options"}
"""Codecs whose objects are in no sample here: one cannot set attributes on them."""
FOR_CLASSES_OF_USERS = {"class", "dataclass", "derived", "derived_value", "enum", "namedtuple", "object"}
"""`test_whole_or_refused.py` tries those."""


def test_the_objects_of_every_codec_are_tried() -> None:
    codecs = set[str]()
    for module in ("python", "numpy", "dateutil", "pandas", "pyarrow", "scipy", "sklearn", "torch"):
        pytest.importorskip(module) if module != "python" else None
        codecs |= {codec.name for codec in lookup._load(registry.family(module))}
    tried = {name.partition(" ")[0] for name in objects()}
    assert codecs - tried == SAVED_BY_NAME_ONLY | FOR_CLASSES_OF_USERS


@pytest.mark.parametrize("name", ["mine", "_mine", "__mine"])
def test_an_attribute_that_is_set_comes_back_or_is_refused(name: str) -> None:
    kept, refused = set(), set()
    for what, obj in objects().items():
        try:
            setattr(obj, name, [5])
        except (AttributeError, TypeError):
            continue  # there is no place for one
        if name not in own_dict(obj):
            assert obj.pop(name) == [5]  # it became an item of a dict
            continue
        try:
            data = saver.dumps(obj)
        except saver.CannotSaveError as error:
            why = str(error)
            assert f"attribute {name!r} was set" in why, what
            refused.add(what.partition(" ")[0])
        else:
            assert getattr(saver.loads(data, trust=["*"]), name) == [5], what
            kept.add(what.partition(" ")[0])
        delattr(obj, name)
        saver.dumps(obj)
    expected = {"sklearn.estimator", "stdlib.OrderedDict"}
    assert expected | ({"torch.Module", "torch.Tensor"} if "torch" in sys.modules else set()) <= kept
    assert {"stdlib.partial", "scipy.sparse", "pandas.DataFrame", "pandas.Index", "scipy.frozen"} <= refused


def test_an_attribute_in_the_place_of_a_method_is_never_lost() -> None:
    for what, obj in objects().items():
        for name in dir(type(obj)):
            if name[0] == "_" or name in FILLED_LATER or not callable(getattr(type(obj), name, None)):
                continue
            try:
                setattr(obj, name, [5])
            except (AttributeError, TypeError, ValueError):
                continue
            try:
                data = saver.dumps(obj)
            except (saver.CannotSaveError, TypeError):  # a codec may call the method itself
                pass
            else:
                assert getattr(saver.loads(data, trust=["*"]), name) == [5], (what, name)
            obj.pop(name) if name not in own_dict(obj) else delattr(obj, name)


FILLED_LATER = (
    "cat", "dt", "list", "plot", "sparse", "str", "struct",  # accessors of pandas
    "generic_moment", "vecentropy",  # what SciPy computes a distribution with
    "hosts",  # of a network
    "clear", "items", "keys", "pop", "values",  # of a dict, of which they become items
)  # fmt: skip
"""Names of methods under which the libraries themselves keep something on an instance."""


def use(obj: Any) -> None:
    """Ask an object for all that needs no arguments, as its library may keep what it answers."""
    for name in dir(type(obj)):
        if name[0] == "_" or name.startswith(ELSEWHERE):
            continue
        with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
            found = getattr(obj, name)
            if callable(found) and not isinstance(found, type):
                found()


ELSEWHERE = (
    "to_",
    "plot",
    "hist",
    "box",
    "read",
    "save",
    "dump",
    "tofile",
    "acquire",
    "release",
    "close",
    "resize",
)
"""How methods begin that write to files, screens and clipboards, or take an object's content away."""


def test_what_a_library_keeps_on_an_object_in_use_stops_no_save() -> None:
    for what, obj in objects().items():
        if what.partition(".")[0] in ("dateutil", "numpy", "pandas", "scipy", "sklearn", "stdlib"):
            use(obj)
            saver.dumps(obj)
