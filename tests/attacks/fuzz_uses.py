"""What a user does with an object that was loaded. Errors of Python are no matter here; what is watched is
what runs meanwhile, and whether the process lives.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[..., Any]
"""`step(name, function, *arguments)` calls the function; None where it raised or took too long."""

_MOST_ITEMS, _MOST_DEPTH = 12, 4


def use(obj: Any, step: Step) -> None:
    step("repr", repr, obj)
    step("str", str, obj)
    step("hash", hash, obj)
    used: dict[int, Any] = {}
    _use(obj, step, 0, used)
    if not any(type(each).__module__.startswith("keras.") for each in used.values()):
        # Keras copies through files of its own, with new names each time.
        step("deepcopy", copy.deepcopy, obj)
        step("pickle", pickle.dumps, obj)


def _use(obj: Any, step: Step, depth: int, used: dict[int, Any]) -> None:
    if id(obj) in used or depth > _MOST_DEPTH:
        return
    used[id(obj)] = obj
    for module, name, uses in _USES:
        cls = getattr(sys.modules.get(module), name, None)
        if cls is not None and isinstance(obj, cls):
            uses(obj, step)
            break
    held: list[Any] = []
    if isinstance(obj, dict):
        held = list(dict.values(obj))
    elif isinstance(obj, (list, tuple, set, frozenset)):
        held = list(obj)
    elif type(obj).__name__ == "SimpleNamespace":
        held = list(vars(obj).values())
    for item in held[:_MOST_ITEMS]:
        _use(item, step, depth + 1, used)


def _estimator(obj: Any, step: Step) -> None:
    import joblib
    import test_sklearn
    from sklearn.base import clone

    step("get_params", obj.get_params)
    step("clone", clone, obj)
    features = step("fitting data", test_sklearn.fitting_data, obj)
    inputs = [features[0]] if features else [test_sklearn.X]
    width = obj.__dict__.get("n_features_in_")
    if isinstance(width, (int, np.integer)) and 0 < width < 5000 and width != np.shape(inputs[0])[-1:]:
        inputs.append(np.random.default_rng(0).random((4, int(width))))
    with joblib.parallel_config("sequential"):
        for rows in inputs:
            for method in (
                *test_sklearn.METHODS,
                "inverse_transform",
                "kneighbors_graph",
                "sample",
                "predict_log_proba",
            ):
                call = step("look up", getattr, obj, method)
                if call is not None:
                    step(method, _run, call, () if method in ("get_feature_names_out", "sample") else (rows,))
        step("repr html", lambda: obj._repr_html_())
        step("tags", lambda: obj.__sklearn_tags__())
        step("routing", lambda: obj.get_metadata_routing())
        step("set_params", lambda: obj.set_params(**obj.get_params(deep=False)))
        step("set_output", lambda: obj.set_output(transform="default"))
        if features:
            step("score", lambda: obj.score(*features))
            step("partial_fit", lambda: obj.partial_fit(*(item for item in features if item is not None)))
            step("fit", lambda: obj.fit(*(item for item in features if item is not None)))


def _run(call: Callable[..., Any], arguments: Any) -> Any:
    """The answer, all of it where it is an iterator."""
    answer = call(*arguments)
    return (
        [item for _, item in zip(range(5), answer, strict=False)] if hasattr(answer, "__next__") else answer
    )


def _object(obj: Any, step: Step) -> None:
    """What scikit-learn's objects beside estimators can do: kernels, splitters, losses, links, scorers."""
    rows = np.random.default_rng(0).random((12, 3))
    labels = np.arange(12) % 2
    step("kernel", lambda: (obj(rows), obj.diag(rows), obj.theta, obj.bounds, obj.get_params()))
    step("split", lambda: _run(obj.split, (rows, labels)))
    step("loss", lambda: obj(labels.astype(float), rows[:, 0]))
    step("link", lambda: (obj.link(rows[:, 0]), obj.inverse(rows[:, 0])))
    step("query", lambda: obj.query(np.zeros((2, obj.data.shape[1]))))
    step("pairwise", lambda: obj.pairwise(rows))
    step("iterate", lambda: _run(iter, (obj,)))
    step("routing", lambda: obj.get_metadata_routing())
    step("attributes", lambda: [obj.keys(), obj.copy(), dir(obj)])


