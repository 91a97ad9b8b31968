"""`prove`: whether what a run saves is enough to go on to the bit; and that asking changes nothing."""

from __future__ import annotations

import random
import sys
import types
from collections import deque
from itertools import cycle
from typing import Any

import numpy as np
import pytest

import saver
from saver.rehearsal import Proof, prove
from saver.storages.memory import MemoryStorage

EVERY = saver.Every(steps=1000)

pytestmark = pytest.mark.filterwarnings("ignore:.*nothing was saved:RuntimeWarning")


class Walker:
    """Weights that training changes by noise; `generator` is where it comes from."""

    def __init__(self) -> None:
        self.weights = {"w": np.arange(100.0), "bias": np.zeros(3)}
        self.generator = np.random.default_rng(7)
        self.trained: list[int] = []

    def train_step(self, step: int) -> float:
        self.trained.append(step)
        noise = self.generator.normal(size=100)
        self.weights["w"] = self.weights["w"] * 0.9 + noise
        self.weights["bias"] += noise[:3]
        return float(noise.sum())


def checkpoints(objects: dict[str, Any], **options: Any) -> Any:
    return saver.Saver(MemoryStorage("proofs")).checkpoints("walk", objects, every=EVERY, **options)


@pytest.fixture
def walker() -> Walker:
    return Walker()


def test_with_its_generator_among_the_objects_all_bits_agree(walker):
    proof = prove(checkpoints({"model": walker.weights, "generator": walker.generator}), walker.train_step)
    assert proof
    assert (proof.start, proof.steps, proof.differences, proof.first) == (0, 3, 0, None)
    assert str(proof) == "steps 0 to 2, trained twice from the same state: all bits agree"


def test_a_generator_that_is_not_among_the_objects_is_noticed_in_the_first_weights(walker):
    proof = prove(checkpoints({"model": walker.weights}), walker.train_step, steps=5)
    assert not proof
    assert proof.first.path == "model/w"
    assert proof.first.amount.changed == 100
    assert proof.since == 0
    assert proof.differences == 2 + 5  # both arrays, and what every step returned
    assert "model/w differs in 100 of 100 entries" in str(proof)
    assert "add its source" in str(proof)


def test_the_order_of_data_is_noticed(walker):
    rows = np.random.default_rng(0).normal(size=(7, 100))
    loader = cycle(rows)

    def train_step(step):
        walker.weights["w"] = walker.weights["w"] * 0.9 + next(loader)

    proof = prove(checkpoints({"model": walker.weights}), train_step, steps=2)
    assert not proof
    assert (proof.first.path, proof.differences, proof.since) == ("model/w", 1, None)
    assert "the order of the data" in str(proof)


def test_the_order_of_data_by_the_step_makes_no_difference(walker):
    rows = np.random.default_rng(0).normal(size=(7, 100))

    def train_step(step):
        walker.weights["w"] = walker.weights["w"] * 0.9 + rows[step % 7]

    assert prove(checkpoints({"model": walker.weights}), train_step, steps=9)


def test_global_generators_are_saved_by_the_run_itself(walker):
    def train_step(step):
        walker.weights["w"] = walker.weights["w"] + random.gauss(0, 1) + np.random.standard_normal()
        random.shuffle(items := list(range(10)))
        return items[0]

    assert prove(checkpoints({"model": walker.weights}), train_step, steps=4)


def test_random_numbers_drawn_unequally_often_are_noticed(walker):
    """A state of Python that decides how often the global generator is asked."""
    calls = []

    def train_step(step):
        if calls:
            random.random()
        calls.append(step)

    proof = prove(checkpoints({"model": walker.weights}), train_step, steps=2)
    assert proof.first.path.startswith("random/python")
    assert "different counts of random numbers" in str(proof)


def test_a_number_that_is_only_reported_leaves_the_state_as_it_is(walker):
    counter = iter(range(100))
    proof = prove(checkpoints({"model": walker.weights}), lambda step: float(next(counter)), steps=1)
    assert proof.first.path == "the value that train_step returned at step 0"
    assert (proof.first.old, proof.first.new) == ("0.0", "1.0")
    assert "The state agrees" in str(proof)


