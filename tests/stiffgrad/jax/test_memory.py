"""What the record of a solve takes, by the compiler's own plan of its memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import solve
from tests.stiffgrad.jax import cases

TIMES = np.array([0.0, 1.0, 10.0])
LANES = 3
ROW = 8 * (3 + 3)


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled():
    """Not here: the compiler's own decisions are tested as users have them."""


def temporary_bytes(max_steps, lanes, **options):
    def loss(k):
        found = solve(cases.rober, cases.ROBER_Y0, TIMES, k, max_steps=max_steps, **options)
        return jnp.sum(found.ys[:, 0])

    gradient, k = jax.value_and_grad(loss), cases.ROBER_K
    if lanes:
        gradient, k = jax.vmap(gradient), jnp.tile(k, (lanes, 1))
    return jax.jit(gradient).lower(k).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize(
    "lanes, options", [(0, {}), (LANES, {}), (0, {"engine": "inline"}), (0, {"observe": "dense"})]
)
def test_a_step_is_held_once(lanes, options):
    few, many = (temporary_bytes(max_steps, lanes, **options) for max_steps in (1000, 3000))
    assert (many - few) / 2000 == pytest.approx(ROW * max(lanes, 1), rel=0.02)


def test_a_record_that_nobody_reads_compiles():
    # XLA aborts the process where it finds that a compiled loop's argument is not used.
    def value(k):
        pulled = jax.vjp(lambda k: solve(cases.rober, cases.ROBER_Y0, TIMES, k).ys[-1, 0], k)
        return pulled[0]

    assert 0 < jax.jit(value)(cases.ROBER_K) < 1
