"""Functions of scikit-learn that files may hold as values, each reviewed.

Left out on purpose: functions that take a callable or the name of an attribute (`_get_feature_importances`,
`make_scorer`, `pairwise_distances`, `pairwise_kernels`, `silhouette_score` by its metric,
`consensus_score`, functions like `power_transform` that make estimators from a name), fetch data or plot.
"""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

_METRIC = "counts or sums over targets and predictions, by its own formula"
_SCORE = "a statistic for each feature, by its own formula"

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "sklearn.metrics._classification", "metric", _METRIC,
        "accuracy_score balanced_accuracy_score brier_score_loss class_likelihood_ratios"
        " cohen_kappa_score confusion_matrix d2_brier_score d2_log_loss_score f1_score fbeta_score"
        " hamming_loss hinge_loss jaccard_score log_loss matthews_corrcoef multilabel_confusion_matrix"
        " precision_recall_fscore_support precision_score recall_score zero_one_loss",
    ),
    **reviewed(
        "sklearn.metrics._regression", "metric", _METRIC,
        "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score max_error"
        " mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss"
        " mean_poisson_deviance mean_squared_error mean_squared_log_error mean_tweedie_deviance"
        " median_absolute_error r2_score root_mean_squared_error root_mean_squared_log_error",
    ),
    **reviewed(
        "sklearn.metrics._ranking", "metric", _METRIC,
        "auc average_precision_score coverage_error dcg_score det_curve"
        " label_ranking_average_precision_score label_ranking_loss ndcg_score precision_recall_curve"
        " roc_auc_score roc_curve top_k_accuracy_score",
    ),
    **reviewed(
        "sklearn.metrics.cluster._supervised", "metric", _METRIC,
        "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score"
        " homogeneity_completeness_v_measure homogeneity_score mutual_info_score"
        " normalized_mutual_info_score pair_confusion_matrix rand_score v_measure_score",
    ),
    **reviewed(
        "sklearn.metrics.cluster._unsupervised",
        "metric",
        _METRIC,
        "calinski_harabasz_score davies_bouldin_score",
    ),
    **reviewed(
        "sklearn.metrics.pairwise",
        "kernel",
        "a matrix with a row for each sample of one set and a column for each of the other",
        "additive_chi2_kernel chi2_kernel cosine_similarity laplacian_kernel linear_kernel"
        " polynomial_kernel rbf_kernel sigmoid_kernel",
    ),
    **reviewed(
        "sklearn.metrics.pairwise",
        "pairwise",
        "a matrix of distances between two sets, by its own formula",
        "cosine_distances euclidean_distances haversine_distances manhattan_distances"
        " nan_euclidean_distances",
    ),
    **reviewed(
        "sklearn.feature_selection._univariate_selection", "scores", _SCORE,
        "chi2 f_classif f_oneway f_regression r_regression",
    ),
    **reviewed(
        "sklearn.feature_selection._mutual_info",
        "scores",
        _SCORE,
        "mutual_info_classif mutual_info_regression",
    ),
    **reviewed(
        "sklearn.preprocessing._data", "array elementwise", "scales the columns or rows of one array",
        "add_dummy_feature binarize maxabs_scale minmax_scale normalize robust_scale scale",
    ),
    **reviewed(
        "sklearn.utils.extmath", "array", "exponentials of one array, and their sum", "softmax",
    ),
    **reviewed("sklearn.utils.validation", "check", "checks an array and returns it", "check_array"),
    **reviewed(
        "sklearn.cluster._kmeans", "internal", "one run of k-means, which fitted estimators hold",
        "_kmeans_single_elkan _kmeans_single_lloyd",
    ),
    **reviewed(
        "sklearn.model_selection._split", "splitter", "splits rows into folds by numbers alone",
        "KFold StratifiedKFold",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("namedtuple", "sklearn.impute._iterative", "_ImputerTriplet"),
    **instances("namedtuple", "sklearn.gaussian_process.kernels", "Hyperparameter"),
    **instances("namedtuple", "sklearn.utils._encode", "MissingValues"),
    **instances("namedtuple", "sklearn.datasets._base", "RemoteFileMetadata"),
    **instances("namedtuple", "sklearn.utils._metadata_requests", "MethodPair RouterMappingPair"),
    **instances("enum", "sklearn.ensemble._hist_gradient_boosting.common", "MonotonicConstraint"),
    **instances("enum", "sklearn.utils._cython_blas", "BLAS_Order BLAS_Trans"),
    **instances("enum", "sklearn.utils._isfinite", "FiniteStatus"),
    **instances("dataclass", "sklearn.callback._scoring_monitor", "ScoringMonitorLog"),
    **instances(
        "dataclass", "sklearn.utils._tags",
        "ClassifierTags InputTags RegressorTags Tags TargetTags TransformerTags",
    ),
}  # fmt: skip
"""What estimators hold after fitting, and what functions return."""
