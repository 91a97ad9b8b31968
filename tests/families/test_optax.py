"""The state of every optimizer of Optax comes back, and the next update has the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import saver
from saver.testing import CodecTests

jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")

import optimizers  # noqa: E402
from test_jax import bits, compiled_in  # noqa: E402

pytestmark = [pytest.mark.xdist_group("jax"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NAMES = optimizers.names()


def same(one: Any, other: Any) -> bool:
    """Whether two trees have the same structure and leaves of the same bits."""
    leaves, tree = jax.tree.flatten(one)
    others, shape = jax.tree.flatten(other)
    return tree == shape and list(map(_bits, leaves)) == list(map(_bits, others))


def _bits(leaf: Any) -> Any:
    return bits(leaf) if isinstance(leaf, jax.Array) else repr(leaf)


class TestOptax(CodecTests):
    family = "optax"
    samples = {  # noqa: RUF012
        name: lambda name=name: optimizers.make(name).init(optimizers.parameters())
        for name in ("optax.adam", "optax.lbfgs", "optax.partition", "MultiSteps", "inject_hyperparams")
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Any]]:
    """What the third step gives in the process that made the others, and in one that loaded their result."""
    folder = tmp_path_factory.mktemp("optax")
    environment = {**os.environ, **compiled_in(folder / "compiled")}
    for act in ("begin", "go_on"):
        command = [sys.executable, optimizers.__file__, act, str(folder)]
        subprocess.run(command, env=environment, check=True, timeout=300)

    def ends(name: str) -> tuple[Any, Any]:
        number = NAMES.index(name)
        return saver.load(folder / f"{number}.third"), saver.load(folder / f"{number}.after")

    return ends


@pytest.mark.shows("Optax", "save", "load")
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_next_update_is_the_same_in_another_process(name: str, trained: Any) -> None:
    here, there = trained(name)
    assert same(here, there)
    assert type(here[1]) is type(there[1])


def test_every_state_of_optax_is_known():
    """Named tuples of Optax that are data; those of functions are the transformations themselves."""
    from saver.families.optax import codecs

    functions = {"GradientTransformation", "GradientTransformationExtraArgs"}
    found = {
        name
        for module in list(sys.modules.values())
        if module is not None and module.__name__.split(".")[0] == "optax"
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields")
        and value.__module__.startswith("optax.") and name == value.__name__
        and "experimental" not in value.__module__
    }  # fmt: skip
    assert found - codecs.STATES - functions == set()
    assert found >= codecs.STATES


def test_an_optimizer_itself_is_refused_with_the_way_out():
    with pytest.raises(saver.CannotSaveError, match=r"\$\.tx: .*save the state that its `init` returned"):
        saver.dumps({"tx": optax.adam(1e-3)})


def test_a_state_is_found_where_optax_has_it_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module is private, and changes."""
    from saver.families.optax import codecs

    state = optax.adam(1e-3).init(optimizers.parameters())
    data = saver.dumps(state)
    moved = optax.ScaleByAdamState
    monkeypatch.setattr(moved, "__module__", "optax.elsewhere")
    monkeypatch.delattr(optax._src.transform, "ScaleByAdamState")
    codecs.state_class.cache_clear()
    assert type(saver.loads(data)[0]) is moved
    codecs.state_class.cache_clear()
