"""Changes to the trees of an honest file that know what a tree is. Each is `(file, random, others) -> None`.

`others` are more honest files, to take pieces from. A change that finds nothing to do raises `NotHere`.
"""

from __future__ import annotations

import copy
import struct
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import canaries
import fuzz_words as words
from blake3 import blake3
from forge import DTYPES, File, node, places

Others = Sequence[File]
Mutation = Callable[[File, Random, Others], None]
Spot = tuple[Any, Any]


class NotHere(Exception):
    """The file has nothing that this mutation changes."""


def spots(file: File) -> list[Spot]:
    """Every (container, key) of the trees and batches."""
    found = list(places(file.manifest["parts"]))
    return [spot for spot in found if spot[1] not in ("hash", "packages", "version")]


def _values(file: File, wanted: Callable[[Any], bool]) -> list[Spot]:
    return [(holder, key) for holder, key in spots(file) if wanted(holder[key])]


def _one(found: Sequence[Any], random: Random) -> Any:
    if not found:
        raise NotHere
    return random.choice(found)


def is_node(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("$"), str)


def is_value(value: Any) -> bool:
    return is_node(value) or (isinstance(value, dict) and ("$tensor" in value or "$ref" in value))


def is_state(value: Any) -> bool:
    """Whether it is a JSON object of names: attributes, items, parameters."""
    return isinstance(value, dict) and not any(str(key).startswith("$") for key in value)


def nodes(file: File) -> list[Spot]:
    return _values(file, is_node)