def test_metrics_that_a_step_tells_the_run_are_compared_and_not_logged(walker):
    counter = iter(range(100))
    run = checkpoints({"model": walker.weights, "generator": walker.generator})
    with run:
        run.step(0, loss=1.0)
        before = run.log.rows()
        proof = prove(run, lambda step: run.step(step, loss=next(counter), val_loss=None), steps=2)
        assert run.log.rows() == before
    assert proof.first.path == "loss at step 1"
    assert (proof.start, proof.since, proof.differences) == (1, 1, 2)


def test_nan_is_the_same_as_nan_and_zero_is_not_minus_zero(walker):
    run = checkpoints({"model": walker.weights})
    signs = iter((0.0, -0.0))
    assert prove(run, lambda step: float("nan"), steps=1)
    assert not prove(run, lambda step: next(signs), steps=1)


def test_what_is_not_a_number_is_not_compared(walker):
    run = checkpoints({"model": walker.weights})
    results = iter((object(), "text", np.zeros(3), np.ones(3)))
    assert prove(run, lambda step: next(results), steps=2)


def test_afterwards_training_goes_on_as_if_nobody_had_asked(walker):
    other = Walker()
    random.seed(5)
    run = checkpoints({"model": walker.weights, "generator": walker.generator})
    with run:
        for step in range(4):
            run.step(step, loss=walker.train_step(step), draw=random.random())
            if step == 1:
                rows, trained = run.log.rows(), list(walker.trained)
                assert prove(run, walker.train_step, steps=3)
                assert run.log.rows() == rows
                assert walker.trained == trained + [2, 3, 4, 2, 3, 4]
                assert run.progress.step == 1
    random.seed(5)
    for step in range(4):
        assert run.log["loss"][1][step] == other.train_step(step)
        assert run.log["draw"][1][step] == random.random()
    np.testing.assert_array_equal(walker.weights["w"].view("u8"), other.weights["w"].view("u8"))


def test_also_when_a_step_fails_everything_is_put_back(walker):
    before = walker.weights["w"].copy(), walker.generator.bit_generator.state

    def train_step(step):
        walker.train_step(step)
        if len(walker.trained) == 5:
            raise ZeroDivisionError

    run = checkpoints({"model": walker.weights, "generator": walker.generator})
    with pytest.raises(ZeroDivisionError):
        prove(run, train_step, steps=3)
    np.testing.assert_array_equal(walker.weights["w"], before[0])
    assert walker.generator.bit_generator.state == before[1]
    assert prove(run, walker.train_step)


class Forgetful:
    """A loader whose state says which epoch it is in, and not where it stands in it."""

    def __init__(self) -> None:
        self.epoch, self.position = 0, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.position = state["epoch"], 0

    def draw(self) -> int:
        self.position += 1
        return 1000 * self.epoch + self.position


def test_a_state_that_forgets_where_it_stood_is_noticed(walker):
    """Two restores of it would agree with each other: what it is compared with has not been restored."""
    loader = Forgetful()

    def train_step(step: int) -> None:
        walker.weights["w"] += loader.draw()

    with checkpoints({"model": walker.weights, "loader": loader}) as run:
        for step in range(5):
            train_step(step)
            run.step(step)
        proof = prove(run, train_step)
    assert not proof
    assert proof.first.path == "model/w"


def test_what_refuses_its_own_state_says_so(walker):
    class Proud(Forgetful):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            raise ValueError("not mine")

    run = checkpoints({"model": walker.weights, "loader": Proud()})
    with pytest.raises(saver.DoesNotFitError, match="not mine"):
        prove(run, walker.train_step)


def test_nothing_is_saved_in_the_store(walker):
    store = saver.Saver(MemoryStorage("proofs"))
    run = store.checkpoints("walk", {"model": walker.weights}, every=saver.Every(steps=1))
    with run:
        prove(run, lambda step: run.step(step, loss=1.0), steps=3)
    assert not store.exists()


