"""Functions of SciPy that files may hold as values, each reviewed.

Left out on purpose: functions that take a callable (`bootstrap`, `permutation_test`, `boxcox` by its
optimizer, `cdist`), and modules that are scripts (`scipy.special._precompute`).
"""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

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
    **reviewed(
        "scipy.special", "elementwise", "a function of one array: compiled arithmetic for each element",
        "airy airye bei beip ber berp cotdg ellipkm1 exp1 expi fresnel gammasgn it2i0k0 it2j0y0"
        " it2struve0 itairy iti0k0 itj0y0 itmodstruve0 itstruve0 kei keip kelvin ker kerp kolmogorov"
        " ndtri_exp shichi sici wofz wrightomega",
    ),
    **reviewed(
        "scipy.special",
        "combining",
        "a function of two arrays: compiled arithmetic for each pair of elements",
        "agm chdtr chdtrc chdtri ellipeinc ellipkinc expn gammainccinv gammaincinv hankel1 hankel1e"
        " hankel2 hankel2e ive jve kve modstruve owens_t pdtr pdtrc pdtri powm1 stdtr stdtrit struve yve",
    ),
    **reviewed(
        "scipy.ndimage._filters", "array", "a filter of fixed size over one array, or the distances in it",
        "laplace prewitt sobel",
    ),
    **reviewed(
        "scipy.ndimage._morphology",
        "array",
        "a filter of fixed size over one array, or the distances in it",
        "binary_fill_holes distance_transform_edt",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances(
        "namedtuple", "scipy.stats._binned_statistic",
        "BinnedStatistic2dResult BinnedStatisticResult BinnedStatisticddResult",
    ),
    **instances("namedtuple", "scipy.integrate._quadrature", "QMCQuadResult"),
    **instances("namedtuple", "scipy.stats._common", "ConfidenceInterval"),
    **instances("namedtuple", "scipy.stats._crosstab", "CrosstabResult"),
    **instances("namedtuple", "scipy.stats._fit", "GoodnessOfFitResult"),
    **instances("namedtuple", "scipy.stats._hypotests", "Epps_Singleton_2sampResult"),
    **instances("namedtuple", "scipy.stats._mannwhitneyu", "MannwhitneyuResult"),
    **instances("namedtuple", "scipy.stats._mgc", "MGCResult"),
    **instances(
        "namedtuple", "scipy.stats._morestats",
        "AndersonResult Anderson_ksampResult AnsariResult BartlettResult FlignerResult LeveneResult Mean"
        " MedianTestResult ShapiroResult Std_dev Variance WilcoxonResult",
    ),
    **instances(
        "namedtuple", "scipy.stats._mstats_basic",
        "BrunnerMunzelResult DescribeResult F_onewayResult FriedmanchisquareResult KruskalResult"
        " KurtosistestResult MannwhitneyuResult ModeResult NormaltestResult PointbiserialrResult"
        " SenSeasonalSlopesResult SkewtestResult Ttest_1sampResult Ttest_indResult Ttest_relResult",
    ),
    **instances(
        "namedtuple", "scipy.stats._stats_mstats_common",
        "LinregressResult SiegelslopesResult TheilslopesResult",
    ),
    **instances(
        "namedtuple", "scipy.stats._stats_py",
        "BrunnerMunzelResult ConfidenceInterval CumfreqResult DescribeResult F_onewayResult"
        " FriedmanchisquareResult HistogramResult KruskalResult KstestResult KurtosistestResult"
        " LinregressResult ModeResult NormaltestResult PearsonRResult PearsonRResultBase"
        " Power_divergenceResult RanksumsResult RelfreqResult RepeatedResults SigmaclipResult"
        " SignificanceResult SkewtestResult TtestResult TtestResultBase Ttest_indResult",
    ),
    **instances("namedtuple", "scipy.stats.contingency", "Chi2ContingencyResult"),
    **instances("dataclass", "scipy.integrate._cubature", "CubatureRegion CubatureResult"),
    **instances(
        "dataclass", "scipy.stats._hypotests",
        "BarnardExactResult BoschlooExactResult SomersDResult",
    ),
    **instances("dataclass", "scipy.stats._multicomp", "DunnettResult"),
    **instances("dataclass", "scipy.stats._page_trend_test", "PageTrendTestResult"),
    **instances("dataclass", "scipy.stats._relative_risk", "RelativeRiskResult"),
    **instances(
        "dataclass", "scipy.stats._resampling",
        "BootstrapMethod BootstrapResult MonteCarloMethod MonteCarloTestResult PermutationMethod"
        " PermutationTestResult PowerResult ResamplingMethod",
    ),
    **instances("dataclass", "scipy.stats._stats_py", "AlexanderGovernResult QuantileTestResult"),
    **instances(
        "dataclass", "scipy.stats._survival",
        "ECDFResult EmpiricalDistributionFunction LogRankResult",
    ),
    **instances("enum", "scipy.io.wavfile", "WAVE_FORMAT"),
    **instances("enum", "scipy._lib.cobyqa.settings", "ExitStatus"),
}  # fmt: skip
"""What its functions return, in all versions that Saver supports."""
