"""The parameters of training that a booster keeps, and those that a file must not decide."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9_]{0,60}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f\"\\:{}]*")

PLACES = frozenset(
    (
        "config", "config_file", "data", "train", "train_data", "train_data_file", "data_filename",
        "valid", "test", "valid_data", "valid_data_file", "test_data", "test_data_file",
        "valid_filenames", "input_model", "model_input", "model_in", "output_model", "model_output",
        "model_out", "output_result", "predict_result", "prediction_result", "predict_name",
        "prediction_name", "pred_name", "name_pred", "initscore_filename", "init_score_filename",
        "init_score_file", "init_score", "input_init_score", "valid_data_initscores",
        "forcedsplits_filename", "fs", "forced_splits_filename", "forced_splits_file", "forced_splits",
        "forcedbins_filename", "parser_config_file", "convert_model", "convert_model_file",
        "machine_list_filename", "machine_list_file", "machine_list", "mlist", "machines", "workers",
        "nodes",
    )
)  # fmt: skip
"""Parameters that name files or machines, which LightGBM would open, and their aliases."""

_THREADS = frozenset(("num_threads", "num_thread", "nthread", "nthreads", "n_jobs"))
_MOST_THREADS = 4096


def check(parameters: Any) -> None:
    """Raise ValueError unless these are parameters as LightGBM writes them into its text."""
    if type(parameters) is not dict:
        raise ValueError("the parameters are not a dict")
    for name, value in parameters.items():
        if type(name) is not str or not _NAME.fullmatch(name) or type(value) is not str:
            raise ValueError(f"{name!r:.60} is not a parameter")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the parameter {name} is {value!r:.60}, which LightGBM's text cannot hold")
    check_values({name: value for name, value in parameters.items() if value})
    for name in _THREADS & parameters.keys():
        try:
            check_values({name: int(parameters[name])})
        except ValueError as error:
            raise ValueError(f"the parameter {name} is {parameters[name]!r:.60}") from error


def check_values(values: Mapping[Any, Any]) -> None:
    """Raise ValueError for a parameter that names a file or a machine, or for too many threads."""
    for name, value in values.items():
        if name in PLACES and value:
            raise ValueError(
                f"the parameter {name} names a file or a machine, which training with what was loaded would "
                "open; take it out"
            )
        if name in _THREADS and type(value) is int and abs(value) > _MOST_THREADS:
            raise ValueError(f"{name} is {value}, more than {_MOST_THREADS}")


def without_places(values: Mapping[str, Any], empty: Any = None) -> dict[str, Any]:
    """Parameters without those that name files or machines; if `empty` is given, that stands for them."""
    if empty is None:
        return {name: value for name, value in values.items() if name not in PLACES}
    return {name: empty if name in PLACES else value for name, value in values.items()}
