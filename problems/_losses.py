"""Scalar losses on the observed states, written once against the Python array API."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Loss(Protocol):
    """L(ys) of the states at the observation times, `ys` of shape (N, n)."""

    def value(self, ys: Any, xp: Any) -> Any:
        """The loss as a 0-d array of the namespace `xp`."""

    def gradient(self, ys: Array) -> Array:
        """dL/dys, shape (N, n), NumPy; what hand-written adjoints start from."""

    def scaled(self, scale: Array) -> "Loss":
        """The same loss as a function of nondimensional states ys / scale."""


def like(values: Any, array: Any, xp: Any) -> Any:
    """`values` as an array of the namespace `xp` with the dtype and device of `array`."""
    # a copy, because PyTorch warns of read-only arrays, which a problem's are
    return beside(np.array(values), array, xp, dtype=array.dtype)


def beside(values: NDArray[Any], array: Any, xp: Any, **dtype: Any) -> Any:
    """`values` as an array of the namespace `xp` on the device of `array`."""
    if xp is np:
        return np.asarray(values, **dtype)
    device = getattr(array, "device", None)
    # a traced array of JAX before 0.4.31 has a method of that name, and asarray() no such argument
    place = {} if device is None or callable(device) else {"device": device}
    return xp.asarray(values, **dtype, **place)


@dataclass(frozen=True)
class LinearLoss:
    """L = sum over observation times and states of weight_j y_j(t_i).

    `weights`: one weight a state, shape (n,).
    """

    weights: tuple[float, ...]

    def value(self, ys: Any, xp: Any) -> Any:
        return xp.sum(ys * like(self.weights, ys, xp))

    def gradient(self, ys: Array) -> Array:
        return np.broadcast_to(np.asarray(self.weights), ys.shape).copy()

    def scaled(self, scale: Array) -> "LinearLoss":
        return LinearLoss(tuple(np.asarray(self.weights) * scale))


@dataclass(frozen=True)
class FitLoss:
    """Misfit to data, every state divided by its own range (Kim et al. 2021, eq. 14).

    `data`: shape (N, n), in the units of the states; `scale`: shape (n,), the range of each state;
    `kind`: `mae`, the paper's mean absolute error, or `least-squares`, half the mean square.
    """

    data: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    kind: Literal["mae", "least-squares"]

    def _misfit(self, ys: Any, xp: Any) -> Any:
        return (ys - like(self.data, ys, xp)) / like(self.scale, ys, xp)

    def value(self, ys: Any, xp: Any) -> Any:
        misfit = self._misfit(ys, xp)
        if self.kind == "mae":
            return xp.mean(xp.abs(misfit))
        return 0.5 * xp.mean(misfit * misfit)

    def gradient(self, ys: Array) -> Array:
        misfit = self._misfit(ys, np)
        slope = np.sign(misfit) if self.kind == "mae" else misfit
        return slope / np.asarray(self.scale) / ys.size

    def scaled(self, scale: Array) -> "FitLoss":
        data = np.asarray(self.data) / scale
        return FitLoss(
            tuple(map(tuple, data.tolist())), tuple(np.asarray(self.scale) / scale), self.kind
        )
