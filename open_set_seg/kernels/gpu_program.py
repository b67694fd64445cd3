"""The open-set head as one Triton program; to be imported only where triton is.

An instance walks ``ROWS`` output rows of ``BLOCK`` columns. It gathers the four neighbours of every
pixel in all K classes and keeps the blended logits in registers: the full-size logits never exist.
A tile holds a power of two of classes, so K is cut into two of them: 19 takes 16 + 4, not 32.

Formulas are those of ``open_set_seg.scores``. Powers and logarithms have base 2; the coefficients
that bring them to base e are for ``gpu_head`` to compute.
"""

import torch
import triton
import triton.language as tl

# Below, 2^y is no ordinary float32 number, and adds nothing to a sum that is at least 1.
LOWEST = tl.constexpr(-125.0)
LN2 = tl.constexpr(0.6931471805599453)

# One compilation serves all sizes and layouts; a stride of 1 would make another one otherwise.
_SIZES = [
    f"{tensor}{axis}_stride"
    for tensor in ("", "outlier_")
    for axis in ("batch", "class", "row", "column")
] + ["source_rows", "source_columns", "rows", "columns", "unknown"]


@triton.jit
def _log_two(x, FAST: tl.constexpr):
    # The unit for logarithms is right to 2^-22 on what is at least 1; else ten times as much code
    # would be made. ftz: without it the smallest numbers have a branch of their own.
    if FAST:
        return tl.inline_asm_elementwise(
            "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return tl.log2(x)


@triton.jit
def _find_neighbours(place, source, target):
    """First and second source place of an output place, and the weight of the second.

    (i + 1/2) n / N - 1/2 in whole numbers, so that a weight is 0 only where it should be.
    """
    numerator = tl.maximum((2 * place + 1) * source - target, 0)
    first = numerator // (2 * target)
    remainder = numerator - first * (2 * target)
    weight = remainder.to(tl.float32) / (2 * target).to(tl.float32)
    # A neighbour of weight 0 is not read: whatever it holds, it does not reach the pixel.
    second = tl.where(remainder > 0, tl.minimum(first + 1, source - 1), first)
    return first, second, weight


@triton.jit
def _blend(a, b, c, d, weight_a, weight_b, weight_c, weight_d, offset):
    """Blend of four neighbours: (columns,) of one plane, (classes, columns) of several."""
    # No a + w (b - a): the difference of two finite numbers may be none.
    blended = tl.load(a + offset).to(tl.float32) * weight_a
    blended += tl.load(b + offset).to(tl.float32) * weight_b
    blended += tl.load(c + offset).to(tl.float32) * weight_c
    blended += tl.load(d + offset).to(tl.float32) * weight_d
    return blended


@triton.jit
def _sum_classes(main, rest):
    return tl.sum(main, 0) + tl.sum(rest, 0)


@triton.jit
def _find_nearest(main, rest, classes, others, CLASSES: tl.constexpr):
    """The largest logit, and its class: the lower one of equal ones."""
    best = tl.maximum(tl.max(main, 0), tl.max(rest, 0))
    nearest = tl.min(tl.where(main == best, classes[:, None], CLASSES), 0)
    other = tl.min(tl.where(rest == best, others[:, None], CLASSES), 0)
    return best, tl.minimum(nearest, other)


@triton.jit
def _sigmoid(x):
    """1 / (1 + 2^-x)"""
    return 1.0 / (1.0 + tl.exp2(tl.minimum(tl.maximum(-x, LOWEST), -LOWEST)))


@triton.jit
def _log_sigmoid(x, FAST: tl.constexpr):
    """ln(1 / (1 + e^-x))"""
    power = tl.exp2(tl.maximum(-tl.abs(x) / LN2, LOWEST))
    return tl.minimum(x, 0.0) - LN2 * _log_two(1.0 + power, FAST)


@triton.jit
def _mixture(weights, ratio, FAST: tl.constexpr):
    u = 1.0 + weights * ratio
    return u * _log_two(u, FAST)


@triton.jit
def _score_classes(
    main, rest, best, factor, offset, slope, mixture,
    FORMULA: tl.constexpr, CLASSES: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """What class logits alone say; ``rest`` is -inf where there is no class."""
    if FORMULA == "max_logit":
        return slope * best
    exponents = tl.maximum((main - best) * factor, LOWEST)
    other_exponents = tl.maximum((rest - best) * factor, LOWEST)
    weights = tl.exp2(exponents)
    other_weights = tl.exp2(other_exponents)
    total = _sum_classes(weights, other_weights)
    if FORMULA == "msp":
        return tl.maximum(1.0 - 1.0 / total, 0.0)
    bits = _log_two(total, FAST)
    if FORMULA == "energy":
        return slope * bits - best
    if FORMULA == "kl":
        rest = tl.where(rest > float("-inf"), rest, 0.0)
        mean = _sum_classes(main * (1.0 / CLASSES), rest * (1.0 / CLASSES))
        return tl.minimum(offset + slope * ((mean - best) * factor - bits), 0.0)
    bits -= _sum_classes(weights * exponents, other_weights * other_exponents) / total
    if FORMULA == "entropy":
        return tl.maximum(slope * bits, 0.0)
    ratio = CLASSES / total
    mixed = _sum_classes(_mixture(weights, ratio, FAST), _mixture(other_weights, ratio, FAST))
    return tl.maximum(offset + slope * bits + mixture * mixed, 0.0)


@triton.jit
def _score(
    main, rest, best, nearest, difference, mean, deviation, factor, offset, slope, mixture,
    FORMULA: tl.constexpr, CLASSES: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """The score; ``difference`` is what the outlier logit is above the inlier logit."""
    if FORMULA == "op":
        return _sigmoid(difference * factor)
    if FORMULA == "sml":
        return (tl.load(mean + nearest) - best) / tl.load(deviation + nearest)
    if FORMULA == "op_ms":
        inlier = _score_classes(
            main, rest, best, factor, offset, slope, mixture, "msp", CLASSES, FAST
        )
        return _sigmoid(difference * factor) * inlier
    if FORMULA == "dense_hybrid":
        inlier = _score_classes(
            main, rest, best, factor, offset, slope, mixture, "energy", CLASSES, FAST
        )
        return _log_sigmoid(difference, FAST) + inlier
    return _score_classes(main, rest, best, factor, offset, slope, mixture, FORMULA, CLASSES, FAST)


@triton.jit
def _point(plane, upper, lower, left, right, row_stride, column_stride):
    """The four neighbours in the first plane, row by row."""
    upper = plane + upper.to(tl.int64) * row_stride
    lower = plane + lower.to(tl.int64) * row_stride
    left = left.to(tl.int64) * column_stride
    right = right.to(tl.int64) * column_stride
    return upper + left, upper + right, lower + left, lower + right


@triton.jit(do_not_specialize=_SIZES)
def walk_image(
    logits, outlier, mean, deviation, nearest_map, values_map, labels_map,
    batch_stride, class_stride, row_stride, column_stride,
    outlier_batch_stride, outlier_class_stride, outlier_row_stride, outlier_column_stride,
    source_rows, source_columns, rows, columns,
    factor, offset, slope, mixture, published_slope, published_shift, maximum, threshold, unknown,
    FORMULA: tl.constexpr, PUBLISHED: tl.constexpr, CLASSES: tl.constexpr, MAIN: tl.constexpr,
    REST: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, FAST: tl.constexpr,
):  # fmt: skip
    """Nearest class of every pixel, and its anomaly and label where there are maps for them.

    The grid is (blocks of columns, blocks of rows, images). Pointers that are not needed are None.
    """
    batch = tl.program_id(2).to(tl.int64)
    x = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    left, right, wx = _find_neighbours(tl.minimum(x, columns - 1), source_columns, columns)
    classes = tl.arange(0, MAIN)
    others = MAIN + tl.arange(0, REST)
    # 64-bit offsets: the classes of one image may lie further apart than 2^31 elements.
    planes = (classes.to(tl.int64) * class_stride)[:, None]
    other_planes = (tl.minimum(others, CLASSES - 1).to(tl.int64) * class_stride)[:, None]
    begin = tl.program_id(1) * ROWS
    for y in tl.range(begin, tl.minimum(begin + ROWS, rows)):
        upper, lower, wy = _find_neighbours(y, source_rows, rows)
        wa, wb, wc, wd = (1 - wy) * (1 - wx), (1 - wy) * wx, wy * (1 - wx), wy * wx
        image = logits + batch * batch_stride
        a, b, c, d = _point(image, upper, lower, left, right, row_stride, column_stride)
        main = _blend(a, b, c, d, wa, wb, wc, wd, planes)
        rest = _blend(a, b, c, d, wa, wb, wc, wd, other_planes)
        # 0 z is 0 for every number, and NaN for what is none.
        zeros = _sum_classes(main * 0.0, rest * 0.0)
        rest = tl.where((others < CLASSES)[:, None], rest, float("-inf"))
        best, nearest = _find_nearest(main, rest, classes, others, CLASSES)
        difference = 0.0
        if outlier is not None:
            image = outlier + batch * outlier_batch_stride
            a, b, c, d = _point(
                image, upper, lower, left, right, outlier_row_stride, outlier_column_stride
            )
            inlier = _blend(a, b, c, d, wa, wb, wc, wd, 0)
            difference = _blend(a, b, c, d, wa, wb, wc, wd, outlier_class_stride)
            zeros += inlier * 0.0 + difference * 0.0
            difference -= inlier
        known = zeros == 0.0
        nearest = tl.where(known, nearest, 0)
        pixel = (batch * rows + y) * columns + x
        if nearest_map is not None:
            tl.store(nearest_map + pixel, nearest.to(tl.uint8), mask=x < columns)
        if FORMULA != "none":
            values = _score(
                main, rest, best, nearest, difference, mean, deviation, factor, offset, slope,
                mixture, FORMULA, CLASSES, FAST,
            )  # fmt: skip
            if PUBLISHED:
                published = _sigmoid(values * published_slope - published_shift)
                values = tl.where(values == values, published, values)
            # NaN is not <= anything.
            values = tl.where(known & (values <= maximum), values, maximum)
            tl.store(values_map + pixel, values.to(values_map.dtype.element_ty), mask=x < columns)
            if labels_map is not None:
                labels = tl.where(values > threshold, unknown, nearest)
                tl.store(labels_map + pixel, labels.to(tl.uint8), mask=x < columns)


# Compiled by Triton for an NVIDIA GPU: neither interpreted nor for another maker's.
FOR_CUDA = isinstance(walk_image, triton.JITFunction) and torch.version.hip is None
