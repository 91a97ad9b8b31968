"""Modules of Equinox come back with their functions and static fields; the user's own under trust."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import saver
from saver.testing import CodecTests
from saver.testing.codecs import StoredObject, load

jax = pytest.importorskip("jax")
equinox = pytest.importorskip("equinox")
optax = pytest.importorskip("optax")

nn, jnp = equinox.nn, jax.numpy

pytestmark = pytest.mark.xdist_group("jax")

TRUST = ("test_equinox.*",)


def key() -> Any:
    return jax.random.key(0)


class Net(equinox.Module):
    """Layers, a static activation, and a default that has no name."""

    layers: list[Any]
    scale: Any
    activation: Callable[[Any], Any] = equinox.field(static=True)
    last: Callable[[Any], Any]
    size: tuple[int, ...] = equinox.field(static=True)

    def __init__(self, key: Any, last: Callable[[Any], Any] = lambda value: value) -> None:
        one, two = jax.random.split(key)
        self.layers = [nn.Linear(3, 4, key=one), nn.Linear(4, 2, key=two)]
        self.scale, self.activation, self.last, self.size = jnp.ones(()), jax.nn.gelu, last, (3, 2)

    def __call__(self, value: Any) -> Any:
        return self.last(self.layers[1](self.activation(self.layers[0](value)))) * self.scale


def stateful(make: Any, *arguments: Any, **options: Any) -> Any:
    return nn.make_with_state(make)(*arguments, **options)


MODULES: dict[str, Callable[[], Any]] = {
    "MLP": lambda: nn.MLP(3, 2, 4, 2, key=key()),
    "MLP with activations": lambda: nn.MLP(3, 2, 4, 2, jax.nn.elu, jnp.tanh, key=key()),
    "Linear": lambda: nn.Linear(3, 4, key=key(), dtype=jnp.bfloat16),
    **{
        f"{name}{n}d": lambda name=name, n=n: getattr(nn, f"{name}{n}d")(1, 2, 3, key=key())
        for name in ("Conv", "ConvTranspose")
        for n in (1, 2, 3)
    },
    **{
        f"{name}{n}d": lambda name=name, n=n: getattr(nn, f"{name}{n}d")(2)
        for name in ("AvgPool", "MaxPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
        for n in (1, 2, 3)
    },
    "GRUCell": lambda: nn.GRUCell(2, 3, key=key()),
    "LSTMCell": lambda: nn.LSTMCell(2, 3, key=key()),
    "Dropout": lambda: nn.Dropout(0.5),
    "LayerNorm": lambda: nn.LayerNorm(3),
    "RMSNorm": lambda: nn.RMSNorm(3),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "BatchNorm": lambda: stateful(nn.BatchNorm, 3, "batch", mode="batch"),
    "SpectralNorm": lambda: stateful(
        nn.SpectralNorm, nn.Linear(3, 3, key=key()), weight_name="weight", key=key()
    ),
    "Embedding": lambda: nn.Embedding(3, 4, key=key()),
    "RotaryPositionalEmbedding": lambda: nn.RotaryPositionalEmbedding(4),
    "MultiheadAttention": lambda: nn.MultiheadAttention(2, 4, key=key()),
    "Sequential": lambda: nn.Sequential([nn.Linear(3, 3, key=key()), nn.Lambda(jax.nn.relu)]),
    "PReLU": lambda: nn.PReLU(),
    "Identity": lambda: nn.Identity(),
    "Shared": lambda: nn.Shared(
        (nn.Embedding(3, 4, key=key()), nn.Linear(4, 3, key=key())),
        lambda both: both[1].weight,
        lambda both: both[0].weight,
    ),
    "Net": lambda: Net(key()),
}

NOT_MADE = {
    "AdaptivePool", "Conv", "ConvTranspose", "Lambda", "Pool", "State", "StateIndex", "StatefulLayer",
    "WeightNorm",
}  # fmt: skip
"""Bases, what others hold; WeightNorm, which holds a partial of a compiled function."""

REFUSED = {"Shared"}
"""Those that hold functions of the user without a name."""


class TestEquinox(CodecTests):
    family = "equinox"
    trust = TRUST
    samples = {name: MODULES[name] for name in ("MLP", "BatchNorm", "AvgPool1d", "Net")}  # noqa: RUF012


@pytest.mark.shows("Equinox", "save", "load")
@pytest.mark.parametrize("name", sorted(MODULES.keys() - REFUSED))
def test_a_module_comes_back(name, roundtrip):
    made = MODULES[name]()
    found = roundtrip({"made": made}, trust=TRUST if name == "Net" else ())["made"]
    assert jax.tree.structure(found) == jax.tree.structure(made)
    assert equinox.tree_equal(found, made, typematch=True)


def test_every_layer_is_tried():
    kinds = {name for name, cls in vars(nn).items() if isinstance(cls, type)}
    assert kinds - NOT_MADE <= MODULES.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_functions_of_the_user_without_a_name_are_refused(name):
    with pytest.raises(saver.CannotSaveError, match=r"\$\.made\..*a lambda has no data form"):
        saver.dumps({"made": MODULES[name]()})


def test_another_lambda_than_the_default_is_refused():
    with pytest.raises(saver.CannotSaveError, match=r"\$\.made\.last: a lambda"):
        saver.dumps({"made": Net(key(), lambda value: -value)})


@pytest.mark.parametrize("within", [lambda made: made, lambda made: [{"a": (made,)}]])
def test_a_module_that_holds_itself_is_refused(within, tmp_path):
    """JAX would follow it, and after that error Python calls nothing any more."""
    made = nn.Lambda(jax.nn.relu)
    object.__setattr__(made, "fn", within(made))
    with pytest.raises(saver.CannotSaveError, match=r"holds itself|a cycle leads through"):
        saver.dumps(made)
    saved = StoredObject(nn.Lambda(jax.nn.relu))
    module = next(node for node in saved.nodes() if node["$"] == "equinox.module")
    module["id"] = 7
    module["state"]["fields"]["fn"] = {"$": "list", "state": [{"$ref": 7}]}
    with pytest.raises(saver.IncompatibleError, match="holds itself"):
        load(saved, ())


def test_the_module_of_a_user_needs_trust_and_predicts_the_same(roundtrip):
    made = Net(key())
    with pytest.raises(saver.UntrustedError, match=r"test_equinox\.Net"):
        roundtrip({"made": made})
    found = roundtrip({"made": made}, trust=TRUST)["made"]
    assert (found(jnp.ones(3)) == made(jnp.ones(3))).all()


def test_the_state_of_a_layer_goes_on(roundtrip):
    layer, state = MODULES["BatchNorm"]()
    run = jax.vmap(layer, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    _, state = run(jnp.arange(6.0).reshape(2, 3), state)
    found = roundtrip({"both": (layer, state)})["both"]
    again = jax.vmap(found[0], axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    one, other = again(jnp.ones((2, 3)), found[1]), run(jnp.ones((2, 3)), state)
    assert equinox.tree_equal(one, other)


def _train(folder: Any, last: int) -> Any:
    """A run whose module and state of the optimizer are in a dict."""
    optimizer, model = optax.adam(0.1), Net(key())
    holder = {"model": model, "opt": optimizer.init(equinox.filter(model, equinox.is_array))}
    with saver.Saver(folder).checkpoints("run", {"state": holder}, every=saver.Every(steps=2)) as run:
        for step in range(run.resume(), last):
            gradients = equinox.filter_grad(lambda net, step=step: net(jnp.full(3, step)).sum() ** 2)(
                holder["model"]
            )
            updates, holder["opt"] = optimizer.update(gradients, holder["opt"])
            holder["model"] = equinox.apply_updates(holder["model"], updates)
            run.step(step)
    return holder


@pytest.mark.shows("Equinox", "resume to the bit")
@pytest.mark.slow
def test_a_run_goes_on_to_the_bit(tmp_path):
    whole = _train(tmp_path / "whole", 5)
    _train(tmp_path / "parts", 3)
    assert equinox.tree_equal(_train(tmp_path / "parts", 5), whole)
