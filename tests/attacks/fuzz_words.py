"""What the mutations put into files: names of classes, of functions, of methods and protocols; extremes."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import canaries
import forge

FAMILIES = Path(__file__).parents[2] / "src" / "saver" / "families"
CLASSES: dict[str, list[str]] = {
    codec: names
    for path in sorted(FAMILIES.glob("*/classes.json"))
    for codec, names in json.loads(path.read_text())["codecs"].items()
}
"""Codec → the names of the classes that it builds."""

FOREIGN = [
    "os:system",
    "posix:system",
    "os:remove",
    "subprocess:Popen",
    "builtins:eval",
    "builtins:exec",
    "builtins:type",
    "builtins:getattr",
    "builtins:open",
    "builtins:print",
    "functools:partial",
    "functools:reduce",
    "operator:attrgetter",
    "operator:methodcaller",
    "numpy:load",
    "numpy:fromfile",
    "numpy:vectorize",
    "numpy:save",
    "torch:load",
    "torch.hub:load",
    "torch.jit._serialization:load",
    "pickle:loads",
    "torch.nn.modules.module:Module",
    "torch.nn.parallel.data_parallel:DataParallel",
    "sklearn.base:BaseEstimator",
    "sklearn.datasets._base:load_files",
    "sklearn.utils._joblib:Parallel",
    "joblib.memory:Memory",
    "pandas.io.pickle:read_pickle",
    "sklearn.metrics._scorer:make_scorer",
    "sklearn.utils.estimator_checks:check_estimator",
    "scipy.io:loadmat",
    "sklearn.utils._mocking:MockDataFrame",
    "numpy.testing:rundocs",
    "distutils.core:setup",
    "types:FunctionType",
]

PROTOCOLS = [
    "__array__",
    "__array_interface__",
    "__array_struct__",
    "__array_priority__",
    "__array_ufunc__",
    "__array_function__",
    "__array_namespace__",
    "__array_wrap__",
    "__array_finalize__",
    "__array_x__",
    "__cuda_array_interface__",
    "__dlpack__",
    "__dlpack_device__",
    "__dataframe__",
    "__arrow_array__",
    "__arrow_c_array__",
    "__arrow_c_stream__",
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__deepcopy__",
    "__copy__",
    "__class__",
    "__dict__",
    "__len__",
    "__iter__",
    "__getattr__",
    "__getattribute__",
    "__setattr__",
    "__call__",
    "__repr__",
    "__str__",
    "__hash__",
    "__eq__",
    "__bool__",
    "__index__",
    "__float__",
    "__int__",
    "__fspath__",
    "__del__",
    "__enter__",
    "__exit__",
    "__getitem__",
    "__contains__",
    "__wrapped__",
    "__signature__",
    "__name__",
    "__module__",
    "__qualname__",
    "__doc__",
    "__annotations__",
    "__slots__",
    "__weakref__",
    "__sklearn_tags__",
    "__sklearn_clone__",
    "__sklearn_is_fitted__",
    "__metadata_request__fit",
    "__torch_function__",
    "__missing__",
    "__next__",
    "__sizeof__",
    "__format__",
    "_repr_html_",
    "_repr_mimebundle_",
    "_repr_html_inner",
    "_more_tags",
    "_get_tags",
    "_check_feature_names",
    "_validate_data",
    "_sklearn_output_config",
    "_estimator_type",
    "get_params",
    "set_params",
    "fit",
    "predict",
    "predict_proba",
    "transform",
    "fit_transform",
    "decision_function",
    "score_samples",
    "score",
    "partial_fit",
    "inverse_transform",
    "get_feature_names_out",
    "get_metadata_routing",
    "forward",
    "_call_impl",
    "_compiled_call_impl",
    "_slow_forward",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
    "_is_full_backward_hook",
    "_wrapped_call_impl",
    "call_super_init",
    "training",
    "dump_patches",
    "T_destination",
    "state_dict",
    "load_state_dict",
    "named_parameters",
    "parameters",
    "children",
    "extra_repr",
    "_get_name",
    "_apply",
    "requires_grad",
    "grad",
    "grad_fn",
    "data",
    "_version",
    "_parameters",
    "_buffers",
    "_modules",
    "_flat_weights",
    "step",
    "_step",
    "zero_grad",
    "add_param_group",
    "_optimizer_step_pre_hooks",
    "_optimizer_step_post_hooks",
    "_zero_grad_profile_name",
    "_warned_capturable_if_run_uncaptured",
    "_cuda_graph_capture_health_check",
    "_init_group",
    "_patch_step_function",
    "_opt_called",
    "_initial_step",
    "get_lr",
    "_get_closed_form_lr",
    "last_epoch",
    "optimizer",
    "param_groups",
    "scale_fn",
    "_scale_fn_ref",
    "_scale_fn_custom",
    "anneal_func",
    "lr_lambdas",
    "keys",
    "items",
    "values",
    "get",
    "pop",
    "update",
    "copy",
    "clear",
    "setdefault",
    "__or__",
    "shape",
    "dtype",
    "ndim",
    "size",
    "T",
    "toarray",
    "tocsr",
    "tocoo",
    "tolist",
    "astype",
    "sum",
    "mean",
    "format",
    "name",
    "names",
    "index",
    "columns",
    "attrs",
    "flags",
    "_mgr",
    "_data",
    "_constructor",
    "_metadata",
    "default_factory",
    "func",
    "args",
    "keywords",
    "nfev",
    "message",
    "x",
    "success",
    "tree_",
    "estimators_",
    "estimator_",
    "base_estimator_",
    "_fit_X",
    "n_jobs",
    "memory",
    "init_",
    "loss_",
    "_loss",
    "kernel",
    "kernel_",
    "metric",
    "effective_metric_",
    "callback",
    "verbose",
    "random_state",
    "rvs",
    "pdf",
    "dist",
]

TEXTS = [
    "", "$", "O", "f8", ">i4", "|V0", "U5", "V1000000000", "M8[ns]", "/tmp/saver-fuzz-cache",
    "saver-fuzz-cache",
    "file:///etc/passwd", "../x", "__import__('os').system('true')", "lambda x: x", "eval", "os.system",
    "precomputed", "auto", "callable", "passthrough", "drop", "cuda", "cuda:0", "meta", "cpu:7", "filename",
    "file",
    "kd_tree", "ball_tree", "brute", "minkowski", "jaccard", "rbf", "linear", "callback", "loky",
    "threading",
    "UTC", "Foo/Bar", "norm", "1e999", "a" * 300, "torch.float32", "quantile", "pandas", "polars", "%n%s",
    "\ud800",
    "{0.__class__}", "r2", "accuracy", "neg_mean_squared_error", "named_steps.a", "coef_", "csr", "mean",
    "most_frequent",
]  # fmt: skip

NUMBERS: list[Any] = [
    -1, 0, 1, 2, 3, 7, 40, 255, 256, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53, -(2**53), 2**62,
    2**63 - 1,
    2**63, -(2**63), 2**64, 10**30, -0.0, 0.5, 1e308, -1e308, 1e-320, 1e16, True, False, None,
]  # fmt: skip

_KINDS = {
    "sklearn.bunch": "sklearn.utils._bunch:Bunch",
    "scipy.OptimizeResult": "scipy.optimize._optimize:OptimizeResult",
    "stdlib.OrderedDict": "collections:OrderedDict",
    "stdlib.SimpleNamespace": "types:SimpleNamespace",
    "stdlib.defaultdict": "collections:defaultdict",
    "scipy.gaussian_kde": "scipy.stats._kde:gaussian_kde",
    "pandas.DataFrame": "pandas:DataFrame",
    "torch.Tensor": "torch:Tensor",
}
"""Codecs without classes → what they make."""


@cache
def references() -> tuple[str, ...]:
    from saver import trust

    return tuple(sorted(name for name in trust.references() if name not in canaries.NAMES))


@cache
def taken_names(cls: str) -> tuple[str, ...]:
    """The names that a class has, of methods and of data; those of Python's own objects left out."""
    module, _, qualname = cls.partition(":")
    found: Any = sys.modules.get(module)
    for step in qualname.split("."):
        found = getattr(found, step, None)
    return tuple(sorted({*dir(found)} - {*dir(object)})) if isinstance(found, type) else ()


