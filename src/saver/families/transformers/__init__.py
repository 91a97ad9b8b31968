"""Transformers: models, their configurations, tokenizers, processors and feature extractors."""

from __future__ import annotations

from saver.family import Change, Family

_BATCH = "save dict(it), which has the arrays"

FAMILY = Family(
    name="transformers",
    packages=("transformers",),
    extra="transformers",
    classes="saver.families.transformers:classes.json",
    codecs="saver.families.transformers.codecs",
    checks="saver.families.transformers.checks",
    references="saver.families.transformers.references",
    data=frozenset(
        (
            # models set these anew from those of their class and of the models that they contain
            "_ep_plan", "_fsdp_plan", "_keep_in_fp32_modules", "_keep_in_fp32_modules_strict",
            "_keys_to_ignore_on_load_missing", "_keys_to_ignore_on_load_unexpected",
            "_keys_to_ignore_on_save", "_no_split_modules", "_pp_plan", "_skip_keys_device_placement",
            "_tied_weights_keys", "_tp_plan",
        )
    ),
    anew=frozenset(
        (
            # what was called with output_hidden_states=True has hooks from then on
            "_output_capturing_hooks_installed",
            "transformers.utils.output_capturing:"
            "install_output_capuring_hook.<locals>.output_capturing_hook",
        )
    ),
    change=Change(
        "warning",
        "warning",
        "ok",
        "the weights are the same; another version of a model's class may expect attributes that this one "
        "did not have: compare outputs",
    ),
    instead={
        "transformers.tokenization_utils_base.BatchEncoding": _BATCH,
        "transformers.feature_extraction_utils.BatchFeature": _BATCH,
        "transformers.cache_utils.Cache": "it is filled anew from the tokens; save those",
        "transformers.pipelines.base.Pipeline": "save its model and its tokenizer, and make it from them",
        "transformers.trainer.Trainer": "save its model; saver.integrations.transformers.SaverCallback saves "
        "a training that can be resumed",
    },
)  # fmt: skip
