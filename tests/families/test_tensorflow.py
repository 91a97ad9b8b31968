"""Tensors, variables, generators, modules and checkpoints of TensorFlow come back, are filled in place, and
train on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
tf = pytest.importorskip("tensorflow")

import tensorflow_training  # noqa: E402
from tensorflow_training import Dense, Net, batch  # noqa: E402

import saver  # noqa: E402
from saver.errors import CannotSaveError, DoesNotFitError, IncompatibleError, SaverError  # noqa: E402
from saver.families.tensorflow.tensors import CODES  # noqa: E402
from saver.file import open_file  # noqa: E402
from saver.rehearsal.memento import Memento  # noqa: E402
from saver.restoring import restore  # noqa: E402
from saver.storages.memory import MemoryStorage  # noqa: E402
from saver.tensors import ITEM_SIZE, TensorData, pieces  # noqa: E402
from saver.testing import CodecTests  # noqa: E402
from saver.testing.codecs import StoredObject, bytes_of, change, load  # noqa: E402

pytestmark = [
    pytest.mark.xdist_group("tensorflow"), pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # fmt: skip

TRUST = ("tensorflow_training.*",)
SHAPES = [(), (0,), (3,), (2, 3), (2, 0, 3)]


def made(name: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """A tensor with any bits that its dtype may have."""
    size = int(np.prod(shape))
    raw = np.random.default_rng(seed).bytes(size * 16)
    if name == "string":
        return tf.constant(
            np.array([raw[n : n + n % 5] for n in range(size)], object).reshape(shape), name, shape
        )
    dtype = tf.as_dtype(name)
    if dtype.is_quantized:
        whole = name.lstrip("q")
        return tf.bitcast(tf.constant(np.frombuffer(raw, whole)[:size].reshape(shape)), dtype)
    numpy = np.dtype(dtype.as_numpy_dtype)
    if name == "bool" or "int2" in name or "int4" in name or "float4" in name:
        return tf.constant((np.frombuffer(raw, np.uint8)[:size] % 2).astype(numpy).reshape(shape), dtype)
    return tf.constant(np.frombuffer(raw, numpy)[:size].reshape(shape), dtype)


def bits(tensor: Any) -> tuple[str, tuple[int, ...], Any]:
    array = np.asarray(tensor.numpy())
    return (
        tensor.dtype.name,
        tuple(tensor.shape),
        array.tolist() if array.dtype == object else array.tobytes(),
    )


def small() -> Any:
    net = Net()
    net(batch(0)[0])
    return net


SAMPLES: dict[str, Callable[[], Any]] = {
    "tensors": lambda: {name: made(name, (2, 3)) for name in [*CODES, "string"]},
    "ragged": lambda: tf.ragged.constant([[[1], [2, 3]], [], [[]]]),
    "uniform": lambda: tf.RaggedTensor.from_uniform_row_length(tf.ragged.constant([[1], [2, 3]]), 2),
    "sparse": lambda: tf.sparse.from_dense([[1.0, 0.0], [0.0, 2.0]]),
    "slices": lambda: tf.IndexedSlices(tf.ones((2, 3)), tf.constant([4, 1]), tf.constant([9, 3])),
    "named": lambda: [tf.float32, tf.bfloat16, tf.string, tf.TensorShape([None, 2]), tf.TensorShape(None),
                      tf.TensorSpec([None], tf.int32, "x"), tf.nn.relu, tf.nn.gelu, tf.math.tanh],
    "variable": lambda: tf.Variable([1.0, 2.0], name="a/b", trainable=False,
                                    aggregation=tf.VariableAggregation.MEAN),
    "open": lambda: tf.Variable([1.0, 2.0], shape=tf.TensorShape([None])),
    "generators": lambda: [tf.random.Generator.from_seed(seed, kind)
                           for seed, kind in ((2**63 + 5, "philox"), (3, "threefry"))],
    "net": small,
    "unbuilt": Net,
    "checkpoint": lambda: tf.train.Checkpoint(
        Dense(3), step=tf.Variable(3), more=[tf.Variable(1.0), {"a": tf.Variable(2)}], order=tf.Module("m")),
}  # fmt: skip


class TestTensorFlow(CodecTests):
    family = "tensorflow"
    trust = TRUST
    samples = SAMPLES


@pytest.mark.shows("TensorFlow", "save", "load")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*CODES, "string"])
def test_tensors_of_every_dtype_and_shape_come_back_to_the_bit(name, shape, roundtrip):
    for seed in range(3):
        tensor = made(name, shape, seed)
        assert bits(roundtrip(tensor)) == bits(tensor)


def test_every_dtype_is_tried():
    known = {each.name for each in vars(tf.dtypes).values() if isinstance(each, tf.DType)}
    assert known - {"resource", "variant"} <= {*CODES, "string"}


@pytest.mark.parametrize("name", [*CODES, "string"])
def test_variables_of_every_dtype_come_back_and_are_filled_in_place(name, tmp_path):
    try:
        variable, other = (tf.Variable(made(name, (2, 3), seed)) for seed in (1, 2))
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError):
        assert name in ("float8_e4m3fnuz", "float8_e4m3b11fnuz", "float8_e5m2fnuz") or name.startswith("q")
        return  # TensorFlow has no variables of it
    saver.dump(variable, tmp_path / "a.saver")
    assert bits(saver.load(tmp_path / "a.saver").read_value()) == bits(variable.read_value())
    assert saver.restore(tmp_path / "a.saver", into=other)
    assert bits(other.read_value()) == bits(variable.read_value())


def test_a_tensor_that_is_saved_keeps_its_elements_while_its_variable_changes():
    store, variable = saver.Saver(MemoryStorage()), tf.Variable(tf.zeros(100_000))
    handle = store.save("a", {"v": variable})
    variable.assign_add(tf.ones(100_000))
    variable.scatter_update(tf.IndexedSlices([5.0], [0]))
    assert float(tf.reduce_sum(store.load(handle)["v"])) == 0


@pytest.mark.shows("TensorFlow", "save", "load")
def test_a_module_computes_the_same_and_shares_what_it_shared(roundtrip):
    net = small()
    found = roundtrip(net, trust=TRUST)
    images, _ = batch(3)
    for _ in range(2):  # with dropout
        assert (
            np.asarray(found(images, train=True)).tobytes() == np.asarray(net(images, train=True)).tobytes()
        )
    assert found.first is found.layers[0]
    assert [each.name for each in found.variables] == [each.name for each in net.variables]
    assert [each.name for each in found.trainable_variables] == [
        each.name for each in net.trainable_variables
    ]
    assert len(found.submodules) == len(net.submodules)
    with found.name_scope as scope, net.name_scope as own:
        assert scope == own
    assert isinstance(found.pair, tensorflow_training.Pair)
    assert found.pair.second.dtype == tf.int32


def test_modules_in_a_cycle_come_back(roundtrip):
    one = tf.Module("one")
    one.other = tf.Module("other")
    one.other.back, one.all, one.named = one, [one, one.other], OrderedDict(b=one, a=tf.Variable(1))
    found = roundtrip(one)
    assert found.other.back is found
    assert found.all[0] is found
    assert found.named["b"] is found
    assert list(found.named) == ["b", "a"]
    assert bytes_of(found) == bytes_of(one)


@pytest.mark.parametrize("make", [small, SAMPLES["checkpoint"]])
def test_what_was_loaded_is_saved_by_tensorflow_too(make, roundtrip, tmp_path):
    made = make()
    found = roundtrip(made, trust=TRUST)
    for name, each in (("saved", made), ("loaded", found)):
        whole = each if isinstance(each, tf.train.Checkpoint) else tf.train.Checkpoint(each)
        whole.write(str(tmp_path / name))
    one, two = (dict(tf.train.list_variables(str(tmp_path / name))) for name in ("saved", "loaded"))
    assert one == two
    assert len(one) > 2


def test_a_checkpoint_goes_on_counting(roundtrip, tmp_path):
    checkpoint = tf.train.Checkpoint(step=tf.Variable(3))
    checkpoint.save(str(tmp_path / "a"))
    found = roundtrip({"c": checkpoint})["c"]
    assert found.save(str(tmp_path / "b")).endswith("b-2")
    assert int(found.step) == 3


@pytest.mark.shows("TensorFlow", "restore")
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("sample", ["variable", "open", "generators", "net", "checkpoint"])
def test_what_exists_is_filled_in_place(sample, exact, tmp_path):
    saved, here = SAMPLES[sample](), SAMPLES[sample]()
    for variable in variables_of(saved):
        variable.assign(variable + tf.cast(1, variable.dtype))
    before = list(map(id, variables_of(here)))
    saver.dump({"it": saved}, tmp_path / "a.saver")
    assert restore(open_file(tmp_path / "a.saver"), {"it": here}, exact=exact, trust=TRUST)
    assert list(map(id, variables_of(here))) == before
    assert bytes_of(here) == bytes_of(saved)


def variables_of(obj: Any) -> list[Any]:
    if isinstance(obj, list):
        return [each.state for each in obj]
    if isinstance(obj, tf.train.Checkpoint):
        return [obj.step, obj.more[0], obj.more[1]["a"]]
    return [obj] if isinstance(obj, tf.Variable) else list(obj.variables)


def test_a_run_gives_a_module_the_variables_that_it_has_not_made_yet(tmp_path):
    saver.dump({"it": small()}, tmp_path / "a.saver")
    here = Net()
    restore(open_file(tmp_path / "a.saver"), {"it": here}, exact=True, trust=TRUST)
    assert here.layers[0].built
    assert bytes_of(here) == bytes_of(small())
    with pytest.raises(DoesNotFitError, match=r"not in the target: .*layers\.0\.(weights|bias)"):
        saver.restore(tmp_path / "a.saver", into={"it": Net()})


def test_what_does_not_fit_is_listed_and_nothing_changes(tmp_path):
    saved, here = tf.Module("m"), tf.Module("m")
    saved.a, saved.b, saved.d = tf.Variable([1.0, 2.0]), tf.Variable(1.0), tf.Variable(1)
    here.a, here.c, here.d = tf.Variable([0.0]), tf.Variable(0.0), tf.Variable(0.0)
    saver.dump({"it": saved}, tmp_path / "a.saver")
    with pytest.raises(DoesNotFitError) as error:
        saver.restore(tmp_path / "a.saver", into={"it": here})
    part = error.value.report.parts["it"]
    assert [each.name for each in part.mismatched] == ["a", "d"]
    assert (part.missing, part.unexpected) == (("c",), ("b",))
    assert float(here.c) == float(here.a[0]) == 0
    report = saver.restore(tmp_path / "a.saver", into={"it": here}, strict=False)
    assert not report
    assert float(here.a[0]) == 0


def test_a_transfer_converts_and_a_run_does_not(tmp_path):
    saved, here = tf.Module("m"), tf.Module("m")
    saved.a, here.a = tf.Variable([1.5]), tf.Variable(tf.zeros(1, tf.bfloat16))
    saver.dump({"it": saved}, tmp_path / "a.saver")
    with pytest.raises(DoesNotFitError, match="saved as float32, here bfloat16"):
        restore(open_file(tmp_path / "a.saver"), {"it": here}, exact=True)
    assert saver.restore(tmp_path / "a.saver", into={"it": here}).parts["it"].converted
    assert float(here.a[0]) == 1.5


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: tf.function(lambda x: x), "decorate the method in its class"),
    "concrete": (lambda: tf.function(lambda x: x).get_concrete_function(1.0), "compiled program"),
    "dataset": (lambda: tf.data.Dataset.range(3), "make it again"),
    "iterator": (lambda: iter(tf.data.Dataset.range(3)), "skip"),
    "table": (
        lambda: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2]), 0), r"export\(\)",
    ),
    "mutable table": (lambda: tf.lookup.experimental.MutableHashTable(tf.int64, tf.int64, 0), r"export\(\)"),
    "tape": (tf.GradientTape, "after the step"),
    "array": (lambda: tf.TensorArray(tf.float32, 1), r"stack\(\)"),
    "strategy": (tf.distribute.get_strategy, "make it again"),
    "handle": (lambda: tf.Variable(1.0).handle, "no elements"),
    "constraint": (lambda: tf.Variable(1.0, constraint=tf.nn.relu), "constraint"),
    "attribute": (lambda: _with(tf.Variable(1.0), note=3), "note"),
    "manager": (lambda: tf.train.CheckpointManager(tf.train.Checkpoint(), "x", 1), r"manager\.checkpoint"),
    "lambda": (lambda: _with(tf.Module(), f=lambda: 3), "a lambda"),
    "tracked": (lambda: _tracking(), "hold them in attributes"),
    "checkpoint": (lambda: tf.train.Checkpoint(write=tf.Variable(1)), "write"),
}  # fmt: skip


def _with(obj: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(obj, name, value)
    return obj


def _tracking() -> Any:
    made = tf.Module()
    made._track_trackable(tf.Variable(1.0), "hidden")
    return made


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_data_form_is_refused_with_the_way_out(name):
    make, why = REFUSED[name]
    with pytest.raises(CannotSaveError, match=why):
        saver.dumps({"it": make()})


def test_a_run_says_what_to_do_instead():
    store = saver.Saver(MemoryStorage())
    with pytest.raises(CannotSaveError, match=r"it: .*make the pipeline again with \.skip"):
        store.checkpoints("run", {"it": iter(tf.data.Dataset.range(3))}, every=saver.Every(steps=1))


def test_a_proof_puts_everything_back():
    holder = tensorflow_training.module_start() | tensorflow_training.keras_start()
    before, memento = bytes_of(holder), Memento([holder])
    net, images = holder["model"], batch(1)[0]
    net(images, train=True)
    net.layers[0].weights.assign_add(tf.ones_like(net.layers[0].weights))
    net.statistics["more"], net.calls = 3, 5
    net.layers.append(Dense(3))
    assert bytes_of(holder) != before
    memento.put_back()
    assert bytes_of(holder) == before


def test_a_tensor_of_a_graph_is_refused():
    found = []

    @tf.autograph.experimental.do_not_convert
    def save(inputs: Any) -> Any:
        with pytest.raises(CannotSaveError, match=r"outside of tf\.function"):
            saver.dumps(inputs)
        found.append(1)
        return inputs

    tf.function(save)(tf.constant(1.0))
    assert found


def test_a_module_of_the_user_needs_trust(roundtrip):
    with pytest.raises(saver.UntrustedError, match=r"tensorflow_training\.Net"):
        roundtrip({"net": Net()})


def _life(folder: Path, last: int, kill: str = "") -> int:
    program = "import sys, tensorflow_training; from pathlib import Path\n"
    program += f"tensorflow_training.main(Path({str(folder)!r}), {last}, bool({kill!r}))"
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=os.environ | settings,
        cwd=Path(__file__).parent,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr[-3000:]
    return done.returncode


@pytest.mark.shows("TensorFlow", "resume to the bit")
@pytest.mark.timeout(600)
def test_training_that_is_killed_goes_on_to_the_bit(tmp_path):
    """Of variables in a dict, of modules with compiled steps, of a checkpoint whose model makes its variables
    later; what it ends with predicts the same here."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert _life(whole, 12) == 0
    assert _life(killed, 8, "kill") == -signal.SIGKILL
    store = saver.Saver(killed / "store")
    assert {store.versions(name)[-1].step for name in tensorflow_training.LOOPS} <= {2, 5}
    assert _life(killed, 12) == 0
    assert not saver.diff(whole / "end", killed / "end")
    found = saver.load(killed / "end", trust=TRUST)
    for name, predicted in found["predictions"].items():
        here = tensorflow_training.predict(name, found["holders"][name])
        assert np.asarray(here).tobytes() == predicted.tobytes()


