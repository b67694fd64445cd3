"""Bets against the hypothesis that new numbers are exchangeable with old ones.

A new number's rank among n - 1 old ones is uniform on 0 .. n - 1 under that hypothesis, and
independent of all earlier ranks, when ties are broken by lot (Vovk, Gammerman, Shafer: Algorithmic
Learning in a Random World, 2005, section 7.1). So a bet whose mean over the ranks is 1 multiplies
into a martingale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Power bets k p^(k - 1) on small ranks, and their mirror images on large ones: the smallest
# exponent grows fastest on ranks beyond all others, the largest on slightly shifted ones (ours).
EXPONENTS = (0.05, 0.2, 0.5)
BETS = 2 * len(EXPONENTS)


def log_bets(ranks: ArrayLike, count: int) -> NDArray[np.float64]:
    """Logarithms of what every bet pays for ranks: (..., BETS), first those on small ranks.

    The payment is the mean of the power bet over ``[rank, rank + 1] / count``, so that its mean
    over all ranks is exactly 1: ``count ((r + 1)^k - r^k) / count^k``.

    Args:
        ranks: (...) in 0 .. count - 1.
        count: of possible ranks.
    """
    exponents = np.array(EXPONENTS)
    low = np.asarray(ranks, np.float64)[..., None]
    high = count - 1 - low
    paid = [((r + 1) / count) ** exponents - (r / count) ** exponents for r in (low, high)]
    return np.asarray(np.log(count * np.concatenate(paid, axis=-1)))


class Evidence:
    """The wealth of bettors on streams of ranks, one stream a statistic.

    For every stream, with bets b and their payments e_b(i) at steps i:

    ``ever``: M(t) = mean over b of sum over j <= t of prior(j) e_b(j) ... e_b(t), plus the prior
    of all j > t; prior(j) = 1 / (j (j + 1)) over the step at which betting begins, so that a long
    quiet time before a change costs 2 log t and not everything. A non-negative martingale that
    begins with 1: it ever reaches 1 / alpha with probability alpha at most (Ville 1939).

    ``recent``: R(t) = mean over b of sum over j <= t of e_b(j) ... e_b(t), Shiryaev and Roberts'
    statistic. R(t) - t is a martingale, so R reaches c within N steps with probability N / c at
    most (Doob).

    Args:
        streams: how many.
    """

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self.restart()

    def restart(self) -> None:
        """Forget all ranks."""
        self._steps = 0
        self._log_ever = np.full((self._streams, BETS), -np.inf)
        self.restart_recent()

    def restart_recent(self) -> None:
        """Let ``recent`` begin anew."""
        self._log_recent = np.full((self._streams, BETS), -np.inf)

    @property
    def steps(self) -> int:
        """Number of ranks that every stream has had."""
        return self._steps

    @property
    def log_ever(self) -> NDArray[np.float64]:
        """log M, (streams,)."""
        waiting = -np.log1p(self._steps)
        return np.asarray(np.logaddexp(_log_mean(self._log_ever), waiting))

    @property
    def log_recent(self) -> NDArray[np.float64]:
        """log R, (streams,); -inf before the first rank."""
        return _log_mean(self._log_recent)

    def add(self, payments: NDArray[np.float64]) -> None:
        """Take the logarithms of the next payments, (streams, BETS), into account."""
        self._steps += 1
        log_prior = -np.log(self._steps * (self._steps + 1.0))
        self._log_ever = np.logaddexp(self._log_ever, log_prior) + payments
        self._log_recent = np.logaddexp(self._log_recent, 0.0) + payments


def _log_mean(logarithms: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.logaddexp.reduce(logarithms, axis=1)
    return np.asarray(total - np.log(logarithms.shape[1]))
