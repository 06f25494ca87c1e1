"""Quadrature rules on the unit interval, with an error estimate where there is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stiffgrad.jax._stacks import row


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
    """Nodes and weights on [0, 1].

    Attributes:
        nodes, weights: of the formula.
        differences: its weights less those of a formula of lower order on the same nodes; zeros
            for a rule without an estimate.
    """

    nodes: np.ndarray
    weights: np.ndarray
    differences: np.ndarray

    def apply(
        self, integrand: Callable[[jax.Array], jax.Array], like: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The integral of a function of the unit interval, of the shape of `like`; its error."""
        nodes, weights, differences = (
            jnp.asarray(x, like.dtype) for x in (self.nodes, self.weights, self.differences)
        )

        def one(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            found = integrand(row(nodes, i))
            return sums[0] + row(weights, i) * found, sums[1] + row(differences, i) * found

        zero = jnp.zeros_like(like)
        return lax.fori_loop(0, len(nodes), one, (zero, zero))


def gauss(count: int) -> Rule:
    """Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return Rule((nodes + 1) / 2, weights / 2, np.zeros(count))


def _kronrod(nodes: list[float], weights: list[float], inner: list[float]) -> Rule:
    """From the nodes in [0, 1) of [-1, 1], largest first; every other one is a Gauss node."""
    right = np.array(nodes)
    full = np.concatenate([-right, right[:-1][::-1]])
    w = np.concatenate([weights, weights[:-1][::-1]])
    g = np.zeros(len(nodes))
    g[1::2] = inner
    g = np.concatenate([g, g[:-1][::-1]])
    return Rule((full + 1) / 2, w / 2, (w - g) / 2)


#: Kronrod's extension of the Gauss formula of two nodes; degree 7, the estimate's 3.
#: Kronrod, Nodes and Weights of Quadrature Formulas, 1965.
KRONROD_5 = _kronrod(
    [(6 / 7) ** 0.5, (1 / 3) ** 0.5, 0.0],
    [98 / 495, 27 / 55, 28 / 45],
    [1.0],
)

#: Kronrod's extension of the Gauss formula of seven nodes; degree 22, the estimate's 13.
#: Piessens et al., QUADPACK, 1983, subroutine QK15.
KRONROD_15 = _kronrod(
    [
        0.991455371120812639206854697526329,
        0.949107912342758524526189684047851,
        0.864864423359769072789712788640926,
        0.741531185599394439863864773280788,
        0.586087235467691130294144691258379,
        0.405845151377397166906606412076961,
        0.207784955007898467600689403773245,
        0.0,
    ],
    [
        0.022935322010529224963732008058970,
        0.063092092629978553290700663189204,
        0.104790010322250183839876322541518,
        0.140653259715525918745189590510238,
        0.169004726639267902826583426598550,
        0.190350578064785409913256402421014,
        0.204432940075298892414161999234649,
        0.209482141084727828012999174891714,
    ],
    [
        0.129484966168869693270611432679082,
        0.279705391489276667901467771423780,
        0.381830050505118944950369775488975,
        0.417959183673469387755102040816327,
    ],
)
