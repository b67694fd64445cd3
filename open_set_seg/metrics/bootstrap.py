"""How sure a figure is: bootstrap intervals, paired differences, sign-flip tests, Holm.

The sampling unit is the image (pixels of one image are no independent witnesses), and of several
training runs the seed. A *statistic* is a function of weights: given (B, n) counts that say how
often each of n images was drawn in each of B resamples, it returns the (B,) figures of those
resamples. Any figure that can be computed from sums over images has one. Sources: Efron and
Tibshirani, An Introduction to the Bootstrap (1993); Holm, Scand. J. Statistics (1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Values = NDArray[np.float64]
Statistic = Callable[[Counts], Values]
Statistics = Callable[[Counts], Mapping[str, Values]]

# Up to this many pairs all 2^n signs are enumerated.
MAX_ENUMERATED = 20
# Two sums of the same numbers in another order differ by rounding only.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Interval:
    """A figure with its percentile interval.

    Attributes:
        estimate: the figure of the sample itself.
        low, high: limits; NaN where no resample has a figure.
        level: share of such intervals that should hold the true figure.
        resamples: how many resamples the limits come from; those whose figure is NaN (because no
            outlier was drawn, for example) are left out.
    """

    estimate: float
    low: float
    high: float
    level: float
    resamples: int


def resample_counts(n: int, resamples: int, seed: int) -> Counts:
    """(resamples, n) how often each of ``n`` units is drawn in n draws with replacement.

    Raises:
        ValueError: nothing to draw from, or no resample.
    """
    if n < 1 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {n} units: both must be at least 1")
    return _draw(np.random.default_rng(seed), n, resamples)


def percentile_interval(values: Values, estimate: float, level: float = 0.95) -> Interval:
    """The interval between the (1 - level) / 2 quantiles from both ends of resampled figures."""
    if not 0 < level < 1:
        raise ValueError(f"the level is a share between 0 and 1, not {level}")
    known = values[~np.isnan(values)]
    low, high = float("nan"), float("nan")
    if known.size:
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(float(estimate), low, high, level, int(known.size))


def image_intervals(
    statistics: Statistics, n: int, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of several figures of the same ``n`` images, all from the same resamples."""
    estimates = statistics(np.ones((1, n), np.int64))
    values = statistics(resample_counts(n, resamples, seed))
    return {
        name: percentile_interval(values[name], float(estimates[name][0]), level)
        for name in estimates
    }


def image_interval(
    statistic: Statistic, n: int, resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of one figure of ``n`` images."""
    return image_intervals(_named(statistic), n, resamples, level, seed)[""]


def hierarchical_intervals(
    statistics: Sequence[Statistics],
    images: int | Sequence[int],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Intervals of means over training seeds: seeds are drawn, then images.

    Of few seeds they are too short, for S drawn seeds show only (S - 1) / S of their variance and
    the limits are no Student's: with fewer than eight describe, and claim by ``sign_flip_test``.

    Args:
        statistics: one a seed, the figures of that seed's model.
        images: a number: all seeds are measured on the *same* images (in the same order), which
            are drawn once a resample for all of them; a sequence: every seed has images of its
            own, so many, drawn anew each time that the seed is drawn.

    Raises:
        ValueError: no seed, numbers of images that are not one a seed, or nothing to draw.
    """
    seeds, shared = len(statistics), isinstance(images, int)
    own = [images] * seeds if isinstance(images, int) else list(images)
    if not seeds or len(own) != seeds or min(own) < 1 or resamples < 1:
        raise ValueError(
            f"{resamples} resamples of {seeds} seeds with images {images}: one number of images, "
            "or one a seed, and at least one of everything"
        )
    once = [one(np.ones((1, n), np.int64)) for one, n in zip(statistics, own, strict=True)]
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, seeds, (resamples, seeds))
    if shared:
        weights = _draw(generator, own[0], resamples)
        found = [one(weights) for one in statistics]
        means = {
            name: _means_of_drawn(np.stack([one[name] for one in found]), drawn) for name in once[0]
        }
    else:
        values = {name: np.empty((resamples, seeds)) for name in once[0]}
        for index, statistic in enumerate(statistics):
            row, place = np.nonzero(drawn == index)
            if row.size:
                for name, figures in statistic(_draw(generator, own[index], row.size)).items():
                    values[name][row, place] = figures
        means = {name: table.mean(axis=1) for name, table in values.items()}
    return {
        name: percentile_interval(values, float(np.mean([one[name][0] for one in once])), level)
        for name, values in means.items()
    }