def _module(obj: Any, step: Step) -> None:
    import test_torch
    import torch

    inputs = [step("inputs", test_torch._inputs, type(obj).__name__) or [torch.rand(3, 4)]]
    first = next((p for p in obj._parameters.values() if isinstance(p, torch.Tensor) and p.ndim), None)
    if first is not None and 0 < first.shape[-1] < 5000:
        inputs.append([torch.rand(2, first.shape[-1])])
    with torch.no_grad():
        for arguments in inputs:
            step("call", obj, *arguments)
            step("eval", lambda: obj.eval())
            step("call in eval", obj, *arguments)
            step("train", lambda: obj.train())
    step("state_dict", lambda: obj.load_state_dict(obj.state_dict()))
    step("named", lambda: (list(obj.named_parameters()), list(obj.named_modules()), list(obj.buffers())))
    step("to", lambda: obj.to(torch.float64))
    step("zero_grad", lambda: obj.zero_grad())
    step("attributes", lambda: [getattr(obj, name, None) for name in dir(obj)])


def _optimizer(obj: Any, step: Step) -> None:
    import torch

    def zero() -> None:
        for group in obj.param_groups:
            for parameter in group["params"]:
                if parameter.is_leaf and parameter.layout == torch.strided:
                    parameter.grad = torch.zeros_like(parameter, memory_format=torch.contiguous_format)

    step("zero", zero)
    step("state_dict", lambda: obj.load_state_dict(obj.state_dict()))
    for _ in range(2):
        step("step", lambda: obj.step(lambda: torch.tensor(0.0)))
    step("zero_grad", lambda: obj.zero_grad())


def _scheduler(obj: Any, step: Step) -> None:
    step("state_dict", lambda: obj.load_state_dict(obj.state_dict()))
    step("lr", lambda: (obj.get_last_lr(), obj.get_lr()))
    for _ in range(3):
        step("step", lambda: obj.step(*((1.0,) if type(obj).__name__ == "ReduceLROnPlateau" else ())))


def _scaler(obj: Any, step: Step) -> None:
    step("state_dict", lambda: obj.load_state_dict(obj.state_dict()))
    step("scale", lambda: (obj.get_scale(), obj.is_enabled(), obj.update()))


def _tensor(obj: Any, step: Step) -> None:
    step("arithmetic", lambda: (obj.sum(), obj + 1, obj.clone(), obj.abs(), obj.flatten()))
    step("index", lambda: (obj[0], obj[-1], obj.reshape(-1)[-1:]))
    step("dense", lambda: obj.to_dense())
    step("list", lambda: obj.numpy().tolist() if obj.numel() < 100_000 else None)
    step("matmul", lambda: obj @ obj.mT)


def _generator(obj: Any, step: Step) -> None:
    import torch

    step("draw", lambda: [torch.rand(700, generator=obj), torch.randperm(9, generator=obj), obj.get_state()])


def _sparse(obj: Any, step: Step) -> None:
    small = int(np.prod([min(int(side), 10**6) for side in obj.shape])) < 10**6
    step("arithmetic", lambda: (obj.sum(), obj + obj, obj * 2, abs(obj), obj.T @ obj))
    step("vector", lambda: obj @ np.ones(obj.shape[-1]) if obj.shape[-1] < 10**6 else None)
    for form in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
        if small:
            step(f"to {form}", lambda form=form: obj.asformat(form))
    step("index", lambda: (obj[0], obj[-1, -1], obj[:, 1:], obj.getrow(0)))
    step("orders", lambda: (obj.sum_duplicates(), obj.sort_indices(), obj.eliminate_zeros()))
    step("dense", lambda: obj.toarray() if small else None)
    step("axes", lambda: (obj.sum(axis=0), obj.max(), obj.argmax(axis=0), obj.nonzero()))