def _states(file: File) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(The node around it, its object of names)."""

    def within(value: Any, owner: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        if is_node(value):
            owner = value
        elif is_state(value) and owner is not None:
            yield owner, value
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from within(item, owner)

    yield from within(file.manifest["parts"], None)


def free_id(file: File) -> int:
    taken = [held[key].get("id") for held, key in nodes(file)]
    return 1 + max((ident for ident in taken if isinstance(ident, int)), default=0)


def reference_to(file: File, target: dict[str, Any]) -> dict[str, Any]:
    """A `$ref` that leads to this node."""
    return {"$ref": target.setdefault("id", free_id(file))}


def swap_class(file: File, random: Random, others: Others) -> None:
    holder, key = _one(_values(file, lambda value: is_node(value) and "class" in value), random)
    found, roll = holder[key], random.random()
    names = words.CLASSES.get(found["$"], ())
    if names and roll < 0.75:
        found["class"] = random.choice(names)
    elif roll < 0.9:
        found["class"] = random.choice([*words.references(), *canaries.NAMES * 9])
    elif roll < 0.95:
        found["class"] = random.choice(random.choice(list(words.CLASSES.values())))
    else:
        found["class"] = random.choice(words.FOREIGN)


def swap_codec(file: File, random: Random, others: Others) -> None:
    holder, key = _one(nodes(file), random)
    codecs = [held[at]["$"] for other in others for held, at in nodes(other)]
    holder[key]["$"] = _one([*codecs, *words.CLASSES], random)


def rename(file: File, random: Random, others: Others) -> None:
    owner, state = _one([found for found in _states(file) if found[1]], random)
    old, new = random.choice(list(state)), words.taken_name(owner, random)
    items = [(new if key == old else key, value) for key, value in state.items()]
    state.clear()
    state.update(items)


def rename_label(file: File, random: Random, others: Others) -> None:
    """Texts in lists: keys of items, labels of frames, names of fields and of steps."""
    holder, key = _one(
        [(held, at) for held, at in spots(file) if isinstance(held, list) and isinstance(held[at], str)],
        random,
    )
    holder[key] = random.choice(words.PROTOCOLS)


def add_attribute(file: File, random: Random, others: Others) -> None:
    owner, state = _one(list(_states(file)), random)
    state[words.taken_name(owner, random)] = _something(file, random, others)


def set_attribute(file: File, random: Random, others: Others) -> None:
    """An attribute that is there gets another kind of value."""
    _, state = _one([found for found in _states(file) if found[1]], random)
    state[random.choice(list(state))] = _something(file, random, others)


def _something(file: File, random: Random, others: Others) -> Any:
    if others and random.random() < 0.3:
        return _piece(file, random, others)
    return words.anything(random)


def share_tensor(file: File, random: Random, others: Others) -> None:
    found = _values(file, lambda value: isinstance(value, dict) and "$tensor" in value)
    holder, key = _one(found, random)
    holder[key]["$tensor"] = random.choice(list(file.tensors))


def share_node(file: File, random: Random, others: Others) -> None:
    """A reference to another node stands where something else stood."""
    found = nodes(file)
    _, (target_holder, target_key) = _one(found, random), random.choice(found)
    target = target_holder[target_key]
    alike = [spot for spot in found if spot[0][spot[1]]["$"] == target["$"]]
    holder, key = random.choice(alike if random.random() < 0.5 else _values(file, lambda value: True))
    if holder[key] is target:
        raise NotHere
    holder[key] = reference_to(file, target)


def cycle(file: File, random: Random, others: Others) -> None:
    """A node holds itself, or what is around it."""
    holder, key = _one(nodes(file), random)
    target = holder[key]
    inner_holder, inner_key = _one(list(places(target.get("state"))), random)
    inner_holder[inner_key] = reference_to(file, target)


def repeat(file: File, random: Random, others: Others) -> None:
    """One node or one tensor is used by hundreds of nodes."""
    holder, key = _one(nodes(file), random)
    found, times = holder[key], random.choice([3, 50, 400, 3000])
    if random.random() < 0.5:
        copies: list[Any] = [found, *[reference_to(file, found)] * times]
    else:
        bare = {name: value for name, value in found.items() if name != "id"}
        size = len(repr(bare))
        copies = [found, *[bare] * min(times, 1 + 400_000 // size)]
    if isinstance(holder, list) and random.random() < 0.5:
        holder[key : key + 1] = copies
    else:
        holder[key] = node(random.choice(["list", "tuple", "stdlib.SimpleNamespace", "set"]), copies)
        if holder[key]["$"] == "stdlib.SimpleNamespace":
            holder[key]["state"] = {f"a{number}": item for number, item in enumerate(copies)}


def nest(file: File, random: Random, others: Others) -> None:
    holder, key = _one(spots(file), random)
    kind, found = random.choice(["deep", "wide", "keys", "doubled", "partials"]), holder[key]
    ident = free_id(file)
    if kind == "deep":
        for _ in range(random.choice([20, 140, 160, 310])):
            found = node(random.choice(["list", "tuple"]), [found])
    elif kind == "wide":
        found = node("list", [found] * random.choice([100, 5000]))
    elif kind == "partials":
        for _ in range(random.choice([3, 60])):
            found = node("stdlib.partial", [found, node("tuple", []), node("dict", {})])
    else:  # each level holds the one below twice, so that the whole is of 2**depth
        codec = random.choice(["tuple", "frozenset", "list", "slice", "stdlib.partial"])
        depth = random.choice([10, 30, 60])
        levels = [node("tuple", [1, 2], id=ident)]
        for number in range(1, depth):
            twice = [{"$ref": ident + number - 1}] * 2
            state = [1, *twice] if codec == "slice" else [*twice, number]
            levels.append(
                node("tuple" if codec in ("stdlib.partial", "frozenset") else codec, state, id=ident + number)
            )
        last = {"$ref": ident + depth - 1}
        key_node = node("frozenset", [last]) if codec == "frozenset" else last
        found = node("list", [*levels, node("dict", [[key_node], [found]]) if kind == "keys" else last])
    holder[key] = found


def alias(file: File, random: Random, others: Others) -> None:
    """Two nodes of one codec change their states, or the parts of them."""
    holder, key = _one(nodes(file), random)
    found = holder[key]
    alike = [held[at] for held, at in nodes(file) if held[at]["$"] == found["$"] and held[at] is not found]
    other = _one(alike, random)
    one, two = found.get("state"), other.get("state")
    if is_state(one) and is_state(two) and one and random.random() < 0.6:
        name = random.choice(list(one))
        one[name], two[name] = copy.deepcopy(two.get(name)), one[name]
    else:
        found["state"], other["state"] = two, one


def scalar(file: File, random: Random, others: Others) -> None:
    holder, key = _one(_values(file, lambda value: not isinstance(value, (dict, list))), random)
    old = holder[key]
    if isinstance(old, str):
        holder[key] = random.choice(words.TEXTS)
    elif old is None or random.random() < 0.15:
        holder[key] = words.plain(random)
    else:
        holder[key] = random.choice(words.NUMBERS)


def layout(file: File, random: Random, others: Others) -> None:
    """Shapes, strides, offsets: integers in lists, or beside them."""
    found = _values(file, lambda value: isinstance(value, list) and all(type(item) is int for item in value))
    holder, key = _one(found, random)
    sizes = holder[key]
    change = random.choice(["one", "swap", "grow", "drop", "zero"])
    if change == "one" and sizes:
        sizes[random.randrange(len(sizes))] = random.choice(
            [item for item in words.NUMBERS if type(item) is int]
        )
    elif change == "grow":
        sizes.insert(random.randint(0, len(sizes)), random.choice([0, 1, 2, 2**31, 2**62]))
    elif change == "drop" and sizes:
        del sizes[random.randrange(len(sizes))]
    elif change == "zero":
        sizes[:] = [0] * len(sizes)
    else:
        random.shuffle(sizes)


def drop(file: File, random: Random, others: Others) -> None:
    holder, key = _one(spots(file), random)
    if random.random() < 0.4:
        holder[key] = None
    else:
        del holder[key]


def grow(file: File, random: Random, others: Others) -> None:
    holder, key = _one(_values(file, lambda value: isinstance(value, list) and len(value) > 0), random)
    found = holder[key]
    at = random.randrange(len(found))
    found[at:at] = [copy.deepcopy(found[at]) for _ in range(random.choice([1, 1, 5]))]


def move(file: File, random: Random, others: Others) -> None:
    found = spots(file)
    (holder, key), (other, there) = _one(found, random), random.choice(found)
    holder[key] = copy.deepcopy(other[there])


def raw_bytes(file: File, random: Random, others: Others) -> None:
    """Elements of tensors, in the data or inline, become extremes; hashes are right again."""
    inline = _values(file, lambda value: isinstance(value, str) and len(value) % 4 == 0 and len(value) > 3)
    if file.tensors and (random.random() < 0.5 or not inline):
        names = list(file.tensors)
        name = random.choice(names)
        begin, end = file.tensors[name]["data_offsets"]
        changed = _changed(file.data[begin:end], DTYPES.get(file.tensors[name]["dtype"], 4), random)
        file.data = file.data[:begin] + changed + file.data[end:]
        if len(changed) < 64 << 20:
            file.own["hashes"][names.index(name)] = blake3(changed).hexdigest()
        return
    holder, key = _one(inline, random)
    try:
        data = b64decode(holder[key], validate=True)
    except ValueError:
        raise NotHere from None
    holder[key] = b64encode(_changed(data, random.choice([1, 4, 8, 8]), random)).decode()


def _changed(data: bytes, size: int, random: Random) -> bytes:
    raw = bytearray(data)
    if len(raw) < size:
        raise NotHere
    for _ in range(random.choice([1, 1, 2, 9])):
        at = random.randrange(len(raw) // size) * size
        if random.random() < 0.3:
            number = struct.pack("<d", random.choice([float("nan"), float("inf"), -1e300, 0.5, 1e19]))
        else:
            number = struct.pack(
                "<q", random.choice([-1, 0, 1, 2, 5, 100, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63), -2])
            )
        raw[at : at + size] = number[:size] if size < 8 or random.random() < 0.9 else random.randbytes(8)
    return bytes(raw)


def header(file: File, random: Random, others: Others) -> None:
    """A tensor gets another dtype or shape of as many bytes."""
    name = _one(list(file.tensors), random)
    slot = file.tensors[name]
    size = slot["data_offsets"][1] - slot["data_offsets"][0]
    dtype = random.choice([key for key, item in DTYPES.items() if size % item == 0])
    count = size // DTYPES[dtype]
    shapes = [[count], [count, 1], [1, count], [1, 1, count], *([[2, count // 2]] if count % 2 == 0 else [])]
    slot["dtype"], slot["shape"] = dtype, random.choice(shapes)


def splice(file: File, random: Random, others: Others) -> None:
    """A node of another file stands where one stood, under whatever name that has."""
    holder, key = _one(_values(file, is_value), random)
    holder[key] = _piece(file, random, others)


def _piece(file: File, random: Random, others: Others) -> Any:
    other = _one(others, random)
    return piece_of(file, other, _one(nodes(other), random))


def piece_of(file: File, other: File, spot: Spot) -> Any:
    """A copy of a node of another file, with its tensors, and ids of its own."""
    piece = copy.deepcopy(spot[0][spot[1]])
    first, ids, known = free_id(file), dict[Any, int](), list(places([piece]))
    for held, at in known:
        found = held[at]
        if is_node(found) and "id" in found:
            found["id"] = ids.setdefault(found["id"], first + len(ids))
    for held, at in known:
        found = held[at]
        if isinstance(found, dict) and "$ref" in found:
            held[at] = {"$ref": ids[found["$ref"]]} if found["$ref"] in ids else None
        elif isinstance(found, dict) and "$tensor" in found:
            slot = other.tensors.get(found["$tensor"])
            if slot is None:
                raise NotHere
            begin, end = slot["data_offsets"]
            name = f"spliced/{len(file.tensors)}"
            at_byte = len(file.data)
            file.tensors[name] = {**slot, "data_offsets": [at_byte, at_byte + end - begin]}
            file.data += other.data[begin:end]
            file.own["hashes"].append(blake3(other.data[begin:end]).hexdigest())
            found["$tensor"] = name
    return piece


MUTATIONS: dict[str, Mutation] = {
    made.__name__: made
    for made in (
        swap_class, swap_codec, rename, rename_label, add_attribute, set_attribute, share_tensor, share_node,
        cycle, repeat, nest, alias, scalar, layout, drop, grow, move, raw_bytes, header, splice,
    )
}  # fmt: skip

_WEIGHTS = {"swap_class": 3, "rename": 2, "add_attribute": 4, "set_attribute": 4, "scalar": 3, "raw_bytes": 3,
            "splice": 2, "swap_codec": 0.5, "drop": 0.5, "move": 0.7}  # fmt: skip


def mutate(file: File, random: Random, others: Others) -> list[str]:
    """Change the file in one to three ways; the names of them."""
    done: list[str] = []
    if random.random() < 0.9:  # else what says the order of an object's names is among what is changed
        for holder, key in list(places(file.manifest["parts"])):
            if key == "$order":
                del holder[key]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        for _ in range(8):
            (name,) = random.choices(list(MUTATIONS), [_WEIGHTS.get(name, 1) for name in MUTATIONS])
            try:
                MUTATIONS[name](file, random, others)
            except (NotHere, KeyError, TypeError, IndexError, ValueError, AttributeError):
                continue  # an earlier change left nothing that it could read
            done.append(name)
            break
    return done
