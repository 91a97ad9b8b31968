"""Functions of PyTorch that files may hold as values, each reviewed.

Left out on purpose: functions that dispatch to others (`handle_torch_function`, `boolean_dispatch`), take a
callable (`triplet_margin_with_distance_loss`), compile, load or save, or make tensors of a size given by an
argument.
"""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

_ACTIVATION = "an activation: arithmetic for each element, or along an axis"
_LOSS = "a loss: arithmetic on two tensors whose shapes PyTorch checks"
_ELEMENTS = "arithmetic for each element"
_ARRAY = "sums, orders or rearranges the elements of tensors whose shapes PyTorch checks"

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "torch", "activation elementwise", _ACTIVATION,
        "celu hardshrink log_softmax prelu relu relu_ rrelu selu selu_ sigmoid sigmoid_ softmax tanh"
        " tanh_ threshold",
    ),
    **reviewed(
        "torch._C._nn", "activation elementwise", _ACTIVATION,
        "elu gelu glu hardsigmoid hardswish hardtanh leaky_relu log_sigmoid mish relu6 silu softplus"
        " softshrink",
    ),
    **reviewed(
        "torch.nn.functional", "activation elementwise", _ACTIVATION,
        "celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_softmax logsigmoid"
        " mish normalize prelu relu relu6 rrelu selu sigmoid silu softmax softmin softplus softshrink"
        " softsign tanh tanhshrink threshold",
    ),
    **reviewed(
        "torch.nn.functional", "loss", _LOSS,
        "binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy"
        " gaussian_nll_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss"
        " multi_margin_loss multilabel_margin_loss multilabel_soft_margin_loss nll_loss poisson_nll_loss"
        " smooth_l1_loss soft_margin_loss triplet_margin_loss",
    ),
    **reviewed(
        "torch.nn.functional", "array", _ARRAY,
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d alpha_dropout avg_pool1d avg_pool2d"
        " avg_pool3d bilinear dropout group_norm instance_norm layer_norm linear one_hot"
        " pdist pixel_shuffle pixel_unshuffle rms_norm",
    ),
    **reviewed(
        "torch.nn.functional", "distance array",
        "a distance along an axis, of tensors whose shapes PyTorch checks",
        "cosine_similarity pairwise_distance",
    ),
    **reviewed(
        "torch", "distance array", "a distance along an axis, of tensors whose shapes PyTorch checks",
        "cosine_similarity pairwise_distance pdist",
    ),
    **reviewed(
        "torch", "elementwise", _ELEMENTS,
        "abs acos acosh asin asinh atan atanh ceil clamp cos cosh erf erfc erfinv exp exp2 expm1 floor"
        " frac log log10 log1p log2 logit neg reciprocal round rsqrt sign sin sinh sqrt square tan trunc",
    ),
    **reviewed(
        "torch", "combining", "arithmetic for each pair of elements",
        "add atan2 bmm div dot fmod lerp logaddexp matmul mm mul pow remainder sub where",
    ),
    **reviewed(
        "torch", "array", _ARRAY,
        "addmm amax amin argmax argmin logsumexp max maximum mean median min minimum norm prod std sum"
        " var adaptive_avg_pool1d avg_pool1d bilinear cat channel_shuffle conv1d conv2d conv3d flatten"
        " permute pixel_shuffle pixel_unshuffle reshape squeeze stack transpose unsqueeze",
    ),
    **reviewed(
        "torch.optim.swa_utils", "internal",
        "arithmetic on a number, which the state dicts of SWALR of older versions hold",
        "SWALR._cosine_anneal SWALR._linear_anneal",
    ),
    **reviewed(
        "torch._C._nn", "array", _ARRAY, "avg_pool2d avg_pool3d linear one_hot scaled_dot_product_attention"
    ),
    **reviewed(
        "torch", "elementwise", "a function of one array: compiled arithmetic for each element",
        "absolute angle arccos arccosh arcsin arcsinh arctan arctanh conj_physical deg2rad digamma fix"
        " imag isfinite isinf isnan isneginf isposinf isreal lgamma logical_not nan_to_num negative"
        " positive rad2deg real signbit sinc",
    ),
    **reviewed(
        "torch", "combining", "a function of two arrays: compiled arithmetic for each pair of elements",
        "arctan2 bitwise_and bitwise_or bitwise_xor copysign divide eq fmax fmin ge greater gt hypot le"
        " less logaddexp2 logical_and logical_or logical_xor lt multiply ne not_equal subtract xlogy",
    ),
    **reviewed(
        "torch", "array", "sums, orders or rearranges elements; returns no more than it was given",
        "all aminmax any argsort column_stack corrcoef count_nonzero cov cummax cummin cumprod cumsum"
        " diff flip fliplr flipud hstack logcumsumexp moveaxis movedim nanmean nanmedian nansum ravel sort"
        " std_mean swapaxes trace tril triu var_mean vstack",
    ),
    **reviewed(
        "torch._C._linalg", "array", "linear algebra on matrices whose shapes torch checks",
        "linalg_cholesky linalg_cond linalg_cross linalg_det linalg_diagonal linalg_eig linalg_eigh"
        " linalg_eigvals linalg_eigvalsh linalg_inv linalg_lstsq linalg_lu linalg_lu_factor"
        " linalg_matrix_norm linalg_matrix_rank linalg_norm linalg_pinv linalg_qr linalg_slogdet"
        " linalg_solve linalg_svd linalg_svdvals linalg_vecdot linalg_vector_norm",
    ),
    **reviewed(
        "torch._C._special", "elementwise", "a function of one array: compiled arithmetic for each element",
        "special_bessel_j0 special_bessel_j1 special_bessel_y0 special_bessel_y1 special_digamma"
        " special_entr special_erf special_erfc special_erfcx special_erfinv special_exp2 special_expit"
        " special_expm1 special_gammaln special_i0 special_i0e special_i1 special_i1e special_log1p"
        " special_log_ndtr special_logit special_ndtr special_ndtri special_psi special_sinc",
    ),
    **reviewed(
        "torch._C._fft", "array", "Fourier transforms, on tensors whose shapes torch checks",
        "fft_fft fft_fft2 fft_fftn fft_fftshift fft_hfft fft_ifft fft_ifft2 fft_ifftn fft_ifftshift"
        " fft_ihfft fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn",
    ),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("namedtuple", "torch.nn.utils.rnn", "PackedSequence PackedSequence_"),
    **instances("namedtuple", "torch.nn.modules.adaptive", "_ASMoutput"),
    **instances("namedtuple", "torch.nn.modules.module", "_IncompatibleKeys"),
    **instances("enum", "torch.amp.grad_scaler", "OptState"),
    **instances("enum", "torch.ao.quantization.observer", "MappingType TorchAODType ZeroPointDomain"),
    **instances("enum", "torch.ao.quantization.quant_type", "QuantType"),
    **instances("enum", "torch.distributed.fsdp.api", "BackwardPrefetch ShardingStrategy StateDictType"),
    **instances("enum", "torch.nn.utils.parametrizations", "_OrthMaps"),
    **instances("enum", "torch.profiler.profiler", "ProfilerAction"),
    **instances("enum", "torch.serialization", "LoadEndianness"),
    **instances("enum", "torch.utils.checkpoint", "CheckpointPolicy"),
    **instances("enum", "torch.utils.dlpack", "DLDeviceType"),
}  # fmt: skip
"""What its functions return, and its options, in all versions that Saver supports."""
