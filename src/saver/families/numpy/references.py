"""Functions and classes of NumPy that files may hold as values, each reviewed.

Left out on purpose: functions that take a callable (`vectorize`, `apply_along_axis`, `piecewise`), a path or
text (`load`, `fromfile`, `fromstring`) or an address (`ndarray` over a buffer, `ctypeslib`), or that make
arrays of a size given by an argument (`tile`, `repeat`, `zeros_like` with its `shape`).
"""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "numpy", "elementwise", "a ufunc of one array: compiled arithmetic for each element",
        "abs absolute acos acosh arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh"
        " bitwise_count bitwise_invert bitwise_not cbrt ceil conj conjugate cos cosh deg2rad degrees exp"
        " exp2 expm1 fabs floor frexp invert isfinite isinf isnan isnat log log10 log1p log2 logical_not"
        " modf negative positive rad2deg radians reciprocal rint sign signbit sin sinh spacing sqrt square"
        " tan tanh trunc",
    ),
    **reviewed(
        "numpy", "combining", "a ufunc of two arrays: compiled arithmetic for each pair of elements",
        "add arctan2 atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor"
        " copysign divide divmod equal float_power floor_divide fmax fmin fmod gcd greater greater_equal"
        " heaviside hypot lcm ldexp left_shift less less_equal logaddexp logaddexp2 logical_and logical_or"
        " logical_xor matmul matvec maximum minimum mod multiply nextafter not_equal pow power remainder"
        " right_shift subtract true_divide vecdot vecmat",
    ),
    **reviewed(
        "numpy", "elementwise", "a function of one array that returns an array of the same shape",
        "around fix i0 imag isclose nan_to_num real round sinc",
    ),
    **reviewed(
        "numpy", "array", "sums, orders or picks elements of arrays; returns no more than it was given",
        "all amax amin any argmax argmin argsort average clip corrcoef cov cumprod cumsum diff digitize"
        " dot histogram interp isin max mean median min nancumsum nanmax nanmean nanmedian nanmin"
        " nanpercentile nanquantile nanstd nansum nanvar percentile prod ptp quantile searchsorted select"
        " sort std sum trace unique unwrap var where",
    ),
    **reviewed(
        "numpy", "array", "rearranges the elements of arrays",
        "array asarray atleast_1d atleast_2d column_stack concatenate expand_dims flip fliplr flipud"
        " hstack moveaxis ravel reshape roll squeeze stack swapaxes transpose vstack",
    ),
    **reviewed(
        "numpy.linalg", "array", "linear algebra by LAPACK, on matrices whose shapes NumPy checks",
        "det eigh eigvalsh inv norm pinv qr slogdet svd",
    ),
    **reviewed(
        "numpy.fft", "array", "Fourier transforms, on arrays whose shapes NumPy checks",
        "fft fft2 fftn fftshift ifft irfft rfft rfft2 rfftn",
    ),
    **reviewed(
        "numpy", "type", "a scalar type, as `dtype=` and column selectors hold it",
        "bool bool_ byte bytes_ cdouble character clongdouble complex128 complex256 complex64"
        " complexfloating csingle datetime64 double flexible float128 float16 float32 float64 floating"
        " generic half inexact int16 int32 int64 int8 int_ intc integer intp long longdouble longlong"
        " number object_ short signedinteger single str_ timedelta64 ubyte uint uint16 uint32 uint64 uint8"
        " uintc uintp ulong ulonglong unsignedinteger ushort void",
    ),
    **reviewed("numpy", "class", "the class of arrays, to compare others with; nothing calls it", "ndarray"),
    **reviewed(
        "numpy", "elementwise", "a function of one array: compiled arithmetic for each element",
        "angle iscomplex isneginf isposinf isreal real_if_close",
    ),
    **reviewed(
        "numpy", "array", "sums, orders or rearranges elements; returns no more than it was given",
        "argpartition argwhere asanyarray ascontiguousarray asfortranarray atleast_3d compress convolve"
        " correlate count_nonzero cross diagonal dstack ediff1d extract flatnonzero gradient inner"
        " intersect1d lexsort nanargmax nanargmin nancumprod nanprod nonzero partition rot90 setdiff1d"
        " setxor1d sort_complex take take_along_axis trapezoid tril trim_zeros triu union1d vdot",
    ),
    **reviewed(
        "numpy.linalg", "array", "linear algebra by LAPACK, on matrices whose shapes NumPy checks",
        "cholesky cond eig eigvals lstsq matrix_norm matrix_rank matrix_transpose solve svdvals vecdot"
        " vector_norm",
    ),
    **reviewed(
        "numpy.fft", "array", "Fourier transforms, on arrays whose shapes NumPy checks",
        "hfft ifft2 ifftn ifftshift ihfft irfft2 irfftn",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("enum", "numpy", "_CopyMode"),
    **instances(
        "namedtuple", "numpy.lib._arraysetops_impl",
        "UniqueAllResult UniqueCountsResult UniqueInverseResult",
    ),
    **instances(
        "namedtuple", "numpy.linalg._linalg",
        "EigResult EighResult QRResult SVDResult SlogdetResult",
    ),
    **instances(
        "namedtuple", "numpy.linalg.linalg",
        "EigResult EighResult QRResult SVDResult SlogdetResult",
    ),
}  # fmt: skip
"""What its functions return, in all versions that Saver supports."""
