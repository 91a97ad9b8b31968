"""Enums, named tuples and dataclasses of the libraries: what is saved loads without trust, or saving says
that it will not."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import saver
from equality import assert_same
from saver import trust
from saver.codec import codec_for, codec_named

MODULES = (
    "calendar", "concurrent.futures", "decimal", "difflib", "doctest", "http", "inspect", "platform",
    "plistlib", "pstats", "py_compile", "re", "signal", "socket", "ssl", "statistics", "tokenize",
    "urllib.parse", "urllib.robotparser", "uuid", "wave", "numpy", "pandas", "scipy.integrate",
    "scipy.io.wavfile", "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.impute._iterative",
    "sklearn.ensemble", "sklearn.gaussian_process", "torch.nn", "torch.optim", "torch.utils.checkpoint",
)  # fmt: skip
LIBRARIES = frozenset(("numpy", "pandas", "scipy", "sklearn", "torch"))
CODECS = ("dataclass", "enum", "namedtuple")


def found() -> Iterator[type]:
    """Every enum, named tuple and dataclass in a module of a library that is loaded, or of Python's."""
    for name in MODULES:
        try:
            import_module(name)
        except ImportError:
            continue
    seen = set()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in LIBRARIES and name not in MODULES:
            continue
        for thing in list(vars(module).values()):
            if isinstance(thing, type) and thing not in seen and thing.__module__ in sys.modules:
                seen.add(thing)
                root = thing.__module__.partition(".")[0]
                codec = codec_for(thing) if root in LIBRARIES or thing.__module__ in MODULES else None
                if codec is not None and codec.name in CODECS and not inspect.isabstract(thing):
                    yield thing


def instance(cls: Any) -> Any:
    if issubclass(cls, Enum):
        return next(iter(cls), None)
    if issubclass(cls, tuple):
        return tuple.__new__(cls, range(len(cls._fields)))
    return object.__new__(cls)


@pytest.mark.filterwarnings("ignore:.*torch|.*sklearn:FutureWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of objects without state
def test_whatever_is_saved_loads_without_trust_or_saving_warns() -> None:
    loaded, told = 0, 0
    for cls in found():
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                data = saver.dumps([instance(cls)])
            except saver.CannotSaveError:
                continue
        name = f"{cls.__module__}.{cls.__qualname__}"
        if any(f'will need trust=["{name}"]' in str(each.message) for each in heard):
            told += 1
            with pytest.raises(saver.UntrustedError):
                saver.loads(data)
        else:
            loaded += 1
            (back,) = saver.loads(data)
            assert type(back) is type(instance(cls)), name
    assert loaded > 40
    assert told > 5


def test_every_listed_class_is_one_that_its_codec_takes_and_that_has_no_finalizer() -> None:
    absent, seen = [], set()
    for name, codec in trust.instances().items():
        library = name.partition(":")[0].partition(".")[0]
        if find_spec(library) is None:
            continue
        seen.add(library)
        try:
            cls = trust.resolve(name)
        except (saver.NotFoundError, saver.IncompatibleError):
            absent.append(name)  # of another version of the library
            continue
        assert codec_named(codec).accepts(cls), name
        assert not {"__del__", "__setstate__"} & {attr for base in cls.__mro__[:-1] for attr in vars(base)}, (
            name
        )
    old = np.lib.NumpyVersion(np.__version__) < "2.0.0"  # whose functions return plain tuples
    assert len(absent) < (30 if old else 15), absent
    assert seen >= {"numpy", "scipy", "sklearn"}


@pytest.mark.parametrize("name", sorted(trust.instances())[::10])
def test_a_listed_class_is_admitted_for_its_own_codec_only(name: str) -> None:
    codec = trust.instances()[name]
    assert trust.allows(codec, name, ())
    for other in {*CODECS, "object", "function", "class", "derived"} - {codec}:
        assert not trust.allows(other, name, ())


def results() -> dict[str, Any]:
    stats = pytest.importorskip("scipy.stats")
    one, other = np.random.default_rng(0).random((2, 20))
    return {
        "linregress": stats.linregress(one, other), "mode": stats.mode([1, 1, 2]),
        "binned_statistic": stats.binned_statistic(one, other),
        "pearsonr": stats.pearsonr(one, other), "kstest": stats.kstest(one, "norm"),
        "chi2_contingency": stats.chi2_contingency([[3, 4], [5, 6]]), "wilcoxon": stats.wilcoxon(one, other),
        "spearmanr": stats.spearmanr(one, other),
    }  # fmt: skip


def test_results_of_scipy_come_back_with_what_they_say_beside_their_items() -> None:
    for name, result in results().items():
        back = saver.loads(saver.dumps(result))
        assert type(back) is type(result), name
        assert_same(getattr(result, "__dict__", {}), getattr(back, "__dict__", {}))
        if isinstance(result, tuple):
            assert_same(tuple(result), tuple(back))
    steps = pytest.importorskip("scipy.stats").ecdf([1.0, 2, 3])
    assert_same(steps.cdf.evaluate([1.5]), saver.loads(saver.dumps(steps)).cdf.evaluate([1.5]))
    line = results()["linregress"]
    assert saver.loads(saver.dumps(line)).intercept_stderr == line.intercept_stderr


def test_a_result_that_holds_a_module_says_what_to_save() -> None:
    stats = pytest.importorskip("scipy.stats")
    if "_xp" not in vars(stats.ttest_ind([1.0, 2, 3], [2.0, 3, 5])):
        pytest.skip("results of this version of SciPy hold no module")
    with pytest.raises(
        saver.CannotSaveError, match=r"^\$\.t: .*'_xp' of a TtestResult is a module.*tuple\(it\)"
    ):
        saver.dumps({"t": stats.ttest_ind([1.0, 2, 3], [2.0, 3, 5])})


def test_a_function_that_was_not_reviewed_is_named_when_it_is_saved() -> None:
    with pytest.warns(
        UserWarning, match=r'^numpy\.pad: .*loading will need trust=\["numpy\.pad"\]$'
    ) as heard:
        data = saver.dumps({"a": np.pad, "b": [np.pad]})
    assert len(heard) == 1
    assert heard[0].filename == __file__
    with pytest.raises(saver.UntrustedError):
        saver.loads(data)
    assert saver.loads(data, trust=["numpy.pad"])["a"] is np.pad


def test_what_the_configuration_trusts_is_not_warned_about(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('trust = ["numpy.pad"]')
    monkeypatch.setenv("SAVER_CONFIG", str(tmp_path / "config.toml"))
    assert saver.loads(saver.dumps(np.pad)) is np.pad


def test_ones_own_classes_are_not_warned_about() -> None:
    assert inspect.isclass(Own)
    saver.dumps(Own.A)


class Own(Enum):
    A = 1
