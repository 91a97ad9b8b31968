"""The state of a model or layer: what its configuration does not say.

Variables go through each layer's own `save_own_variables` and `load_own_variables`, because some layers
compute with what they load (Normalization, Discretization, quantized ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from keras.src.layers.layer import Layer
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.trainers.trainer import Trainer
from numpy.typing import NDArray

from saver.families.keras import ordered, vocabularies
from saver.families.keras.arrays import numpy_of
from saver.families.keras.files import TRAINABLE
from saver.families.keras.waiting import waiting
from saver.families.keras.walking import OTHERS, saveables

Arrays = dict[str, NDArray[Any]]


class Optimized(msgspec.Struct):
    """The variables of an optimizer; `places` are those that it trains: `TRAINABLE` for all that are
    trainable, otherwise by their places in the weights of the model, and None if it was not built."""

    variables: list[NDArray[Any]]
    places: list[int] | str | None


class State(msgspec.Struct):
    """What is in a model beside its configuration, by the paths of its layers.

    `adapters` are all variables of layers with LoRA, whose own files merge them; `frozen` the paths of layers
    that are not trainable; `generators` the positions of random generators; both are None if they are as the
    configuration makes them, which is all that Keras' own files say. `optimizers` are those of the model
    itself, whose path is empty, and of models within it.

    `ordered` is None, or the variables of the layers of a model in the order of Keras' older files, those of
    the model itself last; then `variables` is empty.
    """

    variables: dict[str, Arrays]
    adapters: dict[str, list[NDArray[Any]]]
    generators: dict[str, list[NDArray[Any]]] | None
    vocabularies: dict[str, list[str] | list[int]]
    frozen: list[str] | None
    optimizers: dict[str, Optimized]
    ordered: list[list[NDArray[Any]]] | None = None


def state_of(root: Any) -> State:
    """The state of a model or layer now. Raises ValueError, saying what to do, if it cannot be saved."""
    synchronize(root)
    frozen, generators = list[str](), dict[str, list[NDArray[Any]]]()
    state = State({}, {}, generators, {}, frozen, {})
    for path, saveable in saveables(root):
        if not isinstance(saveable, Layer):
            continue
        _refuse_files(saveable)
        own: dict[str, Any] = {}
        saveable.save_own_variables(own)
        if own:
            state.variables[path] = {name: numpy_of(value) for name, value in own.items()}
        if getattr(saveable, "lora_enabled", False):
            state.adapters[path] = [numpy_of(variable) for variable in _all(saveable)]
        if own_generators := saveable._seed_generators:
            generators[path] = [numpy_of(generator.state) for generator in own_generators]
        if words := vocabularies.of(saveable):
            state.vocabularies[path] = words
        if not saveable.trainable:
            frozen.append(path)
        if (optimizer := _optimizer_of(saveable)) is not None:
            state.optimizers[path] = _optimized(optimizer, saveable)
    return state


def _optimizer_of(saveable: Any) -> Any:
    """The optimizer of a model that is compiled; None if there is none."""
    found = getattr(saveable, "optimizer", None) if isinstance(saveable, Trainer) else None
    return found if isinstance(found, BaseOptimizer) else None


def compiled(root: Any) -> Iterator[tuple[str, Any]]:
    """The models within a model that are compiled themselves, by their paths."""
    for path, saveable in saveables(root):
        if saveable is not root and isinstance(saveable, Trainer) and saveable.compiled:
            yield path, saveable


def synchronize(root: Any) -> None:
    """Let the variables have their values: with JAX, training keeps them apart."""
    synchronized = getattr(type(root), "jax_state_sync", None)
    if synchronized is not None and getattr(root, "_jax_state", None):
        synchronized(root)


def _all(layer: Any) -> list[Any]:
    found: list[Any] = layer._trainable_variables + layer._non_trainable_variables
    return found


def _refuse_files(layer: Any) -> None:
    """Raise ValueError for a class of the user that keeps part of its state in files."""
    method = getattr(type(layer), "save_assets", None)
    if method is not None and not str(method.__module__).startswith("keras."):
        raise ValueError(
            f"{type(layer).__qualname__} keeps files (save_assets), which are not saved; keep their content "
            "in variables, with save_own_variables, or in get_config"
        )


def _optimized(optimizer: Any, model: Any) -> Optimized:
    if waiting(optimizer) is not None:
        raise ValueError(
            "its optimizer was loaded by itself and gets its state when it is built; first call "
            "model.optimizer.build(model.trainable_variables)"
        )
    variables = [numpy_of(variable) for variable in optimizer.variables]
    if not optimizer.built:
        return Optimized(variables, None)
    if [*map(id, optimizer._trainable_variables)] == [*map(id, model.trainable_variables)]:
        return Optimized(variables, TRAINABLE)
    places = {id(variable): place for place, variable in enumerate(model.weights)}
    trained = [places.get(id(variable), -1) for variable in optimizer._trainable_variables]
    if -1 in trained:
        raise ValueError(
            "the optimizer trains variables that are not among the weights of the model; compile the model "
            "again, or hold those variables in a layer of it"
        )
    return Optimized(variables, trained)


def put(root: Any, state: State) -> None:
    """Let a model or layer with the same architecture have a state. Raises ValueError if it does not fit."""
    synchronize(root)
    if state.ordered is not None:
        ordered.put(root, state.ordered)
    generators = state.generators
    named = (state.variables, state.adapters, generators or {}, state.vocabularies, state.optimizers)
    left = set[str]().union(*named)
    found = []
    for path, saveable in saveables(root, others=True):
        if isinstance(saveable, OTHERS):
            left = {each for each in left if each != path and not each.startswith(f"{path}/")}
        if not isinstance(saveable, Layer):
            continue
        found.append((path, saveable))
        left.discard(path)
        if state.ordered is None:
            saveable.load_own_variables(Store(state.variables.get(path, {})))
        _assign(_all(saveable), state.adapters.get(path), path)
        if generators is not None:
            _assign_generators(saveable, generators.get(path, []), path)
        if path in state.vocabularies:
            vocabularies.put(saveable, state.vocabularies[path])
    if left:
        raise ValueError(f"there are no layers at {', '.join(sorted(left)[:4])!r:.200}")
    if state.frozen is not None:
        _freeze(found, set(state.frozen))
    for path, saveable in found:
        optimizer = _optimizer_of(saveable)
        if path in state.optimizers and optimizer is not None:
            put_optimizer(optimizer, saveable, state.optimizers[path])


class Store(dict[str, Any]):
    """The variables of one layer, as Keras reads them. Each must be used."""

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"the variable {name!r} was not saved")


def _assign(variables: list[Any], arrays: list[NDArray[Any]] | None, path: str) -> None:
    if arrays is None:
        return
    if len(arrays) != len(variables):
        raise ValueError(f"{path}: {len(arrays)} variables were saved, and there are {len(variables)}")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _assign_generators(layer: Any, arrays: list[NDArray[Any]], path: str) -> None:
    generators = layer._seed_generators
    if len(arrays) != len(generators):
        raise ValueError(f"{path}: {len(arrays)} generators were saved, and there are {len(generators)}")
    for generator, array in zip(generators, arrays, strict=True):
        if array.shape != (2,) or array.dtype.kind not in "iu":
            raise ValueError(f"{path}: the position of a random generator is not two integers")
        generator.state.assign(array.astype(generator.state.dtype))


def _freeze(layers: list[tuple[str, Any]], frozen: set[str]) -> None:
    """Set what is trainable, each layer for itself: one that is shared lies in several others."""
    for path, layer in layers:
        if layer.trainable == (path in frozen):
            layer._trainable = path not in frozen
            for variable in layer._trainable_variables:
                variable.trainable = layer._trainable


def _trained(optimizer: Any, model: Any, arrays: list[NDArray[Any]]) -> list[Any]:
    """What an optimizer with these variables trained: all that is trainable now, or all that was before some
    layers were frozen."""
    now: list[Any] = model.trainable_variables
    able = {id(each) for _, layer in saveables(model) for each in getattr(layer, "_trainable_variables", ())}
    before = [variable for variable in model.weights if id(variable) in able]
    if len(before) == len(now):
        return now
    probe = type(optimizer).from_config(optimizer.get_config())
    probe.build(before)
    shapes = [tuple(variable.shape) for variable in probe.variables]
    return before if shapes == [array.shape for array in arrays] else now


def put_optimizer(optimizer: Any, model: Any, state: Optimized) -> None:
    """Let an optimizer of the model have a state; it is built for the variables that it trained, once."""
    weights = model.weights
    if state.places == TRAINABLE and not optimizer.built:
        optimizer.build(_trained(optimizer, model, state.variables))
        optimizer.built = True
    elif isinstance(state.places, list) and not optimizer.built:
        if not all(0 <= p < len(weights) for p in state.places) or len({*state.places}) < len(state.places):
            raise ValueError("the optimizer trains variables that the model does not have")
        optimizer.build([weights[place] for place in state.places])
        optimizer.built = True
    variables = optimizer.variables
    if len(state.variables) > len(variables) or (state.places and len(state.variables) != len(variables)):
        raise ValueError(
            f"the optimizer has {len(variables)} variables, and {len(state.variables)} were saved"
        )
    for variable, array in zip(variables, state.variables, strict=False):
        if tuple(variable.shape) != array.shape:
            raise ValueError(
                f"a variable of the optimizer was saved as {array.shape}, and is {variable.shape}"
            )
        variable.assign(array)
