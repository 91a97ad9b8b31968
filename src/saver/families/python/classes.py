"""The results of `class` and `def` statements: functions, classes, and instances by their attributes."""

from __future__ import annotations

import enum
import types
from collections.abc import Iterable
from typing import Any
from weakref import WeakSet

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder, codec_for, native_base, nothing, own_dict
from saver.codec.ways import way_out
from saver.errors import CannotSaveError, kind_of
from saver.tree import Node, Value


class FunctionCodec(Codec):
    """Functions and ufuncs that a module exports, by name."""

    name = "function"
    shared = False
    types = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, uses.CACHED)

    def accepts(self, cls: type) -> bool:
        return any(cls is each for each in self.types) or trust.is_ufunc(cls)

    def class_of(self, obj: Any) -> str:
        for name in trust.names_of(obj):
            if trust.find(name) is obj:
                return name
        bound = obj.__self__ if isinstance(obj, types.BuiltinFunctionType) else None
        if not isinstance(bound, (types.ModuleType, type(None))):
            raise CannotSaveError(f"a method of an object has no data form; {way_out(obj)}")
        if getattr(obj, "__name__", "") == "<lambda>":
            what = "a lambda"
        else:
            what = f"the function {getattr(obj, '__qualname__', obj)!r}, which its module does not export,"
        raise CannotSaveError(
            f"{what} has no data form; use a function at the top level of a module, register a codec "
            "(docs/codecs.md), or leave it out"
        )

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        nothing(node.state)
        found = decoder.cls(node)
        if isinstance(found, type) or not callable(found):
            raise ValueError(f"{found!r} is not a function")
        return found


class ClassCodec(Codec):
    """Classes as values: `dtype=np.float64`."""

    name = "class"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, type)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(obj)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        nothing(node.state)
        found = decoder.cls(node)
        if not isinstance(found, type):
            raise ValueError(f"{found!r} is not a class")
        return found


class EnumCodec(Codec):
    """Members by name; combined flags, which have no name, by value."""

    name = "enum"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, enum.Enum)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if obj.name in type(obj).__members__:
            return obj.name  # type: ignore[no-any-return]
        if type(obj.value) is not int or not isinstance(obj, enum.Flag):
            encoder.refuse(f"{obj!r} is not a member of {type(obj).__qualname__}; save its value instead")
        return [encoder(obj.value)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
            raise ValueError(f"{cls!r} is not an enum")
        if isinstance(node.state, str):
            return cls._member_map_[node.state]
        (state,) = node.state
        value = decoder(state)
        if type(value) is not int or not issubclass(cls, enum.Flag):
            raise ValueError("only combined flags have a value and no name")
        # without calling `_missing_` of the class, which may be code of its own
        found = cls._value2member_map_.get(value)
        return enum.Flag._missing_.__func__(cls, value) if found is None else found  # type: ignore[attr-defined]


class ClosedCodec(Codec):
    """A codec of objects that have a dict, in which nothing but `fields` belongs."""

    fields: tuple[str, ...] = ()

    def unsaved(self, obj: Any) -> Iterable[str]:
        return [name for name in own_dict(obj) if name not in self.fields]


class NamedTupleCodec(Codec):
    """Named tuples, made without calling `__new__` of the class; and what is in their dict, as in the results
    of SciPy, which say more than the tuple does."""

    name = "namedtuple"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, tuple) and _tuple_fields(cls) is not None

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        names, items = type(obj)._fields, tuple(obj)
        if len(items) != len(names):
            encoder.refuse(
                f"{kind_of(obj)} has {len(names)} fields, and this one holds {len(items)} items; "
                "make it anew from its fields, or save tuple(it)"
            )
        fields: Value = {name: encoder(item, name) for name, item in zip(names, items, strict=True)}
        for name, value in own_dict(obj).items():
            if isinstance(value, types.ModuleType):
                encoder.refuse(
                    f"{name!r} of {kind_of(obj)} is a module, which has no data form; save "
                    "tuple(it), and what you need of its attributes"
                )
        more = encoder.attributes(obj, data=_beside(type(obj)))
        return [fields, more] if more else fields

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        fields, more = node.state if type(node.state) is list else (node.state, {})
        if not (isinstance(cls, type) and self.accepts(cls)) or tuple(fields) != _tuple_fields(cls):
            raise ValueError(f"the fields are not those of {cls!r}")
        made: Any = tuple.__new__(cls, (decoder(item) for item in fields.values()))
        if more:
            decoder.keep(node, made)
            decoder.fill_attributes(made, more, _beside(cls))
        return made


def _tuple_fields(cls: type) -> tuple[str, ...] | None:
    fields = getattr(cls, "_fields", None)
    plain = isinstance(fields, tuple) and all(isinstance(name, str) for name in fields)
    return fields if plain and cls.__base__ is not None and tuple in cls.__mro__ else None


def _beside(cls: type) -> frozenset[str]:
    """What a named tuple of SciPy says beside its items, by properties that read its dict."""
    names = getattr(cls, "_extra_fields", ())
    return frozenset(names) if isinstance(names, tuple) else frozenset()


def declared(cls: type) -> frozenset[str]:
    """The fields of a dataclass: names that the class declares as data although it may have defaults."""
    return frozenset(getattr(cls, "__dataclass_fields__", ()))


class DataclassCodec(Codec):
    """Dataclasses by their attributes; neither `__init__` nor `__post_init__` runs."""

    name = "dataclass"
    early = True
    by_attributes = True

    def accepts(self, cls: type) -> bool:
        return hasattr(cls, "__dataclass_fields__") and native_base(cls) is None

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.attributes(obj, data=declared(type(obj)))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a dataclass")
        return self._build(cls, node, decoder)

    def _build(self, cls: type, node: Node, decoder: Decoder) -> Any:
        """An instance with the attributes of the node's state; no code of the class runs."""
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        decoder.fill_attributes(obj, node.state, declared(cls))
        return obj


def other_form(cls: type) -> type | None:
    """The class itself or a base of it, whose instances have a data form that is not their attributes; None
    if there is none."""
    for base in cls.__mro__[:-1]:
        codec = codec_for(base) if base is not cls or not trust.is_registered(cls) else None
        if codec is not None and not codec.by_attributes:
            return base
    return None


class ObjectCodec(DataclassCodec):
    """Instances of classes that the user registered, by their attributes."""

    name = "object"

    def __init__(self) -> None:
        self._sound = WeakSet[type]()

    def accepts(self, cls: type) -> bool:
        return trust.is_registered(cls) and self.registers(cls)

    def registers(self, cls: type) -> bool:
        """Whether attributes can be the whole state: no base was made in C, or has a data form of its own."""
        return native_base(cls) is None and other_form(cls) is None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self._may_build(cls)):
            raise ValueError(f"attributes are not all that a {cls!r} is made of")
        return self._build(cls, node, decoder)

    def _may_build(self, cls: type) -> bool:
        """Whether `registers` holds. What was sound once remains so when a class is registered."""
        if cls not in self._sound and self.registers(cls):
            self._sound.add(cls)
        return cls in self._sound
