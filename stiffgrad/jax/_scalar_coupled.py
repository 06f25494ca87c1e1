"""The coupled stages of fully implicit methods in the scalar engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from stiffgrad.jax._elimination import Position
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._program import Groups
from stiffgrad.jax._scalar_linear import ScalarLinear


class ScalarCoupled:
    """A sparse elimination on the pattern of all stages; see :class:`_system.Coupled`.

    Args:
        graph: to build it in.
        pattern: positions of the entries of the Jacobian.
        mass: M, or None for the identity.
        inverse: of the method's coefficients, (s, s).
        n: states.
        dtype: of the numbers.
    """

    def __init__(
        self,
        graph: Graph,
        pattern: Sequence[Position],
        mass: np.ndarray | None,
        inverse: np.ndarray,
        n: int,
        dtype: Any,
    ) -> None:
        stages = len(inverse)
        rate = graph.input("rate", dtype)
        entries = [graph.input(f"J{k}", dtype) for k in range(stages * len(pattern))]
        matrix: dict[Position, int] = {(i, i): graph.constant(0, dtype) for i in range(stages * n)}
        full = np.kron(inverse, np.eye(n) if mass is None else mass)
        for i, j in np.argwhere(full):
            matrix[int(i), int(j)] = graph.mul(graph.constant(full[i, j], dtype), rate)
        places = [(k * n + i, k * n + j) for k in range(stages) for i, j in pattern]
        for place, entry in zip(places, entries, strict=True):
            old = matrix.get(place)
            matrix[place] = graph.neg(entry) if old is None else graph.sub(old, entry)
        # For short steps such a pivot is small against its row, until the others are eliminated.
        late = {k * n + i for k in range(stages) if inverse[k, k] == 0 for i in range(n)}
        given: Groups = {"J": entries, "rate": rate} if entries else {"rate": rate}
        self._linear = ScalarLinear(graph, matrix, stages * n, given, dtype, late)
        self._stages, self._has_entries = stages, bool(entries)

    @property
    def operations(self) -> int:
        """Scalar operations in all programs together."""
        return self._linear.operations

    def _given(self, jacobians: jax.Array, h: jax.Array) -> dict[str, jax.Array]:
        return {"J": _merged(jacobians), "rate": 1 / h} if self._has_entries else {"rate": 1 / h}

    def factor(self, jacobians: jax.Array, h: jax.Array) -> Any:
        return self._linear.factor(**self._given(jacobians, h))

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._linear.solve(factors, _merged(b)).reshape(b.shape)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return self._linear.solve_transposed(factors, _merged(b)).reshape(b.shape)

    def backward_error(
        self, jacobians: jax.Array, h: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        return self._linear.backward_error(_merged(x), _merged(b), **self._given(jacobians, h))


def _merged(stacked: jax.Array) -> jax.Array:
    """The stage's axis and the next as one."""
    return stacked.reshape(stacked.shape[0] * stacked.shape[1], *stacked.shape[2:])