def _distribution(obj: Any, step: Step) -> None:
    step("draw", lambda: obj.rvs(size=3))
    for name in ("pdf", "pmf", "cdf", "sf", "ppf", "logpdf"):
        step(name, lambda name=name: getattr(obj, name)(np.array([0.1, 0.5])))
    step("moments", lambda: (obj.mean(), obj.std(), obj.stats("mvsk"), obj.support()))
    step("freeze", lambda: obj(1.0))


def _callable_fit(obj: Any, step: Step) -> None:
    """Interpolators, densities, search trees, rotations."""
    at = np.linspace(-1.0, 5.0, 7)
    step("call", lambda: obj(at))
    step("derivative", lambda: (obj.derivative()(at), obj.antiderivative()(at), obj.integrate(0, 1)))
    step("roots", lambda: obj.roots())
    step("evaluate", lambda: (obj(np.zeros((obj.d, 2))), obj.resample(3), obj.logpdf(np.zeros((obj.d, 2)))))
    step("query", lambda: (obj.query(np.zeros((3, obj.m)), 2), obj.query_ball_point(np.zeros(obj.m), 1.0)))
    step(
        "pairs",
        lambda: (obj.query_pairs(0.1), obj.count_neighbors(obj, 0.5), obj.sparse_distance_matrix(obj, 0.1)),
    )
    step("rotate", lambda: (obj.as_matrix(), obj.apply(np.ones(3)), obj.inv(), obj.as_euler("xyz")))
    step("matrix", lambda: (obj.matvec(np.ones(obj.shape[0])), obj.todense()))


def _form(obj: Any, step: Step) -> None:
    """What SciPy's interpolators, triangulations, distributions and covariances can do."""
    points = np.array([[0.3, 0.4], [0.05, 0.9], [-3.0, 7.0], [np.nan, np.inf]])
    line, few = np.linspace(-0.5, 1.5, 50), points[:2] + 0.2
    for asked in (points, line, points.T, np.empty((0, 2))):
        step("ask", obj, asked)
        step("ask for a derivative", lambda asked=asked: obj(asked, nu=1))
    step("pairs", lambda: obj.ev(*few.T))
    step("grid", lambda: obj(line[10:40], line[10:40]))
    step("pieces", lambda: (obj.derivative(), obj.antiderivative(), obj.integrate(0.1, 0.9), obj.roots()))
    step("integral", lambda: obj.integral(*[0.1, 0.9] * (2 if "tck" in vars(obj) else 1)))
    step("knots", lambda: (obj.get_knots(), obj.get_coeffs(), obj.get_residual()))
    step("more", lambda: (obj.add_xi([3.0], [1.0]), obj(line)))
    step("yi", lambda: (obj.set_yi(np.ones(obj.n)), obj(line)))
    step("smoothing", lambda: obj.set_smoothing_factor(0.01))
    step("simplex", lambda: (obj.find_simplex(points), obj.plane_distance(points)))
    step("neighbors", lambda: (obj.vertex_neighbor_vertices, obj.vertex_to_simplex, obj.convex_hull))
    step("transform", lambda: obj.transform)
    step("draw", lambda: obj.rvs(size=2))
    step("density", lambda: (obj.logpdf([0.3, 0.4]), obj.pdf([0.3, 0.7])))
    step("mass", lambda: (obj.logpmf([1, 4]), obj.pmf([2, 2]), obj.mean(), obj.cov(), obj.var()))
    step("moments", lambda: (obj.mean(), obj.entropy(), obj.mode()))
    step("cdf", lambda: obj.cdf([0.3, 0.4]))
    step("whiten", lambda: (obj.whiten(few), obj.colorize(few), obj.covariance, obj.log_pdet))


def _array(obj: Any, step: Step) -> None:
    step("arithmetic", lambda: (obj + 1, obj.sum(), obj.mean(), np.sort(obj), obj.copy(), obj == obj))
    step("index", lambda: (obj[0], obj[-1], obj.ravel()[-1:], obj.T))
    step("list", lambda: obj.tolist() if obj.size < 100_000 else None)
    step("bytes", lambda: (obj.tobytes(), np.asarray(obj, dtype=object), np.unique(obj)))


