"""Modules of nnx, states, train states and frozen dicts come back, are filled in place, and train on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.testing import CodecTests
from saver.testing.codecs import StoredObject, load

jax = pytest.importorskip("jax")
flax = pytest.importorskip("flax")
optax = pytest.importorskip("optax")

import jax_training  # noqa: E402
from flax import nnx  # noqa: E402
from flax.core import FrozenDict, freeze  # noqa: E402
from flax.training.train_state import TrainState  # noqa: E402
from test_jax import compiled_in  # noqa: E402
from test_optax import same  # noqa: E402

jnp = jax.numpy

pytestmark = [pytest.mark.xdist_group("jax"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TRUST = ("jax_training.*",)


def rngs() -> Any:
    return nnx.Rngs(0)


def _train_state() -> Any:
    params = freeze({"dense": {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}})
    return TrainState.create(apply_fn=jnp.dot, params=params, tx=optax.adam(0.1))


LAYERS: dict[str, Callable[[], Any]] = {
    "Linear": lambda: nnx.Linear(3, 4, rngs=rngs(), dtype=jnp.bfloat16),
    "LinearGeneral": lambda: nnx.LinearGeneral((2, 3), (4,), axis=(-2, -1), rngs=rngs()),
    "Einsum": lambda: nnx.Einsum("ab,bc->ac", (3, 4), rngs=rngs()),
    "Conv": lambda: nnx.Conv(1, 2, (3,), rngs=rngs()),
    "ConvTranspose": lambda: nnx.ConvTranspose(1, 2, (3,), rngs=rngs()),
    "Embed": lambda: nnx.Embed(3, 4, rngs=rngs(), dtype=jnp.bfloat16),
    "BatchNorm": lambda: nnx.BatchNorm(3, rngs=rngs()),
    "LayerNorm": lambda: nnx.LayerNorm(3, rngs=rngs()),
    "RMSNorm": lambda: nnx.RMSNorm(3, rngs=rngs()),
    "GroupNorm": lambda: nnx.GroupNorm(4, 2, rngs=rngs()),
    "InstanceNorm": lambda: nnx.InstanceNorm(3, rngs=rngs()),
    "SpectralNorm": lambda: nnx.SpectralNorm(nnx.Linear(3, 4, rngs=rngs()), rngs=rngs()),
    "WeightNorm": lambda: nnx.WeightNorm(nnx.Linear(3, 4, rngs=rngs()), rngs=rngs()),
    "Dropout": lambda: nnx.Dropout(0.5, rngs=rngs()),
    "MultiHeadAttention": lambda: nnx.MultiHeadAttention(2, 4, rngs=rngs(), decode=False),
    "LSTMCell": lambda: nnx.LSTMCell(3, 4, rngs=rngs()),
    "OptimizedLSTMCell": lambda: nnx.OptimizedLSTMCell(3, 4, rngs=rngs()),
    "SimpleCell": lambda: nnx.SimpleCell(3, 4, rngs=rngs()),
    "GRUCell": lambda: nnx.GRUCell(3, 4, rngs=rngs()),
    "RNN": lambda: nnx.RNN(nnx.GRUCell(3, 4, rngs=rngs()), rngs=rngs()),
    "PReLU": lambda: nnx.PReLU(),
    "LoRA": lambda: nnx.LoRA(3, 2, 4, rngs=rngs()),
    "LoRALinear": lambda: nnx.LoRALinear(3, 4, lora_rank=2, rngs=rngs()),
    "Sequential": lambda: nnx.Sequential(nnx.Linear(3, 4, rngs=rngs()), nnx.gelu, jnp.tanh),
    "List": lambda: nnx.List([nnx.Linear(3, 4, rngs=rngs()), nnx.Param(jnp.ones(2))]),
    "Dict": lambda: nnx.Dict(a=nnx.Linear(3, 4, rngs=rngs())),
    "Rngs": lambda: nnx.Rngs(0, params=1, dropout=jax.random.key(3, impl="rbg")),
    "Average": lambda: nnx.metrics.Average("loss"),
    "Welford": lambda: nnx.metrics.Welford(),
    "MultiMetric": lambda: nnx.MultiMetric(a=nnx.metrics.Average("a"), b=nnx.metrics.Accuracy()),
    "Net": lambda: jax_training.Net(rngs()),
}

NOT_MADE = {
    "Bidirectional",
    "EMA", "Metric", "ModelAndOptimizer", "Module", "Object", "Optimizer", "Pytree",
    "RNNCellBase", "RngStream",
}  # fmt: skip
"""Bases, what others hold, what has a test of its own; Bidirectional, whose function has the name
of one of its class."""


class TestFlax(CodecTests):
    family = "flax"
    trust = TRUST
    samples = {  # noqa: RUF012
        **{name: LAYERS[name] for name in ("Linear", "BatchNorm", "MultiHeadAttention", "List", "Net")},
        "TrainState": _train_state,
        "FrozenDict": lambda: FrozenDict({"a": {"b": jnp.ones(2)}, "c": (1, 2)}),
        "State": lambda: nnx.state(jax_training.Net(rngs())),
        "Optimizer": lambda: nnx.Optimizer(LAYERS["List"](), optax.adam(0.1), wrt=nnx.Param),
    }


@pytest.mark.shows("Flax", "save", "load")
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_with_its_graph_and_its_variables(name, roundtrip):
    layer = LAYERS[name]()
    found = roundtrip({"layer": layer}, trust=TRUST)["layer"]
    assert nnx.graphdef(found) == nnx.graphdef(layer)
    assert same(nnx.state(found), nnx.state(layer))


def test_every_layer_of_nnx_is_tried():
    kinds = {name for name, cls in vars(nnx).items() if isinstance(cls, type) and issubclass(cls, nnx.Pytree)}
    assert kinds - NOT_MADE <= LAYERS.keys()


def test_variables_that_are_shared_and_cycles_come_back(roundtrip):
    layer = nnx.Linear(3, 3, rngs=rngs())
    made = nnx.Dict(one=layer, other=layer, weight=layer.kernel)
    made.itself = nnx.List([made])
    found = roundtrip({"made": made})["made"]
    assert found.one is found.other
    assert found.weight is found.one.kernel
    assert found.itself[0] is found
    assert nnx.graphdef(found) == nnx.graphdef(made)


def test_the_metadata_of_a_variable_come_back(roundtrip):
    made = nnx.Param(jnp.ones((2, 2)), out_sharding=("a", None), eager_sharding=False, note=("deep", 1))
    found = roundtrip({"made": made})["made"]
    assert found.get_metadata() == made.get_metadata()


def test_a_variable_that_holds_itself_is_refused():
    """JAX would follow it, and after that error Python calls nothing any more."""
    saved = StoredObject(nnx.BatchNorm(2, rngs=rngs()))
    module = next(node for node in saved.nodes() if node["$"] == "flax.module")
    variable = next(node for node in saved.nodes() if node["$"] == "flax.variable")
    for target, value in ((variable, {"$ref": 7}), (module, {"$": "list", "state": [{"$ref": 7}]})):
        changed = saved.copy()
        node = next(each for each in changed.nodes() if each == target)
        node["id"] = 7
        next(each for each in changed.nodes() if each["$"] == "flax.variable")["state"]["value"] = value
        with pytest.raises(saver.IncompatibleError, match="holds the variable itself"):
            load(changed, ())


def test_structures_of_flax_come_back(roundtrip):
    from flax.core.meta import Partitioned
    from flax.training.dynamic_scale import DynamicScale

    made = {"scale": DynamicScale(fin_steps=3, scale=jnp.float32(8)), "box": Partitioned(jnp.ones(2), ("a",))}
    assert same(roundtrip(made), made)


def test_a_state_with_a_name_that_libraries_look_up_is_refused():
    with pytest.raises(saver.CannotSaveError, match="__array__"):
        saver.dumps({"state": nnx.State({"a": {"__array__": jnp.ones(1)}})})


def test_a_state_may_have_the_names_of_its_methods(roundtrip):
    state = nnx.State({"filter": {"values": nnx.Param(jnp.ones(1))}, "update": jnp.ones(1)})
    assert same(roundtrip({"state": state})["state"], state)


def test_a_module_of_linen_is_refused_with_the_way_out():
    with pytest.raises(saver.CannotSaveError, match=r"\$\.net: .*save its variables"):
        saver.dumps({"net": jax_training.Dense()})


def test_a_module_of_the_user_needs_trust(roundtrip):
    with pytest.raises(saver.UntrustedError, match=r"jax_training\.Net"):
        roundtrip({"net": jax_training.Net(rngs())})


def test_an_optimizer_asks_for_its_functions(roundtrip):
    model = nnx.Linear(2, 2, rngs=rngs())
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    found = roundtrip({"model": model, "optimizer": optimizer})
    gradients = nnx.grad(lambda each: (each(jnp.ones((1, 2))) ** 2).sum())(model)
    with pytest.raises(RuntimeError, match=r"optimizer\.tx = optax\.adam"):
        found["optimizer"].update(found["model"], gradients)
    found["optimizer"].tx = optimizer.tx
    found["optimizer"].update(found["model"], gradients)
    optimizer.update(model, gradients)
    assert same(nnx.state(found["model"]), nnx.state(model))
    assert nnx.graphdef(found["optimizer"]) == nnx.graphdef(optimizer)


def test_a_train_state_asks_for_its_functions(roundtrip):
    state = _train_state()
    found = roundtrip({"state": state})["state"]
    gradients = jax.tree.map(jnp.ones_like, state.params)
    with pytest.raises(RuntimeError, match=r"TrainState\.replace\(tx="):
        found.apply_gradients(grads=gradients)
    found = found.replace(tx=state.tx, apply_fn=state.apply_fn)
    assert same(found.apply_gradients(grads=gradients), state.apply_gradients(grads=gradients))


def test_a_train_state_restored_in_a_dict_keeps_its_functions(tmp_path):
    store, state = saver.Saver(tmp_path), _train_state()
    trained = state.apply_gradients(grads=jax.tree.map(jnp.ones_like, state.params))
    store.save("a", {"holder": {"state": trained}})
    holder = {"state": state}
    store.restore("a", into={"holder": holder})
    assert holder["state"] is state
    assert same(state, trained)
    assert state.tx is trained.tx


@pytest.mark.shows("Flax", "restore")
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_restored_in_place_keeps_its_variables(name, exact, tmp_path):
    from saver.opening import open_file
    from saver.restoring import restore

    layer = LAYERS[name]()
    trained = nnx.merge(*nnx.split(layer))
    for _, variable in nnx.iter_graph(trained):
        if isinstance(variable, nnx.Variable) and not jax.dtypes.issubdtype(
            variable.dtype, jax.dtypes.prng_key
        ):
            variable.set_raw_value((variable.get_raw_value() + 1).astype(variable.dtype))
    saver.dump({"layer": trained}, tmp_path / "a.saver")
    before = [item for _, item in nnx.iter_graph(layer) if isinstance(item, nnx.Variable)]
    report = restore(open_file(tmp_path / "a.saver"), {"layer": layer}, exact=exact, trust=TRUST)
    after = [item for _, item in nnx.iter_graph(layer) if isinstance(item, nnx.Variable)]
    assert report
    assert list(map(id, before)) == list(map(id, after))
    assert same(nnx.state(layer), nnx.state(trained))
    assert nnx.graphdef(layer) == nnx.graphdef(trained)


def test_a_state_is_restored_into_a_module(tmp_path):
    store, trained, net = saver.Saver(tmp_path), jax_training.Net(nnx.Rngs(1)), jax_training.Net(rngs())
    store.save("net", {"model": nnx.state(trained)})
    store.restore("net", into={"model": net})
    assert same(nnx.state(net), nnx.state(trained))


def test_what_does_not_fit_is_listed_and_nothing_changes(tmp_path):
    store, here = saver.Saver(tmp_path), nnx.Dict(a=nnx.Linear(3, 4, rngs=rngs()), c=nnx.Param(jnp.ones(1)))
    before = jax.tree.map(jnp.copy, nnx.state(here))
    store.save("net", {"model": nnx.Dict(a=nnx.Linear(3, 5, rngs=rngs()), b=nnx.Param(jnp.ones(1)))})
    with pytest.raises(saver.DoesNotFitError, match=r"a\.kernel \(saved \[3, 5\], here \[3, 4\]\)") as error:
        store.restore("net", into={"model": here})
    part = error.value.report.parts["model"]
    assert [each.name for each in part.mismatched] == ["a.kernel", "a.bias"]
    assert (part.missing, part.unexpected) == (("c",), ("b",))
    assert same(nnx.state(here), before)


@pytest.mark.parametrize("given", [lambda net: net, nnx.state], ids=["module", "state"])
def test_names_say_where_variables_go(given, tmp_path):
    store, trained = saver.Saver(tmp_path), nnx.Dict(body=nnx.Linear(3, 4, rngs=nnx.Rngs(1)))
    here = nnx.Dict(net=nnx.Dict(body=nnx.Linear(3, 4, rngs=rngs())), head=nnx.Linear(4, 2, rngs=rngs()))
    head = jax.tree.map(jnp.copy, nnx.state(here["head"]))
    store.save("net", {"model": given(trained)})
    with pytest.raises(saver.DoesNotFitError, match="head"):
        store.restore("net", into={"model": here}, names={"": "net."})
    kernel = here["net"]["body"].kernel
    report = store.restore("net", into={"model": here}, names={"": "net."}, strict=False).parts["model"]
    assert set(report.matched) == {"net.body.kernel", "net.body.bias"}
    assert set(report.missing) == {"head.kernel", "head.bias"}
    assert same(nnx.state(here["net"]), nnx.state(trained))
    assert same(nnx.state(here["head"]), head)
    assert here["net"]["body"].kernel is kernel, "variables stay the same objects"


def test_names_leave_out_and_never_give_two_the_same_name(tmp_path):
    store, here = saver.Saver(tmp_path), nnx.Dict(c=nnx.Param(jnp.zeros(2)))
    store.save("net", {"model": nnx.Dict(a=nnx.Param(jnp.ones(2)), b=nnx.Param(jnp.ones(2)))})
    with pytest.raises(saver.DoesNotFitError, match="to both"):
        store.restore("net", into={"model": here}, names={"a": "c", "b": "c"})
    with pytest.raises(saver.DoesNotFitError, match="`names` has 'd'"):
        store.restore("net", into={"model": here}, names={"a": "c", "b": None, "d": "e"})
    assert here.c[...].sum() == 0
    report = store.restore("net", into={"model": here}, names={"a": "c", "b": None})
    assert report.parts["model"].left_out == ("b",)
    assert here.c[...].sum() == 2


def test_a_transfer_converts_and_a_run_does_not(tmp_path):
    from saver.opening import open_file
    from saver.restoring import restore

    saver.dump({"p": nnx.Dict(p=nnx.Param(jnp.ones(2, "float32")))}, tmp_path / "a.saver")
    here = nnx.Dict(p=nnx.Param(jnp.zeros(2, "bfloat16")))
    with pytest.raises(saver.DoesNotFitError, match="saved as float32, here bfloat16"):
        restore(open_file(tmp_path / "a.saver"), {"p": here}, exact=True)
    report = restore(open_file(tmp_path / "a.saver"), {"p": here})
    assert report.parts["p"].converted[0].target == "bfloat16"
    assert here.p[...].dtype == "bfloat16"
    assert here.p[...].sum() == 2


def _forged(made: Any, change: Callable[[Any], None]) -> StoredObject:
    saved = StoredObject(made)
    change(saved.trees[0])
    return saved


FORGED: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "a variable whose value is elsewhere": (
        lambda: nnx.Param(jnp.ones(1)),
        lambda tree: tree["state"]["metadata"]["state"].update(hijax=True),
    ),
    "an optimizer with functions": (
        lambda: nnx.Optimizer(LAYERS["Dict"](), optax.sgd(0.1), wrt=nnx.Param),
        lambda tree: tree["state"]["attributes"].update(tx=3),
    ),
    "a train state with functions": (_train_state, lambda tree: tree["state"].update(apply_fn=3)),
    "a method": (LAYERS["Linear"], lambda tree: tree["state"]["attributes"].update(__call__=3)),
    "a method of the base": (LAYERS["Linear"], lambda tree: tree["state"]["attributes"].update(sow=3)),
    "a state with a name that NumPy looks up": (
        lambda: nnx.state(LAYERS["Linear"]()),
        lambda tree: tree["state"]["state"].update(__array__={"$": "jax.named", "state": "jax.nn.relu"}),
    ),
    "such a name deeper in a state": (
        lambda: nnx.state(LAYERS["Net"]()),
        lambda tree: tree["state"]["state"]["norm"]["state"].update(__jax_array__=3),
    ),
    "its own state": (LAYERS["Linear"], lambda tree: tree["state"]["attributes"].update(_pytree__state=3)),
    "the class of a module for a variable": (
        lambda: nnx.Param(jnp.ones(1)), lambda tree: tree.update({"class": "flax.nnx.nn.linear:Linear"}),
    ),
}  # fmt: skip


@pytest.mark.shows("Flax", "hostile files tried")
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_tree_is_refused(name, record_property):
    record_property("hostile files", 1)
    make, change = FORGED[name]
    with pytest.raises(saver.SaverError):
        load(_forged(make(), change), ())


def _life(folder: Path, last: int, kill: str = "") -> int:
    program = "import sys, jax_training; from pathlib import Path\n"
    program += f"jax_training.main(Path({str(folder)!r}), {last}, bool({kill!r}))"
    paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {
        **os.environ,
        **compiled_in(folder.parent / "compiled"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    return subprocess.run([sys.executable, "-c", program], env=environment, timeout=300).returncode


@pytest.mark.shows("Flax", "resume to the bit")
@pytest.mark.shows("Optax", "resume to the bit")
@pytest.mark.shows("JAX", "resume to the bit")
@pytest.mark.slow
def test_training_that_is_killed_goes_on_to_the_bit(tmp_path):
    """With functions and donated arrays, with linen, with nnx; what it ends with predicts the same here."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert _life(whole, 12) == 0
    assert _life(killed, 8, "kill") == -9
    store = saver.Saver(killed / "store")
    assert {store.versions(name)[-1].step for name in jax_training.LOOPS} <= {2, 5}
    assert _life(killed, 12) == 0
    assert not saver.diff(whole / "end", killed / "end")
    found = saver.load(killed / "end", trust=TRUST)
    for name, predicted in found["predictions"].items():
        assert np.asarray(jax_training.predict(name, found["holders"][name])).tobytes() == predicted.tobytes()