def test_it_goes_on_from_a_resume(walker):
    store = saver.Saver(MemoryStorage("proofs"))
    objects = {"model": walker.weights, "generator": walker.generator}
    with store.checkpoints("walk", objects, every=EVERY) as run:
        run.step(41, loss=walker.train_step(41))
        run.save()
    walker.trained.clear()
    with store.checkpoints("walk", objects, every=EVERY) as run:
        assert run.resume() == 42
        assert prove(run, walker.train_step, steps=2).start == 42
    assert walker.trained == [42, 43, 42, 43]


def test_steps_must_be_some(walker):
    with pytest.raises(ValueError, match="steps"):
        prove(checkpoints({"model": walker.weights}), walker.train_step, steps=0)


def test_a_proof_is_data(walker):
    proof = prove(checkpoints({"model": walker.weights}), walker.train_step, steps=1)
    assert isinstance(proof, Proof)
    assert str(proof).startswith("step 0, trained twice")


# Frameworks


def test_a_network_with_dropout_a_schedule_and_averages_agrees_to_the_bit():
    torch = pytest.importorskip("torch")
    run, train_step = _network(torch)
    with run:
        assert prove(run, train_step, steps=3)
        for step in range(2):
            run.step(step, loss=train_step(step))
        run.save()  # under way while the proof begins, with its hook on the optimizer
        assert prove(run, train_step, steps=3)


def test_a_network_that_looks_at_something_else_is_known_by_its_parameter():
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(3)
    run, train_step = _network(torch, generator)
    proof = prove(run, train_step, steps=2)
    assert proof.first.path == "model/0.weight"
    assert proof.differences > 10
    assert "use_deterministic_algorithms" not in str(proof)


def test_a_change_as_small_as_rounding_names_the_switch_for_it():
    torch = pytest.importorskip("torch")
    weights = {"w": torch.ones(1000)}
    signs = iter((1, -1))

    def train_step(step):
        weights["w"] += torch.full((1000,), next(signs) * 2.0**-22)

    proof = prove(checkpoints({"model": weights}), train_step, steps=1)
    assert proof.first.path == "model/w"
    assert "torch.use_deterministic_algorithms(True)" in str(proof)


def test_a_group_that_training_adds_is_a_finding_and_leaves_the_optimizer_as_it_was():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
    optimizer = torch.optim.SGD(net[1].parameters(), 0.1, momentum=0.9)

    def train_step(step):
        if step == 1:
            optimizer.add_param_group({"params": list(net[0].parameters())})
        optimizer.zero_grad()
        net(torch.ones(4, 3)).sum().backward()
        optimizer.step()

    begun = [tensor.clone() for tensor in net.parameters()]
    proof = prove(checkpoints({"model": net, "optimizer": optimizer}), train_step, steps=3)
    assert not proof
    assert "cannot be restored: the state before the proof: optimizer does not fit" in str(proof)
    assert "before resume()" in str(proof)
    assert len(optimizer.param_groups) == 1
    assert all(map(torch.equal, begun, net.parameters()))


