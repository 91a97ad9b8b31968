"""The items of mappings, and what may be a key or an element of a set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from saver.codec import Decoder, Encoder, door, listed, own_dict
from saver.families.python.columns import LONG, PLAIN, decode_run, encode_run, encode_whole_run, fill_run
from saver.rules import Broken
from saver.tree import EXACT_INTEGER, Value


def encode_items(obj: dict[Any, Any], encoder: Encoder) -> Value:
    """The items of a mapping in their order: a JSON object for plain keys, otherwise two runs."""
    short = len(obj) < LONG * 4 or not all(type(value) in (int, float, str) for value in obj.values())
    if short and encoder.names.are(obj):
        return encoder.fields(obj)
    keys = list(obj)
    names = [_step(key, index) for index, key in enumerate(keys)]
    if len(keys) >= LONG:
        values = encode_run(list(obj.values()), encoder, "values")
    else:
        values = [encoder.slot(value, name) for name, value in zip(names, obj.values(), strict=True)]
    return [encode_keys(keys, encoder), values]


def _step(key: Any, index: int) -> str | int:
    """The step of an item in a path: its key, or else its position. Python does not convert integers of more
    than 4,300 digits to text."""
    is_short = isinstance(key, (str, float)) or (isinstance(key, int) and abs(key) <= EXACT_INTEGER)
    return str(key) if is_short else index


def encode_keys(items: list[Any], encoder: Encoder) -> Value:
    """Keys, or elements of a set: none of them can be filled in later, so no cycle may pass through one."""
    encoder.check(_check_hashes, items)
    if len(items) >= LONG:
        return encode_whole_run(items, encoder, "keys")
    return [encoder(item, "keys", index) for index, item in enumerate(items)]


_MOST_ALIKE = 1000
"""Python compares each of these with all others of the same hash: 30,000 multiples of 2**61 - 1 take 10 s."""


def hashable(items: Iterable[Any], decoder: Decoder) -> list[Any]:
    """Keys or elements, after charging for the steps that hashing and comparing them takes.

    Python does not keep the hash of a tuple, and compares equal ones item by item: with forty tuples or
    frozensets, each of which holds the previous one twice, that would take 2**40 steps.
    """
    found, weights = list(items), dict[int, int]()
    decoder.budget.charge(steps=sum(_weight(item, weights) for item in found))
    _check_hashes(found)
    return found


def wait_for_hashes(keys: Iterable[Any], decoder: Decoder) -> bool:
    """Whether these keys or elements cannot be hashed yet: one of them may be, or hold, an object in a cycle
    whose attributes, from which its hash is made, are not all there."""
    late = decoder.delayed.is_waiting or any(map(_is_hashed_by_value, decoder.unfinished()))
    return late and not all(type(key) in PLAIN for key in keys)


def _is_hashed_by_value(obj: Any) -> bool:
    own: Any = type(obj).__hash__
    return own is not None and own is not object.__hash__


def _check_hashes(keys: list[Any]) -> None:
    """Refuse very many keys of one hash."""
    try:
        alike = max(Counter(map(hash, keys)).values()) if len(keys) > _MOST_ALIKE else 0
    except TypeError:  # one cannot be hashed: nothing will be inserted
        return
    if alike > _MOST_ALIKE:
        raise ValueError(f"{alike:,} keys or elements have one hash; more than {_MOST_ALIKE:,} take too long")


def _weight(item: Any, weights: dict[int, int]) -> int:
    """The number of values in an item, each counted as often as it occurs."""
    kind = type(item)  # whose own methods, such as `__iter__`, are not called
    if issubclass(kind, (int, float, str, bytes)):
        return 1
    if not issubclass(kind, (tuple, frozenset)):
        return 1 + (item.size if issubclass(kind, np.ndarray) else _weight_within(item, weights))
    if id(item) not in weights:
        held = tuple.__iter__(item) if issubclass(kind, tuple) else frozenset.__iter__(item)
        weights[id(item)] = 1 + sum(_weight(within, weights) for within in held)
    return weights[id(item)]


def _weight_within(item: Any, weights: dict[int, int]) -> int:
    """The same for other objects that are hashed by their content: frozen dataclasses, slices, partials."""
    if id(item) in weights:
        return weights[id(item)]
    weights[id(item)] = 1  # a cycle ends here
    if type(item) is slice:
        held: Iterable[Any] = (item.start, item.stop, item.step)
    else:
        held = list(own_dict(item).values()) if is_dataclass(type(item)) else ()
    weights[id(item)] = 1 + sum(_weight(within, weights) for within in held)
    return weights[id(item)]


def fill_items(state: Any, decoder: Decoder, target: Any) -> None:
    """Decode the items that `encode_items` encoded into the mapping `target`."""
    if type(state) is dict:
        decoder.fill(state, target)
        return
    keys_state, values_state = listed(state, 2)
    keys = [*decode_run(keys_state, decoder)]
    late = wait_for_hashes(keys, decoder)
    keys = keys if late else hashable(keys, decoder)
    column = type(values_state) is not list
    values: list[Any] = [] if column else values_state
    if column:
        fill_run(values_state, decoder, values)
    if len(keys) != len(values):
        raise Broken("3.08", f"there are {len(keys)} keys and {len(values)} values")
    if late:
        held = [*values] if column else list[Any]()
        if not column:
            decoder.extend(held, values)
        decoder.delayed.later(lambda: _insert(hashable(keys, decoder), held, target))
        return
    if column:
        update = dict.update if type(target) is Counter else type(target).update  # a Counter's own one counts
        update(target, zip(keys, values, strict=True))
    else:
        for key, value in zip(keys, values, strict=True):
            target[key] = None
            target[key] = decoder.slot(value, target, key)
    if len(target) != len(keys):
        raise Broken("3.09", "a key occurs twice")


def _insert(keys: list[Any], values: list[Any], target: Any) -> None:
    for key, value in zip(keys, values, strict=True):
        target[key] = value
    if len(target) != len(keys):
        raise Broken("3.09", "a key occurs twice")


def fill_set(state: Any, decoder: Decoder, target: set[Any]) -> None:
    """Decode the elements of a set into `target`, by the methods of `set` itself."""
    items = [*decode_run(state, decoder)]

    def insert() -> None:
        set.update(target, hashable(items, decoder))
        if set.__len__(target) != len(items):
            raise Broken("3.09", "an element occurs twice")

    if wait_for_hashes(items, decoder):
        decoder.delayed.later(insert)
    else:
        insert()


def refused_names(cls: type, keys: Iterable[Any]) -> Iterator[str]:
    """Why some of these keys are refused in a mapping of this class, which shows its items as attributes: the
    rule for names of attributes applies to its keys, too."""
    way = door(cls)
    for key in keys:
        why = way.refusal(key) if type(key) is str else None
        if why is not None:
            yield why
