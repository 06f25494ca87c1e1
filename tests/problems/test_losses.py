"""Losses: hand-written gradients against differences, and invariance under scaling."""

import numpy as np
import pytest

from problems import FitLoss, LinearLoss

DATA = ((0.5, 2.0), (1.5, 2.5), (1.0, 9.0))
YS = np.array([[0.7, 1.0], [1.0, 4.0], [3.0, 8.0]])
LOSSES = (
    LinearLoss((1.0, -3.0)),
    FitLoss(DATA, (1.0, 7.0), "mae"),
    FitLoss(DATA, (1.0, 7.0), "least-squares"),
)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_derivative_of_the_value(loss):
    gradient = loss.gradient(YS)
    assert gradient.shape == YS.shape
    for index in np.ndindex(YS.shape):
        step = np.zeros_like(YS)
        step[index] = 1e-3
        difference = (loss.value(YS + step, np) - loss.value(YS - step, np)) / 2e-3
        # exact for all three: none is more than quadratic away from its kinks
        assert gradient[index] == pytest.approx(float(difference), rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_scaled_loss_sees_the_same_states(loss):
    scale = np.array([0.1, 1e3])
    scaled = loss.scaled(scale)
    assert float(scaled.value(YS / scale, np)) == pytest.approx(
        float(loss.value(YS, np)), rel=1e-14
    )
    np.testing.assert_allclose(scaled.gradient(YS / scale), loss.gradient(YS) * scale, rtol=1e-13)


def test_fit_values_by_hand():
    misfit = np.array([[0.2, -1 / 7], [-0.5, 1.5 / 7], [2.0, -1 / 7]])
    mae, squares = LOSSES[1:]
    assert float(mae.value(YS, np)) == pytest.approx(np.mean(np.abs(misfit)))
    assert float(squares.value(YS, np)) == pytest.approx(np.mean(misfit**2) / 2)