def _network(torch: Any, generator: Any = None) -> tuple[Any, Any]:
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 16), nn.Dropout(0.3), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)

    def train_step(step: int) -> Any:
        x = torch.randn(32, 20, generator=generator)
        loss = nn.functional.cross_entropy(net(x), (x[:, 0] > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss

    objects = {"model": net, "optimizer": optimizer, "schedule": schedule}
    return checkpoints(objects), train_step


@pytest.mark.slow
def test_a_model_that_learns_in_parts_agrees_to_the_bit():
    pytest.importorskip("sklearn")
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(random_state=None)
    images = np.random.default_rng(0).normal(size=(200, 5))
    labels = (images[:, 0] > 0).astype(int)
    model.partial_fit(images[:20], labels[:20], classes=[0, 1])

    def train_step(step):
        some = np.random.permutation(200)[:20]
        model.partial_fit(images[some], labels[some])

    assert prove(checkpoints({"model": model}), train_step, steps=5)
    rng = np.random.default_rng(0)

    def train_on_others(step):
        some = rng.permutation(200)[:20]
        model.partial_fit(images[some], labels[some])

    proof = prove(checkpoints({"model": model}), train_on_others, steps=2)
    assert proof.first.path == "model/coef_"


# Whose class, and what is left behind


@pytest.fixture
def script(monkeypatch):
    """A module that is in no installed distribution, as a script is."""
    module = types.ModuleType("train_script")
    monkeypatch.setitem(sys.modules, "train_script", module)
    exec(_SCRIPT, vars(module))
    return module


_SCRIPT = """
from dataclasses import dataclass
@dataclass
class State:
    weights: object
    count: int = 0
"""


def test_a_class_of_a_script_is_proved(script):
    state = script.State(np.zeros(3))

    def train_step(step):
        state.weights += 1
        state.count += 1

    assert prove(checkpoints({"state": state}), train_step)
    assert state.weights.tolist() == [0, 0, 0]
    assert state.count == 0


class Stubborn:
    """What it takes back is not what it gave."""

    __slots__ = ("__dict__", "late", "slotted")

    def __init__(self):
        self.weights, self.history, self.table = np.zeros(3), [0.0], {"rows": {1, 2}}
        self.slotted, self.where = 0, self
        self.generator, self.recent = random.Random(1), deque([1], maxlen=3)
        self.bytes, self.legacy = bytearray(b"a"), np.random.RandomState(4)
        self.pair = (np.ones(2), [1])

    def state_dict(self):
        return {"weights": self.weights}

    def load_state_dict(self, state):
        self.weights, self.history = state["weights"] + 7, [1.0]

    def train(self, step):
        self.weights += self.generator.random() + self.legacy.rand()
        self.history.append(step)
        self.table["rows"].add(step)
        self.table["more"] = step
        self.slotted, self.late, self.added = step, step, step
        self.recent.append(step)
        self.bytes.extend(b"b")
        self.pair[0][:] = step
        self.pair[1].clear()


@pytest.mark.parametrize("fails", [False, True])
def test_what_the_proof_is_about_does_not_put_the_objects_back(fails):
    stubborn = Stubborn()
    kept = vars(stubborn).copy()

    def train_step(step):
        stubborn.train(step)
        if fails and step == 2:
            raise ZeroDivisionError

    run = checkpoints({"stubborn": stubborn})
    if fails:
        with pytest.raises(ZeroDivisionError):
            prove(run, train_step)
    else:
        assert not prove(run, train_step)
    assert vars(stubborn).keys() == kept.keys()
    assert all(vars(stubborn)[name] is item for name, item in kept.items())
    assert (stubborn.weights.tolist(), stubborn.history) == ([0, 0, 0], [0.0])
    assert (stubborn.table, stubborn.slotted, list(stubborn.recent)) == ({"rows": {1, 2}}, 0, [1])
    assert not hasattr(stubborn, "late")
    assert (stubborn.bytes, stubborn.pair[1], stubborn.pair[0].tolist()) == (b"a", [1], [1, 1])
    assert stubborn.generator.random() == random.Random(1).random()
    assert stubborn.legacy.rand() == np.random.RandomState(4).rand()


def test_a_network_is_left_as_it_was_with_gradients_and_flags():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5))
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    (net(torch.ones(2, 3)).sum() * 3).backward()
    grads = {name: (item.grad, item.grad.clone()) for name, item in net.named_parameters()}
    weights = {name: item.clone() for name, item in net.state_dict().items()}

    def train_step(step):
        optimizer.zero_grad()
        loss = net(torch.randn(2, 3)).square().sum()
        loss.backward()
        optimizer.step()
        net[1].p *= 0.5
        net[0].bias.requires_grad_(step % 2 == 0)
        net[0].weight.data = net[0].weight.data.clone()
        return loss.detach()

    assert prove(checkpoints({"net": net, "optimizer": optimizer}), train_step)
    assert net[1].p == 0.5
    for name, item in net.named_parameters():
        assert item.requires_grad
        assert item.grad is grads[name][0]
        assert torch.equal(item.grad, grads[name][1])
        assert torch.equal(item, weights[name])
    assert not optimizer.state
