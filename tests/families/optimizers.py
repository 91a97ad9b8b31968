"""Every optimizer and transformation that Optax has a public name for, and a training with each.

`python optimizers.py begin FOLDER` trains three steps with each; with `go_on`, it makes the third again.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

import saver

ADAM = functools.partial(optax.adam, 0.1)
SCHEDULE = optax.linear_schedule(0.1, 0.0, 10)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "optax.adaptive_grad_clip": {"clipping": 0.1},
    "optax.add_noise": {"eta": 0.1, "gamma": 0.5, "key": 3},
    "optax.apply_every": {"k": 3},
    "optax.apply_if_finite": {"inner": ADAM(), "max_consecutive_errors": 3},
    "optax.clip": {"max_delta": 0.1},
    "optax.clip_by_block_rms": {"threshold": 0.1},
    "optax.clip_by_global_norm": {"max_norm": 0.1},
    "optax.conditionally_mask": {"inner": ADAM(), "should_transform_fn": lambda step, **_: step > 1},
    "optax.conditionally_transform": {"inner": ADAM(), "should_transform_fn": lambda step, **_: step > 1},
    "optax.ema": {"decay": 0.9},
    "optax.flatten": {"inner": ADAM()},
    "optax.freeze": {"mask": {"w": True, "b": False}},
    "optax.lookahead": {"fast_optimizer": ADAM(), "sync_period": 2, "slow_step_size": 0.5},
    "optax.masked": {"inner": ADAM(), "mask": {"w": True, "b": False}},
    "optax.monitor": {"measures": {"norm": optax.measure_with_ema(
        lambda updates, *_, **__: optax.global_norm(updates), 0.9)}},
    "optax.multi_transform": {"transforms": {1: ADAM(), 2: optax.sgd(0.1)}, "param_labels": {"w": 1, "b": 2}},
    "optax.partition": {"transforms": {1: ADAM(), 2: optax.sgd(0.1)}, "param_labels": {"w": 1, "b": 2}},
    "optax.named_chain": {"": (("first", optax.clip(0.1)), ("second", ADAM()))},
    "optax.chain": {"": (optax.clip(0.1), ADAM())},
    "optax.noisy_sgd": {"learning_rate": 0.1, "key": 3},
    "optax.per_example_global_norm_clip": {"l2_norm_clip": 0.1},
    "optax.polyak_sgd": {},
    "optax.scale": {"step_size": 0.1},
    "optax.scale_by_backtracking_linesearch": {"max_backtracking_steps": 5},
    "optax.scale_by_zoom_linesearch": {"max_linesearch_steps": 5},
    "optax.scale_by_schedule": {"step_size_fn": SCHEDULE},
    "optax.selective_transform": {"optimizer": ADAM(), "freeze_mask": {"w": True, "b": False}},
    "optax.snapshot": {"measure_name": "norm", "measure": lambda them, *_, **__: optax.global_norm(them)},
    "optax.trace": {"decay": 0.9},
    "optax.with_extra_args_support": {"tx": ADAM()},
    "optax.contrib.differentially_private_aggregate": {
        "l2_norm_clip": 0.1, "noise_multiplier": 0.1, "key": 3,
    },
    "optax.contrib.dpsgd": {"learning_rate": 0.1, "l2_norm_clip": 0.1, "noise_multiplier": 0.1, "seed": 3},
    "optax.contrib.mechanize": {"base_optimizer": ADAM()},
    "optax.contrib.sam": {"optimizer": ADAM(), "adv_optimizer": optax.sgd(0.1)},
    "optax.contrib.schedule_free": {"base_optimizer": ADAM(), "learning_rate": 0.1},
    "optax.contrib.split_real_and_imaginary": {"inner": ADAM()},
    "optax.contrib.hutchinson_estimator_diag_hessian": {"random_seed": 3},
}  # fmt: skip
"""The arguments that they need; those called `learning_rate` come by themselves."""

MORE: dict[str, Callable[[], Any]] = {
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=SCHEDULE),
    "inject_stateful_hyperparams": lambda: optax.inject_stateful_hyperparams(optax.sgd)(
        learning_rate=optax.WrappedSchedule(SCHEDULE)
    ),
    "MultiSteps": lambda: optax.MultiSteps(ADAM(), 2).gradient_transformation(),
    "adamw with a mask": lambda: optax.adamw(SCHEDULE, mask={"w": True, "b": False}, nesterov=True),
    "sgd with momentum in bfloat16": lambda: optax.sgd(0.1, 0.9, accumulator_dtype=jnp.bfloat16),
    "factored": lambda: optax.adafactor(0.1, min_dim_size_to_factor=2, momentum=0.9),
    "schedule": lambda: optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(SCHEDULE)),
    "scale_by_muon": lambda: optax.masked(
        optax.contrib.scale_by_muon(
            weight_dimension_numbers={"w": optax.contrib.MuonDimensionNumbers(), "b": optax.MaskedNode()}
        ),
        {"w": True, "b": False},
    ),
    "masked adam": lambda: optax.masked(ADAM(), {"w": True, "b": False}),
}
"""Others that are made in another way."""

NOT_ALONE = {
    "optax.GradientTransformation", "optax.GradientTransformationExtraArgs", "optax.MultiSteps",
    "optax.inject_hyperparams", "optax.inject_stateful_hyperparams", "optax.stateless",
    "optax.stateless_with_tree_map", "optax.measure_with_ema", "optax.contrib.scale_by_muon",
}  # fmt: skip


def names() -> list[str]:
    """The public functions that return an optimizer or a transformation."""
    found = []
    for module in (optax, optax.contrib):
        for name in sorted(vars(module)):
            made = getattr(module, name) if name[0] != "_" else None
            full = f"{module.__name__}.{name}"
            if inspect.isfunction(made) and full not in NOT_ALONE:
                returns = str(inspect.signature(made).return_annotation)
                if "GradientTransformation" in returns:
                    found.append(full)
    return [*found, *MORE]


def make(name: str) -> Any:
    """The optimizer of this name."""
    if name in MORE:
        return MORE[name]()
    module, _, function = name.rpartition(".")
    call = getattr(sys.modules[module], function)
    arguments = dict(ARGUMENTS.get(name, {}))
    positional = arguments.pop("", ())
    needed = inspect.signature(call).parameters
    if "learning_rate" in needed and "learning_rate" not in arguments and name != "optax.polyak_sgd":
        arguments["learning_rate"] = 0.1
    return call(*positional, **arguments)


def parameters(name: str = "") -> Any:
    """What is trained."""
    draw = np.random.default_rng(0)
    found = {
        "w": jnp.array(draw.normal(size=(4, 3)), "float32"),
        "b": jnp.array(draw.normal(size=3), "float32"),
    }
    return optax.LookaheadParams.init_synced(found) if name == "optax.lookahead" else found


def loss(params: Any) -> Any:
    """What is minimized."""
    return jnp.sum(jnp.sin(params["w"] @ params["b"]) ** 2) + jnp.sum(params["b"] ** 2)


def step(name: str, optimizer: Any, params: Any, state: Any) -> tuple[Any, Any]:
    """One step of training. What only some optimizers take is passed to those alone."""
    value, gradient = jax.value_and_grad(loss)(params.fast if name == "optax.lookahead" else params)
    if "per_example" in name or "private" in name or "dpsgd" in name:
        gradient = jax.tree.map(lambda each: jnp.stack([each, each / 2]), gradient)
    more = {"value": value, "grad": gradient, "value_fn": loss}
    if "sophia" in name:
        more["obj_fn"] = loss
    takes = inspect.signature(optimizer.update).parameters
    if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in takes.values()):
        more = {key: item for key, item in more.items() if key in takes}
    updates, state = optimizer.update(gradient, state, params, **more)
    return optax.apply_updates(params, updates), state


def begin(folder: Path) -> None:
    """Train two steps with each, save that, and then the third."""
    for number, name in enumerate(names()):
        optimizer, params = make(name), parameters(name)
        state = optimizer.init(params)
        for _ in range(2):
            params, state = step(name, optimizer, params, state)
        saver.dump({"name": name, "params": params, "state": state}, folder / f"{number}.saver")
        saver.dump(step(name, optimizer, params, state), folder / f"{number}.third")


def go_on(folder: Path) -> None:
    """Make the third step of each, with the state that another process saved."""
    for path in sorted(folder.glob("*.saver")):
        found = saver.load(path)
        after = step(found["name"], make(found["name"]), found["params"], found["state"])
        saver.dump(after, path.with_suffix(".after"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"begin": begin, "go_on": go_on}[sys.argv[1]](Path(sys.argv[2]))
