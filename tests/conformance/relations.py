# ruff: noqa: E501
"""Values of layer 3 whose pieces must fit each other: masks and their data, fields and their structure, keys and hashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forms import floats
from pieces import b64, dumps, node
from randomness import words

ADDRESSES = {
    "IPv4Address": (["1.2.3.4"], ["1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "", "a", "1.2.3.4/24"]),
    "IPv4Interface": (["1.2.3.4/24"], ["1.2.3.4", "1.2.3.4/33", "1.2.3.4/255.255.255.0", "1.2.3.4/024"]),
    "IPv4Network": (["1.2.3.0/24"], ["1.2.3.4/24", "1.2.3.0"]),
    "IPv6Address": (["::", "1::", "2001:db8::1:0:0:1", "1:0:2::", "1:0:0:2::", "1:2:3:4:5:6:7:8", "fe80::1%eth0"],
                    ["1:2:3:4:5:6:7", "0:0::1", "1:0:0:2:3:4:5:6", "2001:DB8::1", "::01", "1::2::3", "::1.2.3.4", "g::", "1:2:3:4:5:6::8", "::1%"]),
    "IPv6Interface": (["::1/64"], ["::1", "::1/129"]), "IPv6Network": (["2001:db8::/32"], ["2001:db8::1/32"]),
}  # fmt: skip
"""Texts of each class, and texts that are not of it."""

OBJECTS = node("numpy.array", {"dtype": "|O", "items": [1], "shape": [1]})
PAIR = {"names": ["a"], "formats": ["|O"], "offsets": [0], "itemsize": 8}
STRUCT = {
    "names": ["a", "b"],
    "formats": ["|u1", {"base": "<i2", "shape": [2]}],
    "offsets": [0, 2],
    "itemsize": 6,
}
MASK = {
    "names": ["a", "b"],
    "formats": ["|b1", {"base": "|b1", "shape": [2]}],
    "offsets": [0, 1],
    "itemsize": 3,
}


def array(dtype: Any, shape: list[int], data: bytes) -> dict[str, Any]:
    return node("numpy.array", {"dtype": dtype, "shape": shape, "data": b64(data)})


def masked(data: Any, mask: Any, fill: Any = None) -> dict[str, Any]:
    return node("numpy.masked", {"data": data, "mask": mask, "fill_value": fill, "hard": False})


def structure(dtype: Any, shape: list[int], *fields: Any) -> dict[str, Any]:
    return node("numpy.array", {"dtype": dtype, "shape": shape, "fields": list(fields)})


def record(name: str, **attributes: Any) -> dict[str, Any]:
    return node("stdlib.record", [name, attributes])


LOCK, EMPTY = node("stdlib.lock", ["Lock"]), node("dict", {})
LOGGER, NUMBERS = node("stdlib.Logger", "a"), array("|u1", [2], b"\1\2")


def sound() -> Iterator[tuple[str, dict[str, Any], str]]:
    for kind, (texts, _) in ADDRESSES.items():
        for at, text in enumerate(texts):
            yield f"address-{kind}-{at}", node("stdlib.address", [kind, text]), f"the {kind} {text}"
    found = {
        "masked-struct": masked(array(STRUCT, [1], bytes(6)), array(MASK, [1], b"\0\1\0"), array(STRUCT, [], bytes(6))),
        "masked-fill": masked(NUMBERS, array("|b1", [2], b"\0\1"), array("|u1", [], b"\7")),
        "fields-axes": structure({**PAIR, "formats": [{"base": "|O", "shape": [1]}]}, [1], node(
            "numpy.array", {"dtype": "|O", "items": [1], "shape": [1, 1]})),
        "adapter": node("stdlib.LoggerAdapter", [LOGGER, EMPTY]), "condition": node("stdlib.lock", ["Condition", LOCK]),
        "barrier": node("stdlib.lock", ["Barrier", 2, 1.5]), "semaphore": node("stdlib.lock", ["Semaphore", 1]),
        "partial": node("stdlib.partial", [node("function", None, "math:sqrt"), node("tuple", [4]), EMPTY]),
        "record-ChainMap-kinds": record("ChainMap", maps=node("list", [node("stdlib.Counter", {}), record("UserDict", data=EMPTY)])),
        "seeds-numpy": seeds(node("numpy.scalar", ["<i4", 5])), "seeds-array": seeds(words("<u4", 3)),
        "subclass-matrix": node("numpy.subclass", ["matrix", array("|u1", [1, 1], b"\1")]),
        "subclass-chararray": node("numpy.subclass", ["chararray", array("|S1", [1], b"a")]),
        "zone": node("stdlib.datetime", ["2020-01-31T12:00:00", node("stdlib.ZoneInfo", "UTC"), 0]),
    }  # fmt: skip
    for name, value in found.items():
        yield name, value, f"the value {dumps(value)[:70]}"


def seeds(entropy: Any, key: Any = None) -> dict[str, Any]:
    state = {
        "entropy": entropy,
        "spawn_key": key or node("tuple", []),
        "pool_size": 4,
        "n_children_spawned": 0,
    }
    return node("numpy.SeedSequence", state)


NO_HASH = {
    "deque": node("stdlib.deque", [None, []]), "counter": node("stdlib.Counter", {}), "ordered": node("stdlib.OrderedDict", {}),
    "default": node("stdlib.defaultdict", [None, {}]), "namespace": node("stdlib.SimpleNamespace", {}), "masked": masked(NUMBERS, None),
    "array": node("stdlib.array", ["d", 8, ""]), "poly1d": node("numpy.poly1d", [floats(1), "x"]), "numpy": NUMBERS,
    "UserDict": record("UserDict", data=EMPTY), "UserList": record("UserList", data=node("list", [])),
    "Namespace": record("Namespace"), "bytearray": node("bytearray", ""), "chain": record("ChainMap", maps=node("list", [EMPTY])),
}  # fmt: skip


def unsound() -> Iterator[tuple[str, dict[str, Any], str, str]]:
    for name, value in NO_HASH.items():
        yield f"no-hash-{name}", node("set", [value]), "3.01", f"a set with a {name}, which has no hash"
        key = node("dict", [[node("tuple", [value])], [1]])
        yield f"no-hash-{name}-in-tuple", key, "3.01", f"a key with a {name}, which has no hash"
    yield (
        "no-hash-itself",
        node("stdlib.Counter", [[{"$ref": 1}], [1]], id=1),
        "3.01",
        "a counter that is its own key",
    )
    for kind, (_, texts) in ADDRESSES.items():
        for at, text in enumerate(texts):
            yield (
                f"form-address-{kind}-{at}",
                node("stdlib.address", [kind, text]),
                "3.01",
                f"the {kind} {text!r}",
            )
    for name, value in _wrong().items():
        yield f"form-{name}", value, "3.01", f"the value {dumps(value)[:70]}"
    yield (
        "field-object",
        structure({**PAIR, "offsets": [1]}, [1], OBJECTS),
        "3.11",
        "an object, of 8 bytes, at byte 1 of 8",
    )
    yield (
        "field-object-small",
        structure({**PAIR, "itemsize": 7}, [1], OBJECTS),
        "3.11",
        "an object in 7 bytes",
    )


def _wrong() -> dict[str, dict[str, Any]]:
    bools = array("|b1", [2], b"\0\1")
    moment = ["2020-01-31T12:00:00", node("stdlib.deque", [None, []]), 0]
    lists: dict[str, list[dict[str, Any]]] = {
        "fits": [
            masked(NUMBERS, array("|b1", [1], b"\1")), masked(NUMBERS, array("|b1", [], b"\1")), masked(NUMBERS, NUMBERS),
            masked(NUMBERS, bools, NUMBERS), masked(NUMBERS, bools, array("<i4", [], bytes(4))),
            masked(array(STRUCT, [1], bytes(6)), array("|b1", [1], b"\1")), masked(array(STRUCT, [1], bytes(6)), array(STRUCT, [1], bytes(6))),
        ],
        "fields": [
            structure(PAIR, [], OBJECTS), structure(PAIR, [2], OBJECTS), structure(PAIR, [1], array("|u1", [1], b"\1")),
            structure({**PAIR, "formats": [{"base": "|O", "shape": [1]}]}, [1], OBJECTS),
        ],
        "scalar-kind": [node("numpy.scalar", state) for state in (
            ["<f8", 2], ["<i4", {"$float": 2}], [">f8", 1.5], [">i4", 5], ["U", "a", "record"], ["<f8", 1.5, "record"],
            ["<f8", NUMBERS], ["<f8", array("<f8", [1], bytes(8))], ["<f8", array("<i8", [], bytes(8))])],
        "pattern-flags": [node("stdlib.Pattern", ["a", flags]) for flags in (33, 1, 128, 512, 36)],
        "NormalDist-more": [record("NormalDist", _mu=1.5, _sigma=1.5, a=1)],
        "ChainMap-maps": [record("ChainMap", maps=node("list", [each])) for each in (
            node("list", []), NUMBERS, record("UserList", data=node("list", [])), node("stdlib.SimpleNamespace", {}))],
        "zone": [node("stdlib.datetime", moment), node("stdlib.time", ["12:00:00", EMPTY, 0])],
        "adapter": [node("stdlib.LoggerAdapter", [each, EMPTY]) for each in (5, EMPTY, node("list", []))],
        "partial-of": [node("stdlib.partial", [each, node("tuple", []), EMPTY]) for each in (5, EMPTY, node("stdlib.deque", [None, []]))],
        "lock": [node("stdlib.lock", state) for state in (
            ["Semaphore", 0], ["Semaphore", 2**31 + 1], ["BoundedSemaphore", 0], ["Barrier", 0, None], ["Barrier", 1, "a"],
            ["Barrier", 1, -1], ["Barrier", 1, None, 1], ["Barrier", 1, EMPTY], ["Condition", node("stdlib.lock", ["Event"])], ["Condition", 5])],
        "getter": [node("stdlib.getter", ["attrgetter", node("tuple", [name])]) for name in ("a b", "1", "a..b", "")],
        "seeds": [seeds(5, node("tuple", [None])), seeds(array("|i1", [1], b"\xff")), seeds(floats(1)),
                  seeds(node("numpy.scalar", ["<f8", 1.5])), seeds(node("list", [None]))],
        "coefficients": [node("numpy.poly1d", [array("|S1", [1], b"a"), "x"]), node("numpy.poly1d", [array("<M8[s]", [1], bytes(8)), "x"])],
        "matrix": [node("numpy.subclass", ["matrix", NUMBERS]), node("numpy.subclass", ["chararray", NUMBERS])],
    }  # fmt: skip
    return {f"{name}-{at}": value for name, values in lists.items() for at, value in enumerate(values)}


__all__ = ["sound", "unsound"]