def _random(obj: Any, step: Step) -> None:
    step("draw", lambda: (obj.random(700), obj.normal(size=3), obj.permutation(5)))


def _pandas(obj: Any, step: Step) -> None:
    step("values", lambda: (obj.to_numpy(), obj.tolist() if hasattr(obj, "tolist") else obj.to_dict()))
    step("sum", lambda: (obj.sum(), obj.max(), obj.isna()))
    step("arithmetic", lambda: (obj + obj, obj == obj))
    step("index", lambda: (obj.iloc[0], obj.iloc[-1:], obj.loc[obj.index[0]]))
    step("labels", lambda: (obj[0], obj[-1], obj.get_loc(obj[0]), obj.get_indexer(obj), obj.unique()))
    step("order", lambda: (obj.sort_values(), obj.argsort(), obj.value_counts(), obj.factorize()))
    step(
        "frame",
        lambda: (
            obj.describe(),
            obj.dtypes,
            obj.columns,
            obj.T,
            obj.reset_index(),
            obj.groupby(level=0).sum(),
        ),
    )
    step("take", lambda: (obj.take([0, -1]), obj.astype(object), obj.astype(str), obj.copy()))


def _arrow(obj: Any, step: Step) -> None:
    step("list", lambda: obj.to_pylist())
    step("slice", lambda: (obj.slice(1), obj.equals(obj), obj.validate(full=True), obj.nbytes))
    step("pandas", lambda: obj.to_pandas())
    step("order", lambda: (obj.unique(), obj.cast("string"), obj.take([0])))


def _results(obj: Any, step: Step) -> None:
    """What results of statsmodels answer."""
    for name in ("params", "bse", "pvalues", "resid", "fittedvalues", "llf", "aic", "nobs"):
        step(name, getattr, obj, name)
    step("predict", lambda: obj.predict())
    step("predict", lambda: obj.predict(obj.model.exog[:3]))
    step("summary", lambda: str(obj.summary()))
    step("intervals", lambda: obj.conf_int())
    step("test", lambda: obj.f_test(np.eye(len(obj.params))))
    step("fit", lambda: obj.model.fit())


def _keras(obj: Any, step: Step) -> None:
    """Models, layers, optimizers, metrics and losses."""
    import keras_models as tests

    rows, targets = tests.rows(), tests.targets()
    for asked in (rows, rows[:, :, None], np.array(["a", "b", "z"]), np.array([[0, 1, 2]])):
        step("call", obj, asked)
    step("ask", lambda: obj(targets, targets))
    step("predict", lambda: obj.predict(rows, verbose=0))
    step("fit", lambda: obj.fit(rows, targets, epochs=1, batch_size=4, verbose=0))
    step("evaluate", lambda: obj.evaluate(rows, targets, verbose=0))
    step("config", lambda: obj.get_config())
    step("json", lambda: obj.to_json())
    step("summary", lambda: obj.summary(print_fn=lambda text, **more: None))
    step("clone", lambda: tests.keras.models.clone_model(obj)(rows))
    step("weights", lambda: [each.shape for each in obj.get_weights()])
    step("rate", lambda: (obj.learning_rate, obj.iterations))
    step("result", lambda: (obj.update_state(targets, targets), obj.result(), obj.reset_state()))
    step("draw", lambda: obj.next())


def _texts(obj: Any, step: Step) -> None:
    """Tokenizers, in Python and compiled."""
    step("call", lambda: obj(["ab <new> b", "", "low newest"], padding=True, truncation=True, max_length=16))
    step("encode", lambda: obj.decode(obj.encode("low <unk> b\u00e9")))
    step("ids", lambda: obj.decode(obj.encode("low").ids))
    step("batch", lambda: obj.encode_batch(["low", "newer", ""]))
    step("tokens", lambda: (obj.tokenize("low newest"), obj.get_vocab(), len(obj), obj.all_special_tokens))
    step("add", lambda: obj.add_tokens(["<more>"]))
    step("text", lambda: obj.to_str())
    step("chat", lambda: obj.apply_chat_template([{"role": "user", "content": "low"}], tokenize=False))


