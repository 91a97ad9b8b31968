"""Small models of each architecture that loads without trust, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CONFIG_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING, AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "n_embd": 16, "d_model": 16, "dim": 16, "embedding_size": 16,
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2,
    "decoder_layers": 2, "num_attention_heads": 2, "n_head": 2, "n_heads": 2, "num_heads": 2,
    "num_key_value_heads": 2, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "intermediate_size": 24, "ffn_dim": 24, "d_ff": 24, "d_kv": 8, "hidden_dim": 24, "d_inner": 24,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "ffn_hidden_size": 24, "head_dim": 8, "d_head": 8,
    "max_position_embeddings": 64, "n_positions": 64, "max_source_positions": 16, "max_target_positions": 32,
    "image_size": 64, "patch_size": 8, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3,
    "decoder_start_token_id": 2, "num_experts": 2, "num_local_experts": 2, "word_embed_proj_dim": 16,
    "attention_window": 8, "num_mel_bins": 8, "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "sliding_window": 8, "query_pre_attn_scalar": 8, "relative_attention_num_buckets": 8,
}  # fmt: skip

OTHERS: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "clip": {
        "text_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                        "intermediate_size": 24, "vocab_size": 40, "bos_token_id": 2, "eos_token_id": 3,
                        "pad_token_id": 1},
        "vision_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                          "intermediate_size": 24, "image_size": 32, "patch_size": 8},
        "projection_dim": 8,
    },
    "convnext": {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1]},
    "resnet": {"hidden_sizes": [4, 8, 12, 16], "depths": [1, 1, 1, 1], "embedding_size": 4},
    "swin": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 2, "patch_size": 4},
    "segformer": {"hidden_sizes": [4, 8, 8, 8], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1]},
    "wav2vec2": {"conv_dim": (8, 8), "conv_kernel": (4, 2), "conv_stride": (4, 2)},
    "hubert": {"conv_dim": (8, 8), "conv_kernel": (4, 2), "conv_stride": (4, 2), "conv_pos_batch_norm": True},
    "mpnet": {"relative_attention_num_buckets": 32},
}  # fmt: skip
"""Sizes that have other names or forms in a few architectures."""

TEXT = (
    "albert", "bert", "bloom", "camembert", "deberta-v2", "distilbert", "electra", "falcon", "gemma",
    "gemma2", "gpt2", "gpt_neo", "gpt_neox", "llama", "longformer", "mistral", "mixtral", "modernbert",
    "mpnet", "opt", "phi", "qwen2", "qwen3", "roberta", "xlm-roberta", "xlnet",
)  # fmt: skip
TRANSLATING = ("bart", "marian", "mbart", "mt5", "pegasus", "t5")
SEEING = ("beit", "convnext", "deit", "dinov2", "resnet", "segformer", "swin", "vit")
HEARING = ("hubert",)
KINDS = (*TEXT, *TRANSLATING, *SEEING, *HEARING, "clip", "whisper")


def configuration(kind: str) -> Any:
    cls = CONFIG_MAPPING[kind]
    given = {name: size for name, size in SIZES.items() if name in vars(cls())}
    if kind == "longformer":
        given["attention_window"] = [8, 8]
    return cls(**{**given, **OTHERS.get(kind, {})})


def model(kind: str, seed: int = 0) -> Any:
    """The bare model, in the mode for use."""
    torch.manual_seed(seed)
    return AutoModel.from_config(configuration(kind)).eval()


def headed(kind: str, task: str) -> Any:
    """The model with a head: `generating` or `classifying`; None if there is none."""
    torch.manual_seed(0)
    heads = {
        "generating": MODEL_FOR_CAUSAL_LM_MAPPING,
        "classifying": MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    }
    found, settings = heads[task], configuration(kind)
    return found[type(settings)](settings).eval() if type(settings) in found else None


def inputs(kind: str) -> dict[str, Any]:
    """What such a model is called with."""
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, 40, (2, 8), generator=draw)
    tokens[:, -1] = 3  # the end
    if kind in SEEING:
        return {"pixel_values": torch.randn(2, 3, 64, 64, generator=draw)}
    if kind in HEARING:
        return {"input_values": torch.randn(2, 400, generator=draw)}
    if kind == "clip":
        return {"input_ids": tokens, "pixel_values": torch.randn(2, 3, 32, 32, generator=draw)}
    if kind == "whisper":
        return {"input_features": torch.randn(2, 8, 32, generator=draw), "decoder_input_ids": tokens}
    more = {"decoder_input_ids": tokens} if kind in TRANSLATING else {}
    return {"input_ids": tokens, **more}


def outputs(made: Any, given: dict[str, Any]) -> dict[str, bytes]:
    """All tensors of the answer, with the hidden states."""
    with torch.no_grad():
        found = made(**given, output_hidden_states=True, return_dict=True)
    return {name: b"".join(_bytes(value)) for name, value in found.items() if "past" not in name}


def _bytes(value: Any) -> list[bytes]:
    if isinstance(value, torch.Tensor):
        return [value.contiguous().numpy().tobytes()]
    if isinstance(value, (tuple, list)):
        return [found for item in value for found in _bytes(item)]
    return []
