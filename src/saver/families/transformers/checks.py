"""What must hold of objects of Transformers, so that using them fetches no code.

Transformers can fetch kernels from the hub, by names that stand in a configuration (`owner/kernel`), when a
model is made of it; and a model with `_use_kernels` does so when it is put into another mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from saver import trust
from saver.codec import shown

_IMPLEMENTATIONS = ("_attn_implementation_internal", "_experts_implementation_internal")

_KERNELS = ("kernel_config", "_use_kernels")


def check_configuration(obj: Any) -> None:
    """Raise ValueError if a configuration names code of the hub."""
    for name in _IMPLEMENTATIONS:
        found = vars(obj).get(name)
        for each in found.values() if type(found) is dict else (found,):
            if each is not None and (type(each) is not str or not each.replace("|", "").isidentifier()):
                raise ValueError(f"{name} is {shown(each)}: kernels of the hub are code; use sdpa or eager")


def check_tokenizer(obj: Any) -> None:
    """Raise ValueError unless what is compiled of a tokenizer is there."""
    from tokenizers import Tokenizer

    if type(vars(obj).get("_tokenizer")) is not Tokenizer:
        raise ValueError("a tokenizer holds no compiled one")


def check_pieces(obj: Any, models: tuple[str, ...]) -> None:
    """Raise ValueError unless a tokenizer of SentencePiece has its models, and makes its own normalizer."""
    from sentencepiece import SentencePieceProcessor

    own = vars(obj)
    if any(type(own.get(name)) is not SentencePieceProcessor for name in models):
        raise ValueError("a tokenizer holds no model of SentencePiece")
    for options in (own.get(_OPTIONS), own["init_kwargs"].get(_OPTIONS, {})):
        if type(options) is not dict or not _MODELS.isdisjoint(options):
            raise ValueError(f"{_OPTIONS} of a tokenizer are not options, or name another model")
    found = own.get("_normalizer")
    if found is not None and trust.class_name(type(found)) != _NORMALIZER:
        raise ValueError(f"_normalizer is {shown(found)}, not the one that the tokenizer makes")


_OPTIONS = "sp_model_kwargs"
_MODELS = frozenset(("model_file", "model_proto"))
_NORMALIZER = "transformers.models.speecht5.number_normalizer:EnglishNumberNormalizer"


def check_model(obj: Any) -> None:
    """Raise ValueError if a model would fetch kernels, or says of itself what its class says."""
    own = vars(obj)
    for name in _KERNELS:
        if own.get(name):
            raise ValueError(f"{name} is set: kernels of the hub are code; make the model without them")
    if "_can_record_outputs" in own:
        raise ValueError("'_can_record_outputs' belongs to the class of a model")


def remember_outputs(obj: Any) -> None:
    """Let `output_hidden_states` and `output_attentions` work as in a model that its constructor made, which
    writes down for its class where they come from."""
    from transformers.utils import output_capturing

    known = getattr(output_capturing, "_CAN_RECORD_REGISTRY", None)
    if known is not None:
        known[obj] = getattr(type(obj), "_can_record_outputs", None)


_MODEL = "transformers.modeling_utils:PreTrainedModel"


def of_an_activation(obj: Any) -> Mapping[str, frozenset[str]]:
    """The function that it is."""
    return {"act": frozenset(("activation",))}


CALLABLES: dict[str, Callable[[Any], Mapping[str, frozenset[str]]]] = {
    f"transformers.activations:{name}": of_an_activation
    for name in ("GELUActivation", "GELUTanh", "MishActivation")
}
CHECKS: dict[str, Callable[[Any], None]] = {_MODEL: check_model}
CLAIMS: dict[str, Callable[[Any], None]] = {_MODEL: remember_outputs}
