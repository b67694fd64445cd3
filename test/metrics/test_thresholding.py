"""Comparisons that do not depend on how a threshold is rounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.metrics.thresholding import strictly_above


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.floats(allow_nan=False),
    st.integers(-3, 3),
)
def test_scores_are_compared_as_real_numbers(dtype, threshold, steps):
    # Scores around the threshold, a few representable numbers away.
    with np.errstate(over="ignore", under="ignore"):
        score = dtype(threshold)
        for _ in range(abs(steps)):
            score = np.nextafter(score, dtype(np.sign(steps) * np.inf))
    assert strictly_above(np.array([score]), threshold)[0] == (float(score) > threshold)


def test_a_threshold_between_two_scores_of_low_precision_parts_them():
    # In float32 arithmetic 0.1 rounds up to the upper score, which would then not be above.
    upper = np.float32(0.1)
    scores = np.array([np.nextafter(upper, np.float32(0)), upper])
    assert float(scores[0]) < 0.1 < float(scores[1])
    np.testing.assert_array_equal(strictly_above(scores, 0.1), [False, True])


def test_a_threshold_that_is_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        strictly_above(np.zeros(3), float("nan"))
