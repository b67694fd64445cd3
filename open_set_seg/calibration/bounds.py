"""Order statistics as thresholds that hold whatever the distribution is.

S_1, ..., S_n are the statistics of n independent frames (or segments) of one distribution F,
sorted S_(1) <= ... <= S_(n). A threshold S_(k) lets n - k of them alarm at most (ties: fewer), and
the rate at which new ones alarm, R = P(S > S_(k) | S_1, ..., S_n), is random because the sample is.

Tolerance bound (Wilks 1941; Scheffe and Tukey 1945): for continuous F the rate R follows
Beta(n - k + 1, k), so P(R <= a) = P(at least n - k + 1 of n uniforms lie below a), and for any
other F, with ties, P(R <= a) is at least that: S = F^-1(U) gives F(S_(k)) >= U_(k).

Expected rate (split conformal prediction; Papadopoulos et al. 2002, Vovk et al. 2005):
exchangeability alone gives E R <= (n - k + 1) / (n + 1), over samples and new frames together. A
single sample may then have a rate well above the target: about two in five do.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

# What it takes to promise much: beyond this no recording reaches, and searching ends.
MOST_SAMPLES = 10_000_000


class CalibrationError(ValueError):
    """No threshold with this promise, or a stored one that does not fit; one line says why."""


@lru_cache(maxsize=64)
def tolerated_alarms(samples: int, target: float, confidence: float) -> int | None:
    """How many of n samples may lie above the threshold: the most for which the promise holds.

    The largest r with P(Binomial(n, target) <= r) <= 1 - confidence. The threshold is the sample
    below the r largest, S_(n - r).

    Args:
        samples: n, independent and of one distribution.
        target: a in (0, 1): the rate that is to be kept.
        confidence: in (0, 1): share of all samples of this size for which it is kept, at least.

    Returns:
        r, or None where not even the largest sample is enough.
    """
    _check_share("target", target)
    _check_share("confidence", confidence)
    allowed = 1 - Fraction(repr(float(confidence)))
    log_rate, log_rest = math.log(target), math.log1p(-target)
    # The error of lgamma grows with its value: a bound that close is not taken.
    rounding = 1 + 1e-9 + 2e-14 * samples
    total, alarms = 0.0, 0
    while alarms < samples:
        log_term = math.lgamma(samples + 1) - math.lgamma(alarms + 1)
        log_term -= math.lgamma(samples - alarms + 1)
        total += math.exp(log_term + alarms * log_rate + (samples - alarms) * log_rest)
        if total * rounding > allowed:
            break
        alarms += 1
    return alarms - 1 if alarms else None


def expected_alarms(samples: int, target: float) -> int | None:
    """How many of n samples may lie above the threshold if the rate is to hold on average.

    The largest r with (r + 1) / (n + 1) <= target; the target is the decimal that it is written as.

    Returns:
        r, or None where not even the largest sample is enough.
    """
    _check_share("target", target)
    alarms = math.floor(Fraction(repr(float(target))) * (samples + 1)) - 1
    return alarms if alarms >= 0 else None


def needed_samples(target: float, confidence: float | None) -> int:
    """The fewest samples that can promise anything: 59 for 0.05 with 0.95, 299 for 0.01.

    Args:
        confidence: None: for the expected rate, 19 and 99.

    Raises:
        CalibrationError: it would take more than ``MOST_SAMPLES``.
    """
    _check_share("target", target)
    if confidence is None:
        needed = math.ceil(1 / Fraction(repr(float(target)))) - 1
    else:
        _check_share("confidence", confidence)
        needed = math.ceil(math.log1p(-confidence) / math.log1p(-target))
    if needed > MOST_SAMPLES:
        raise CalibrationError(f"a rate of {target:g} takes {needed:.3g} samples: ask for less")
    if confidence is None:
        return needed
    # The quotient of logarithms may round to either side of a whole number.
    needed = max(1, needed - 2)
    while tolerated_alarms(needed, target, confidence) is None:
        needed += 1
    return needed


def allowed_alarms(samples: int, target: float, confidence: float | None) -> int | None:
    """``tolerated_alarms``, or without a confidence ``expected_alarms``."""
    if confidence is None:
        return expected_alarms(samples, target)
    return tolerated_alarms(samples, target, confidence)


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise CalibrationError(f"expected a {name} between 0 and 1, both excluded, found {value}")