def test_the_global_generators_go_on():
    def trained(store: saver.Saver, stop: int) -> Any:
        tf.random.set_seed(1)
        tf.random.set_global_generator(tf.random.Generator.from_seed(2))
        held, drawn = {"v": tf.Variable(0.0)}, None
        with store.checkpoints("run", held, every=saver.Every(steps=2)) as run:
            for step in range(run.resume(), stop):
                drawn = tf.random.normal((3,)), tf.random.get_global_generator().normal((3,))
                held["v"].assign_add(drawn[0][0] + drawn[1][0])
                run.step(step)
        return bits(held["v"].read_value()), *map(bits, drawn or ())

    whole, killed = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage())
    trained(killed, 4)
    assert trained(killed, 7) == trained(whole, 7)


ATTACKS = 150


def _changed(saved: StoredObject, draw: random.Random) -> None:
    """Another dtype, shape, length or content of a tensor."""
    name = draw.choice(sorted(saved.tensors))
    old = saved.tensors[name]
    raw = np.concatenate([np.empty(0, np.uint8), *pieces(old)])
    what = draw.randrange(4)
    if what == 0 and raw.size:
        saved.tensors[name] = TensorData(
            old.dtype, old.shape, np.frombuffer(draw.randbytes(raw.size), np.uint8)
        )
        return
    dtype = draw.choice(sorted(ITEM_SIZE)) if what == 1 else old.dtype
    shape = old.shape if what == 1 else draw.choice([(), (0,), (2,), (2, 3), (3, 2), (2**40, 0), (1, 2, 4)])
    size = int(np.prod(shape, dtype=np.int64)) * ITEM_SIZE[dtype]
    saved.tensors[name] = TensorData(dtype, shape, np.resize(raw, size) if raw.size else np.zeros(size, "u1"))


