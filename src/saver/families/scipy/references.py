"""Functions of SciPy that files may hold as values, each reviewed.

Left out on purpose: functions that take a callable (`bootstrap`, `permutation_test`, `boxcox` by its
optimizer, `cdist`), and modules that are scripts (`scipy.special._precompute`).
"""

from __future__ import annotations

from saver.family import Reference, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "scipy.special", "elementwise", "a ufunc of one array: compiled arithmetic for each element",
        "cbrt cosdg cosm1 digamma dawsn ellipe ellipk entr erf erfc erfcinv erfcx erfi erfinv exp10 exp2"
        " expit expm1 exprel gamma gammaln i0 i0e i1 i1e j0 j1 k0 k0e k1 k1e log1p log_expit log_ndtr"
        " loggamma logit ndtr ndtri psi radian rgamma round sindg sinm1 spence tandg y0 y1 zetac",
    ),
    **reviewed(
        "scipy.special",
        "combining",
        "a ufunc of two arrays: compiled arithmetic for each pair of elements",
        "beta betaln binom boxcox boxcox1p gammainc gammaincc huber hyp0f1 inv_boxcox inv_boxcox1p iv jv"
        " kl_div kn kv poch pseudo_huber rel_entr xlog1py xlogy yn yv",
    ),
    **reviewed(
        "scipy.special._logsumexp", "array", "exponentials of one array, and their sum",
        "log_softmax logsumexp softmax",
    ),
    **reviewed(
        "scipy.stats._stats_py", "array", "a statistic of one array, by its own formula",
        "gmean gzscore hmean iqr kurtosis rankdata sem skew trim_mean zscore",
    ),
    **reviewed("scipy.stats._entropy", "array", "a statistic of one array, by its own formula", "entropy"),
    **reviewed(
        "scipy.stats._morestats",
        "array",
        "a power transform whose parameter it finds by itself",
        "yeojohnson",
    ),
    **reviewed(
        "scipy.spatial.distance", "distance", "the distance of two vectors, by its own formula",
        "braycurtis canberra chebyshev cityblock correlation cosine dice euclidean hamming jaccard"
        " jensenshannon mahalanobis minkowski rogerstanimoto russellrao seuclidean sokalsneath sqeuclidean"
        " yule",
    ),
}  # fmt: skip
