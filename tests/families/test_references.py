"""Functions and classes that files may hold as values: all of them, one by one."""

from __future__ import annotations

import inspect
import sys
import types
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import trust, uses

LISTED = Path(__file__).with_name("references.txt")
KINDS = {
    "activation", "array", "check", "class", "combining", "distance", "elementwise", "factory", "internal",
    "kernel", "loss", "metric", "number", "pairwise", "schedule", "scores", "splitter", "text", "type",
}  # fmt: skip


def test_every_reference_was_reviewed() -> None:
    """Whoever adds one writes it here, too, once it takes no callable, no name of an attribute, no path, no
    text that it evaluates, and makes no more than it is given."""
    known = [line.split(None, 1) for line in LISTED.read_text().splitlines()]
    found = [[name, " ".join(sorted(review.kinds))] for name, review in sorted(trust.references().items())]
    assert found == known


def test_every_review_gives_a_reason_and_known_kinds() -> None:
    for name, review in trust.references().items():
        assert review.kinds, name
        assert review.kinds <= KINDS, name
        assert len(review.reason) > 20, name


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.feature_selection._base:_get_feature_importances", "builtins:type", "builtins:getattr",
        "builtins:map", "builtins:sorted", "builtins:max", "builtins:range", "builtins:pow", "builtins:bytes",
        "collections:defaultdict", "_operator:attrgetter", "_operator:methodcaller", "functools:reduce",
        "scipy.special._precompute.cosine_cdf:main", "scipy.stats._resampling:bootstrap",
        "scipy.stats._morestats:boxcox", "torch.overrides:handle_torch_function",
        "torch.nn.functional:handle_torch_function", "torch.nn.functional:boolean_dispatch",
        "torch.nn.functional:triplet_margin_with_distance_loss",
        "sklearn.metrics.pairwise:pairwise_distances",
        "sklearn.metrics.cluster._unsupervised:silhouette_score", "sklearn.metrics._scorer:make_scorer",
        "sklearn.metrics._scorer:get_scorer", "numpy:vectorize", "numpy:apply_along_axis", "numpy:load",
        "numpy:zeros_like", "numpy:tile", "math:factorial",
    ],
)  # fmt: skip
def test_what_takes_more_than_numbers_is_not_one_of_them(name: str) -> None:
    assert trust.reference(name) is None


def things() -> list[tuple[str, Any]]:
    """Every reference that the installed libraries have."""
    found = []
    for name in sorted(trust.references()):
        if name.partition(":")[0].partition(".")[0] in sys.modules or _imports(name):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # NumPy 1 warns of names that NumPy 2 has
                    found.append((name, trust.resolve(name)))
            except (saver.NotFoundError, saver.IncompatibleError):
                continue  # of another version of the library, or another name of the same thing
    return found


def _imports(name: str) -> bool:
    try:
        __import__(name.partition(":")[0].partition(".")[0])
    except ImportError:
        return False
    return True


class Canary:
    """Notices when it is called, or when an attribute that a file could set is read."""

    def __init__(self) -> None:
        self.sung: list[str] = []

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.sung.append("called")
        return 0


CALLABLE_WORDS = {
    "func", "function", "callable", "callback", "getter", "key", "fn", "optimizer", "distance_function",
    "similarity", "statistic", "path", "file", "filename", "fname", "attr", "attribute", "import_name",
    "code",
    "expr",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "thing"), things(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_none_calls_what_it_is_given(name: str, thing: Any) -> None:
    """In whatever place it is given something that can be called."""
    try:
        parameters = [] if isinstance(thing, type) else list(inspect.signature(thing).parameters)
    except ValueError:
        parameters = []
    random = {"key"} if name.startswith(("jax.", "flax.")) else set()  # where that is a random key
    assert not CALLABLE_WORDS & set(parameters) - random
    canary, array = Canary(), np.linspace(0.1, 0.9, 6).reshape(2, 3)
    boxed = np.empty(2, object)
    boxed[:] = [canary, canary]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((canary,), {}), ((canary, canary), {}), ((array, canary), {}), ((canary, array), {}),
        ((array, array, canary), {}), ((boxed,), {}), ((boxed, boxed), {}), (([canary],), {}),
    ]  # fmt: skip
    calls += [((array,), {key: canary}) for key in parameters]
    calls += [((array, array), {key: canary}) for key in parameters]
    for arguments, options in calls:
        try:
            thing(*arguments, **options)
        except Exception:
            continue
    assert canary.sung == []


def test_kinds_of_what_the_user_trusts_are_not_known() -> None:
    assert uses.kinds_of(things) is None
    assert uses.may_be(things, ["metric"])
    assert uses.may_be(partial(things, 3), ["metric"])
    assert not uses.may_be(np.log1p, ["metric"])
    assert not uses.may_be(int, ["elementwise"])
    assert uses.may_be(np.log1p, ["elementwise"])
    assert uses.may_be(partial(np.add, 1), ["elementwise"])
    assert not uses.may_be(partial(np.add, 1, 2), ["elementwise"])
    assert not uses.may_be(partial(np.log1p, 1), ["elementwise"])


@pytest.mark.parametrize("value", [len, np.log1p, np.mean, things, int, partial(len), types.FunctionType])
def test_functions_classes_and_partials_are_distinguished_from_objects(value: Any) -> None:
    assert uses.is_callable_value(value)
    assert not uses.is_callable_value(Canary())