def resampled_interval(
    figures: Values,
    resampled: Values,
    repeats: int = 10,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of a mean over training seeds of which only figures of resamples were kept.

    Like ``hierarchical_intervals`` on shared images, but every draw of images meets ``repeats``
    draws of S - 1 of the S seeds (of one seed: that one). The mean of S - 1 drawn seeds varies as
    the mean of S seeds does, which the mean of S drawn ones does not (Rao and Wu, Journal of the
    American Statistical Association, 1988). Of eight seeds 95 % intervals still cover only 91 %
    (instead of 88 %) where all of the spread is between seeds, and more where images add to it.

    Args:
        figures: (S,) of every seed's model on the images as they are.
        resampled: (S, B), of resample b of the images, the same one for all seeds in column b.
            For paired differences, pass differences of figures.

    Raises:
        ValueError: shapes that do not belong together, or nothing to draw from.
    """
    if figures.ndim != 1 or resampled.shape[:1] != figures.shape or resampled.ndim != 2:
        raise ValueError(f"figures {figures.shape} of seeds, resampled {resampled.shape}")
    seeds, draws = resampled.shape
    if min(seeds, draws, repeats) < 1:
        raise ValueError(f"{repeats} x {draws} resamples of {seeds} seeds: at least one of each")
    size = (draws * repeats, max(1, seeds - 1))
    drawn = np.random.default_rng(seed).integers(0, seeds, size)
    means = _means_of_drawn(np.tile(resampled, repeats), drawn)
    return percentile_interval(means, float(figures.mean()), level)


def hierarchical_interval(
    statistics: Sequence[Statistic],
    images: int | Sequence[int],
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of one figure over training seeds; see ``hierarchical_intervals``."""
    named = [_named(statistic) for statistic in statistics]
    return hierarchical_intervals(named, images, resamples, level, seed)[""]


def differences_of(first: Statistics, second: Statistics) -> Statistics:
    """First minus second on the same draws: pass it for the intervals of paired differences.

    Both must be measured on the same images in the same order. Where images are shared, most of
    the spread is shared too, and a difference is known much better than either figure.
    """

    def statistics(weights: Counts) -> dict[str, Values]:
        subtracted = second(weights)
        return {name: one - subtracted[name] for name, one in first(weights).items()}

    return statistics


def difference_of(first: Statistic, second: Statistic) -> Statistic:
    """``differences_of`` for one figure."""
    return lambda weights: first(weights) - second(weights)


def mean_of(values: Values) -> Statistic:
    """The statistic "mean over images" of (n,) figures; images whose figure is NaN have no say."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)

    def statistic(weights: Counts) -> Values:
        count = weights @ known.astype(np.int64)
        mean = np.full(len(weights), np.nan)
        np.divide(weights @ filled, count, out=mean, where=count > 0)
        return mean

    return statistic


def sign_flip_test(differences: Sequence[float], resamples: int = 100_000, seed: int = 0) -> float:
    """Two-sided p of paired differences: were their signs thrown by a fair coin?

    p = share of sign assignments whose |mean| reaches that of the data. Up to 20 pairs all 2^n
    assignments are enumerated, so p is exact and at least 2 / 2^n: 0.0625 for 5 pairs, 0.03125 for
    6, 0.0078125 for 8. Above, signs are drawn and p = (1 + reached) / (1 + resamples).

    Raises:
        ValueError: no difference, or one that is not finite.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"the test needs finite differences of pairs, not {differences}")
    bar = abs(values.sum()) - ROUNDING * np.abs(values).sum()
    if values.size <= MAX_ENUMERATED:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= bar))
    generator = np.random.default_rng(seed)
    reached = 0
    for start in range(0, resamples, 1000):
        rows = min(1000, resamples - start)
        signs = generator.integers(0, 2, (rows, values.size)) * 2 - 1
        reached += int(np.count_nonzero(np.abs(signs @ values) >= bar))
    return (1 + reached) / (1 + resamples)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: reject where one is at most the level.

    The i-th smallest of m is max over j <= i of min(1, (m - j + 1) p_(j)); the chance of any false
    rejection is at most the level, whatever the dependence between the tests.

    Raises:
        ValueError: a value outside [0, 1].
    """
    values = np.asarray(p_values, np.float64)
    if values.ndim != 1 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(f"p values lie between 0 and 1, not {p_values}")
    order = np.argsort(values, kind="stable")
    stepped = np.minimum(1, values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(stepped)
    listed: list[float] = adjusted.tolist()
    return listed


def _means_of_drawn(figures: Values, drawn: Counts) -> Values:
    """(B,) means of the drawn seeds' figures: (S, B) figures, (B, drawn) numbers of seeds."""
    means: Values = np.take_along_axis(figures.T, drawn, axis=1).mean(axis=1)
    return means


def _named(statistic: Statistic) -> Statistics:
    return lambda weights: {"": statistic(weights)}


def _draw(generator: np.random.Generator, n: int, resamples: int) -> Counts:
    drawn = generator.integers(0, n, (resamples, n))
    rows = n * np.arange(resamples)[:, None]
    return np.bincount((rows + drawn).ravel(), minlength=resamples * n).reshape(resamples, n)
