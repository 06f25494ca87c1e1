"""Continuous adjoints with the parameters' integrals in chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, solve

TIMES = np.array([0.0, 0.4, 1.0])
Y0 = np.array([1.0, 0.3])
P = np.array([0.7, 2.0, 0.4, 1.5, -0.6])
RTOL = 1e-8


def rhs(t, y, p):
    a, b = y
    return jnp.stack([-p[0] * a + p[1] * a * b + p[4], p[2] * a - p[3] * b * b])


def gradient(adjoint, chunk=None, integrator="rodas5p"):
    def loss(y0, p):
        found = solve(
            rhs,
            y0,
            TIMES,
            p,
            integrator=integrator,
            adjoint=adjoint,
            chunk=chunk,
            rtol=RTOL,
            atol=1e-10,
        )
        return jnp.sum(found.ys[1:] ** 2)

    return jax.jit(jax.grad(loss, argnums=(0, 1)))(Y0, P)


@pytest.mark.parametrize(
    "adjoint, integrator",
    [
        ("interpolating", "rodas5p"),
        ("interpolating", "radau5"),
        ("backsolve", "rodas5p"),
        ("backsolve-checkpointed", "rodas5p"),
    ],
)
def test_chunked_equals_whole(adjoint, integrator):
    # Two to a pass leave one for the last.
    whole, chunked = gradient(adjoint, None, integrator), gradient(adjoint, 2, integrator)
    for a, b in zip(chunked, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=100 * RTOL)
    assert not np.array_equal(chunked[1], whole[1])


def test_a_chunk_of_all_is_the_whole():
    whole, chunked = gradient("interpolating"), gradient("interpolating", 9)
    for a, b in zip(chunked, whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("adjoint", ["discrete", "gauss", "quadrature", "imex"])
def test_what_a_chunk_would_not_help_says_so(adjoint):
    with pytest.raises(ArgumentError, match=r"no chunk.*again to save nothing.*interpolating"):
        gradient(adjoint, 2)
