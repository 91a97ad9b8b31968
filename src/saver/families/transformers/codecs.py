"""Configurations, tokenizers, processors and feature extractors, by their attributes. Models are modules of
PyTorch, and are stored as those are."""

from __future__ import annotations

import enum
import re
from typing import Any

from transformers import FeatureExtractionMixin, GenerationConfig, PreTrainedConfig, ProcessorMixin
from transformers.generation.configuration_utils import BaseWatermarkingConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.image_utils import SizeDict
from transformers.tokenization_python import PythonBackend, Trie
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder
from saver.families.python import kinds
from saver.families.python.classes import declared
from saver.families.python.whole import AttributesRestorer
from saver.families.transformers import checks, files
from saver.restoring import Restorer
from saver.tree import Node, Value

_BASES = (
    PreTrainedConfig, GenerationConfig, BaseWatermarkingConfig, ProcessorMixin, FeatureExtractionMixin,
    ImageProcessingMixin, TokenizersBackend, PythonBackend, Trie,
)  # fmt: skip

_PARTS = frozenset({"transformers.models.cpmant.tokenization_cpmant:WordpieceTokenizer"})
"""What tokenizers hold of their own making, and save as they are, without one of these bases."""

_HOMES = ("transformers", "tokenizers", "sentencepiece")

_TEMPLATE = "chat_template"
_RUNS = "transformers.utils.chat_template_utils:render_jinja_template"


_OF_THE_CLASS = frozenset(("attribute_map", "sub_configs", "sub_configs_defaults", "vocab_files_names"))
"""What a class alone says: `attribute_map` would rename what is read from a configuration;
`vocab_files_names`, the files that a tokenizer writes."""


def data_of(cls: type) -> frozenset[str]:
    """The names of what instances hold as data though their class has a value for it: the fields of
    configurations, which are dataclasses, and the defaults of processors."""
    if cls not in _data:
        _data[cls] = declared(cls) | frozenset(
            name
            for base in cls.__mro__
            if base.__module__.partition(".")[0] == "transformers"
            for name, value in vars(base).items()
            if isinstance(value, (list, tuple, dict, set, enum.Enum, SizeDict)) and name not in _OF_THE_CLASS
        )
    return _data[cls]


_data: dict[type, frozenset[str]] = {}


class ObjectCodec(Codec):
    """Such objects by their attributes; no code of the class runs. A chat template is a program in Jinja, so
    it is a node of its own, for which loading needs trust."""

    name = "transformers.object"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, _BASES) or f"{cls.__module__}:{cls.__qualname__}" in _PARTS

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        template = vars(obj).get(_TEMPLATE)
        form = files.form_of(type(obj))
        left_out = frozenset((_TEMPLATE,)) if template is not None else frozenset[str]()
        left_out |= files.left_out(obj, form) if form else frozenset()
        found = encoder.attributes(obj, left_out, data_of(type(obj)))
        if form:
            encoder.check(files.check_anew, obj, form)
            encoder.check(files.settings, obj)
            found[files.SETTINGS] = encoder(files.settings(obj), files.SETTINGS)
        if template is None:
            return found
        encoder.check(_check_template, template)
        return [found, Node(TemplateCodec.name, _RUNS, state=_TEMPLATES.encode(template, encoder))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a class that this codec builds")
        attributes, template = node.state if type(node.state) is list else (node.state, None)
        if type(attributes) is not dict or attributes.get(_TEMPLATE) is not None:
            raise ValueError("a chat template is among the attributes")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        decoder.fill_attributes(obj, attributes, data_of(cls))
        if template is not None:
            if type(template) is not Node or template.codec != TemplateCodec.name:
                raise ValueError("the chat template is something else")
            vars(obj)[_TEMPLATE] = decoder(template)
        return obj

    def claim(self, obj: Any) -> None:
        form = files.form_of(type(obj))
        if form:
            files.forget(obj, form)

    def check(self, obj: Any) -> None:
        uses.check(vars(obj), {}, True)
        uses.check_objects(vars(obj), vars(obj).keys(), _HOMES)
        if isinstance(obj, PreTrainedConfig):
            checks.check_configuration(obj)
            kinds.check(type(obj), vars(obj))
        elif isinstance(obj, TokenizersBackend):
            checks.check_tokenizer(obj)
        elif form := files.form_of(type(obj)):
            checks.check_pieces(obj, form.models)


class TemplateCodec(Codec):
    """Chat templates, texts or several by name, whose nodes name the function that runs them: so an audit
    asks for trust in it."""

    name = "transformers.template"
    shared = False

    def class_of(self, obj: Any) -> str:
        return _RUNS

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.own(obj) if type(obj) is dict else encoder(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        decoder.cls(node)
        found = decoder(node.state)
        _check_template(found)
        return found


def _check_template(found: Any) -> None:
    texts = [*found, *found.values()] if type(found) is dict else [found]
    if not all(type(text) is str for text in texts):
        raise ValueError("a chat template is neither a text nor texts by name")
    if type(found) is dict and any(_SEPARATOR.search(name) for name in found):
        raise ValueError(
            "the name of a chat template is a path; `save_pretrained` writes a file of that name"
        )


_SEPARATOR = re.compile(r"[/\\:\0]|^\.")

_TEMPLATES = TemplateCodec()


CODECS: tuple[Codec, ...] = (ObjectCodec(), _TEMPLATES)

RESTORERS: tuple[Restorer, ...] = (AttributesRestorer(_BASES, ObjectCodec.name),)
