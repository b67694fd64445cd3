"""Curves of two classes against closed forms, and pictures as files."""

import numpy as np
import pytest
from made_figures import open_picture

from training.figures.divergence_curves import LOOKS, draw_divergence_curves, two_class_curve
from training.presentation import canvas
from training.presentation.canvas import LARGEST_PNG, PictureTooLargeError, draw_canvas

P = np.linspace(0.02, 0.98, 25)
Q = 1 - P


def entropy_of(*parts):
    return -sum(part * np.log(part) for part in parts)


# Written down by hand for (p, 1 - p) and (1/2, 1/2).
VALUES = {
    "kl": -np.log(2) - 0.5 * np.log(P * Q),
    "reverse_kl": np.log(2) - entropy_of(P, Q),
    "js": entropy_of((0.5 + P) / 2, (0.5 + Q) / 2) - 0.5 * (entropy_of(P, Q) + np.log(2)),
    "pearson": 1 / (4 * P * Q) - 1,
    "squared_hellinger": 1 - (np.sqrt(P) + np.sqrt(Q)) / np.sqrt(2),
}
# dp / dz = p (1 - p).
SLOPES = {
    "kl": np.abs(P - 0.5),
    "reverse_kl": np.abs(P * Q * np.log(P / Q)),
    "js": np.abs(P * Q * 0.5 * np.log(P * (0.5 + Q) / (Q * (0.5 + P)))),
    "pearson": np.abs(2 * P - 1) / (4 * P * Q),
    "squared_hellinger": np.abs(np.sqrt(P) * Q - np.sqrt(Q) * P) / (2 * np.sqrt(2)),
}


@pytest.mark.parametrize("name", LOOKS)
def test_curves_are_the_closed_forms_of_two_classes(name):
    curve = two_class_curve(name, P)
    np.testing.assert_allclose(curve.values, VALUES[name], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(curve.slopes, SLOPES[name], rtol=1e-9, atol=1e-14)


def test_the_order_of_the_legend_is_that_of_the_curves():
    heights = [two_class_curve(name, np.array([0.97])).values[0] for name in LOOKS]
    assert heights == sorted(heights, reverse=True)


def test_a_picture_is_a_small_png_on_white():
    picture = draw_divergence_curves()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) <= LARGEST_PNG
    pixels = open_picture(picture)
    assert pixels.shape[1] == 9.0 * canvas.DOTS_PER_INCH
    assert (pixels[[0, -1]] == 255).all()


def test_a_picture_that_stays_too_large_is_refused_and_one_that_need_not_be_is_not(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def draw():
        with draw_canvas(1.0, 1.0, photographs=True) as (drawing, picture):
            drawing.figimage(noise, xo=3, yo=3)
        return picture[0]

    full = len(draw())
    monkeypatch.setattr(canvas, "LARGEST_PNG", full - 1)
    fewer = draw()
    assert len(fewer) < full
    monkeypatch.setattr(canvas, "LARGEST_PNG", 1000)
    with pytest.raises(PictureTooLargeError, match="at most 1000 bytes"):
        draw()