def taken_name(node: Any, random: Random) -> str:
    """A name that an attribute of this node's object should not have."""
    cls = node.get("class") or _KINDS.get(node.get("$"), "builtins:dict") if isinstance(node, dict) else ""
    own = taken_names(cls) if isinstance(cls, str) else ()
    return random.choice(own if own and random.random() < 0.6 else PROTOCOLS)


def function(random: Random) -> dict[str, Any]:
    """A node of a function or class: a canary, or any that was reviewed."""
    if random.random() < 0.6:
        return forge.node("function", cls=random.choice((canaries.NAMES[0], random.choice(canaries.NAMES))))
    name = random.choice(references())
    last = name.rpartition(":")[2]
    is_class = isinstance(getattr(sys.modules.get(name.partition(":")[0]), last, None), type)
    return forge.node("class" if is_class else "function", cls=name)


def callable_value(random: Random, depth: int = 0) -> dict[str, Any]:
    """A function or class, or a partial of one with arguments, which may be partials again."""
    if depth > 3 or random.random() < 0.6:
        return function(random)
    arguments = [plain(random) if random.random() < 0.6 else callable_value(random, depth + 1)]
    words = random.choice(
        [{}, {"out": None}, {"axis": 0}, {"dtype": function(random)}, {"key": function(random)}]
    )
    inner = function(random) if random.random() < 0.8 else callable_value(random, depth + 1)
    return forge.node("stdlib.partial", [
        inner, forge.node("tuple", arguments * random.randint(0, 2)), forge.node("dict", words)
    ])  # fmt: skip


def plain(random: Random) -> Any:
    return random.choice(random.choice([NUMBERS, TEXTS]))


def anything(random: Random) -> Any:
    """A value for an attribute: most often something that can be called."""
    kind = random.choice(
        ["call", "call", "call", "held", "list", "bunch", "space", "plain", "array", "ordered"]
    )
    if kind == "call":
        return callable_value(random)
    if kind == "held":
        return forge.node("dict", {random.choice(TEXTS[9:20]): callable_value(random)})
    if kind == "list":
        return forge.node(random.choice(["list", "tuple"]), [callable_value(random), plain(random)])
    if kind == "bunch":
        return forge.node("sklearn.bunch", {random.choice(PROTOCOLS[100:]): callable_value(random)})
    if kind == "space":
        return forge.node("stdlib.SimpleNamespace", {random.choice(PROTOCOLS[100:]): callable_value(random)})
    if kind == "ordered":
        return forge.node(
            "stdlib.OrderedDict", [{}, {random.choice(PROTOCOLS[100:]): callable_value(random)}, "attributes"]
        )
    if kind == "array":
        return forge.node("numpy.array", {"dtype": "|O", "shape": [2], "items": [callable_value(random), 1]})
    return plain(random)