def _booster(obj: Any, step: Step) -> None:
    """Boosters of XGBoost and LightGBM."""
    rows = np.random.default_rng(0).random((6, 30))
    for width in (30, 10):
        step("predict", lambda width=width: obj.predict(rows[:, :width]))
        step("leaves", lambda width=width: obj.predict(rows[:, :width], pred_leaf=True))
        step("shares", lambda width=width: obj.predict(rows[:, :width], pred_contrib=True))
    for width in (30, 13, 8):
        step("ask", lambda width=width: _of_xgboost(obj, rows[:, :width]))
    step("text", lambda: (obj.model_to_string(), obj.dump_model(), obj.feature_importance()))
    step("dump", lambda: (obj.get_dump(), obj.save_raw("json"), obj.save_config(), obj.get_score()))
    step("frame", lambda: obj.trees_to_dataframe())
    step("slice", lambda: obj[0:1].save_raw("json"))


def _of_xgboost(obj: Any, rows: Any) -> None:
    import xgboost

    matrix = xgboost.DMatrix(rows, np.arange(len(rows)) % 2, nthread=1)
    _ = matrix.feature_types, matrix.feature_names
    for options in ({}, {"pred_leaf": True}, {"pred_contribs": True}, {"output_margin": True}):
        obj.predict(matrix, validate_features=False, **options)
    obj.update(matrix, 9)


def _anything(obj: Any, step: Step) -> None:
    step("time", lambda: (obj.utcoffset(), obj.tzname(), obj.isoformat()))
    step("log", lambda: (len(obj), obj.snapshot(), obj.columns))
    step("numbers", lambda: (obj + obj, float(obj)))


_USES: tuple[tuple[str, str, Callable[[Any, Step], None]], ...] = (
    ("sklearn.base", "BaseEstimator", _estimator),
    ("keras", "Layer", _keras),
    ("keras", "Optimizer", _keras),
    ("keras", "Metric", _keras),
    ("keras", "Loss", _keras),
    ("keras.random", "SeedGenerator", _keras),
    ("xgboost", "Booster", _booster),
    ("lightgbm", "Booster", _booster),
    ("transformers", "PreTrainedTokenizerBase", _texts),
    ("tokenizers", "Tokenizer", _texts),
    ("torch.nn", "Module", _module),
    ("torch.optim", "Optimizer", _optimizer),
    ("torch.optim.lr_scheduler", "LRScheduler", _scheduler),
    ("torch.amp", "GradScaler", _scaler),
    ("torch", "Tensor", _tensor),
    ("torch", "Generator", _generator),
    ("scipy.sparse", "sparray", _sparse),
    ("scipy.sparse", "spmatrix", _sparse),
    ("scipy.stats._distn_infrastructure", "rv_frozen", _distribution),
    ("scipy.stats._distn_infrastructure", "rv_generic", _distribution),
    ("numpy", "ndarray", _array),
    ("numpy.random", "Generator", _random),
    ("numpy.random", "RandomState", _random),
    ("pandas.core.generic", "NDFrame", _pandas),
    ("pandas", "Index", _pandas),
    ("pandas.api.extensions", "ExtensionArray", _pandas),
    ("statsmodels.base.wrapper", "ResultsWrapper", _results),
    ("statsmodels.base.model", "Results", _results),
    ("pyarrow", "Array", _arrow),
    ("pyarrow", "ChunkedArray", _arrow),
    ("pyarrow", "Table", _arrow),
    ("pyarrow", "RecordBatch", _arrow),
)


_OF_FORMS = ("scipy.interpolate", "scipy.stats._multivariate", "scipy.stats._covariance", "scipy.spatial")


def _rest(obj: Any, step: Step) -> None:
    """By the package of the class, where no base class says it."""
    package = type(obj).__module__.partition(".")[0]
    {"sklearn": _object, "scipy": _callable_fit}.get(package, _anything)(obj, step)
    if type(obj).__module__.startswith(_OF_FORMS):
        _form(obj, step)


_USES += (("builtins", "object", _rest),)
