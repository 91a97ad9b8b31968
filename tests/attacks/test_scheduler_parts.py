"""A scheduler of PyTorch whose parts a file has exchanged for others is refused, not half made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import saver
from saver.errors import CannotSaveError, IncompatibleError

torch: Any = pytest.importorskip("torch")
schedulers = torch.optim.lr_scheduler


def optimizer() -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)


MADE: dict[str, Callable[[Any], Any]] = {
    "MultiStepLR": lambda of: schedulers.MultiStepLR(of, [2, 3]),
    "OneCycleLR": lambda of: schedulers.OneCycleLR(of, 0.1, 10),
    "CyclicLR": lambda of: schedulers.CyclicLR(of, 0.1, 0.2),
    "ReduceLROnPlateau": schedulers.ReduceLROnPlateau,
    "LambdaLR": lambda of: schedulers.LambdaLR(of, abs),
    "SequentialLR": lambda of: schedulers.SequentialLR(
        of, [schedulers.ConstantLR(of), schedulers.ExponentialLR(of, 0.9)], [2]
    ),
    "ChainedScheduler": lambda of: schedulers.ChainedScheduler([schedulers.ConstantLR(of)], of),
}
OTHERS = (torch.nn.Linear(2, 1), torch.ones(2), "text", {"a": 1}, 3)


def parts() -> list[tuple[str, str]]:
    """The attributes of each scheduler that hold more than a number, a word or a function."""
    plain = (bool, int, float, str, type(None), type(abs))
    return [
        (name, part)
        for name, make in MADE.items()
        for part, value in vars(make(optimizer())).items()
        if not isinstance(value, plain) and part != "_scale_fn_ref"
    ]


@pytest.mark.parametrize(("name", "part"), parts())
def test_another_object_in_the_place_of_a_part_is_refused(
    name: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.families.torch import optim

    for other in OTHERS:
        made = MADE[name](optimizer())
        vars(made)[part] = other
        with pytest.raises(CannotSaveError, match=part):
            saver.dumps(made)
        with monkeypatch.context() as forging:
            forging.setattr(optim, "check_held", lambda scheduler: None)
            data = saver.dumps(made)
        with pytest.raises(IncompatibleError, match=part):
            saver.loads(data)


@pytest.mark.parametrize("name", MADE)
def test_honest_ones_come_back(name: str) -> None:
    found = saver.loads(saver.dumps(MADE[name](optimizer())))
    assert type(found).__name__ == name


def test_what_a_scheduler_chains_is_a_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    made = MADE["SequentialLR"](optimizer())
    made._schedulers[0] = torch.nn.Linear(2, 1)
    with pytest.raises(CannotSaveError, match="not a scheduler"):
        saver.dumps(made)
