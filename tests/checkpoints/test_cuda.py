"""Runs whose weights lie on a CUDA device: they are copied beside what it computes."""

# ruff: noqa: E402  what is missing skips the file before anything imports it

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import saver
from saver import Every
from saver.storages.memory import MemoryStorage

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def network() -> tuple[Any, Any]:
    torch.manual_seed(7)
    net = torch.nn.Sequential(
        torch.nn.Linear(1024, 1024),
        torch.nn.BatchNorm1d(1024),
        torch.nn.Dropout(0.3),
        torch.nn.Linear(1024, 1024),
    ).cuda()
    return net, torch.optim.AdamW(net.parameters())


def train(net: Any, optimizer: Any) -> None:
    optimizer.zero_grad()
    net(torch.randn(256, 1024, device="cuda")).square().mean().backward()
    optimizer.step()


def state_of(net: Any, optimizer: Any) -> list[Any]:
    moments = [value for state in optimizer.state.values() for value in state.values()]
    return [tensor.detach().cpu().clone() for tensor in (*net.state_dict().values(), *moments)]


def test_the_moment_of_the_save_is_saved_though_training_goes_on() -> None:
    net, optimizer = network()
    store = saver.Saver(MemoryStorage())
    with store.checkpoints("r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)) as run:
        for step in range(5):
            train(net, optimizer)
            then = state_of(net, optimizer)
            run.step(step)
            for _ in range(3):
                train(net, optimizer)
            run.flush()
            found = store.load("r")
            now = state_of(found["model"], found["optimizer"])
            assert all(map(torch.equal, now, then))


def test_snapshots_go_into_pinned_memory() -> None:
    net, optimizer = network()
    with saver.Saver(MemoryStorage()).checkpoints(
        "r", {"model": net, "optimizer": optimizer}, every=Every(steps=1)
    ) as run:
        train(net, optimizer)
        run.step(0)
        memory = torch.from_numpy(run._saving._staging._memory)
        assert memory.is_pinned()
        run.flush()
    assert not memory.is_pinned()


def test_a_run_on_a_device_goes_on_to_the_bit() -> None:
    def trained(store: saver.Saver, *stops: int) -> list[Any]:
        for stop in stops:
            net, optimizer = network()
            objects = {"model": net, "optimizer": optimizer}
            with store.checkpoints("r", objects, every=Every(steps=2)) as run:
                for step in range(run.resume(), stop):
                    train(net, optimizer)
                    run.step(step)
        return state_of(net, optimizer)

    whole, again = trained(saver.Saver(MemoryStorage()), 12), trained(saver.Saver(MemoryStorage()), 5, 9, 12)
    assert all(map(torch.equal, whole, again))