@pytest.mark.shows("TensorFlow", "hostile files tried")
@pytest.mark.parametrize("sample", ["tensors", "ragged", "sparse", "slices", "net", "checkpoint"])
def test_changed_tensors_and_trees_load_or_are_refused(sample, record_property):
    honest, draw, loaded = StoredObject(SAMPLES[sample]()), random.Random(sample), 0
    for _ in range(ATTACKS):
        changed = honest.copy()
        changed.tensors = dict(honest.tensors)
        _changed(changed, draw)
        if draw.random() < 0.3:
            change(changed.trees, draw)
        try:
            found = load(changed, TRUST)
        except SaverError:
            continue
        loaded += 1
        if type(found) is tf.SparseTensor and found.shape.num_elements() < 1 << 16:
            tf.sparse.to_dense(tf.sparse.reorder(found), validate_indices=False)
        elif type(found) is tf.RaggedTensor:
            found.to_list()
    record_property("hostile files", ATTACKS)
    assert loaded


@pytest.mark.parametrize(
    "name", ["_self_setattr_tracking", "_self_update_uid", "_name_scope", "variables", "name"]
)
def test_no_attribute_of_a_file_is_one_that_tensorflow_keeps(name):
    saved = StoredObject(Dense(2))
    saved.trees[0]["state"]["attributes"][name] = 3
    with pytest.raises(IncompatibleError):
        load(saved, TRUST)


@pytest.mark.parametrize(
    "name", ["_saver", "write", "_root", "_kwargs", "__class__", "save_counter", "_self_x"]
)
def test_no_object_of_a_checkpoint_takes_the_place_of_another(name):
    saved = StoredObject(tf.train.Checkpoint(step=tf.Variable(1)))
    held = saved.trees[0]["state"]["objects"]
    held[name] = held.pop("step")
    with pytest.raises(IncompatibleError):
        load(saved, TRUST)
