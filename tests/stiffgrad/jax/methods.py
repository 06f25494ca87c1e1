"""What the tests of the integrators share: methods on small systems, and one step of them."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from stiffgrad.jax import _dense
from stiffgrad.jax._array_system import ArraySystem
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._inline_system import InlineSystem
from stiffgrad.jax._integrators import INTEGRATORS
from stiffgrad.jax._scalar_system import ScalarSystem
from tests.stiffgrad.jax.cases import van_der_pol

SYSTEMS = {"scalar": ScalarSystem, "inline": InlineSystem, "array": ArraySystem}
Y, P = jnp.array([1.5, -0.4]), jnp.array([5.0])


def driven(t, y, p):
    """Van der Pol's oscillator with an explicit time in it, to order every coefficient."""
    return van_der_pol(t, y, p[0]) + jnp.stack([jnp.sin(3 * t), t**2 * y[0]])


def linear(t, y, p):
    return p[0] * y


def make(name, rhs=driven, y=Y, p=P, engine="scalar", mass=None):
    """The integrator of that name on a system."""
    closed = jax.make_jaxpr(rhs)(0.0, jnp.asarray(y), jnp.asarray(p))
    return INTEGRATORS[name](SYSTEMS[engine](Traced(closed, mass=mass)))


def exact(y, p, start, end):
    """The solution of `driven`, to rounding."""
    found = scipy.integrate.solve_ivp(
        lambda t, y: np.asarray(_numpy_driven(t, y, p)),
        (start, end),
        y,
        method="DOP853",
        rtol=1e-13,
        atol=1e-13,
    )
    return found.y[:, -1]


def _numpy_driven(t, y, p):
    return [
        y[1] + np.sin(3 * t),
        p[0] * (1 - y[0] ** 2) * y[1] - y[0] + t**2 * y[0],
    ]


def walk(solver):
    """From a number of equal steps and the end to the state there, compiled once."""

    def run(count, end, y, p):
        h = end / count

        def body(i, state):
            return solver.step(i * h, h, state, p).state

        state = solver.begin(jnp.zeros(()), y)
        return jax.lax.fori_loop(0, count, body, state)[: len(y)]

    return compiled(solver, run)


def compiled(solver, fun):
    """`fun` as the solver itself compiles its loops, which is also the fastest to compile."""
    return jax.jit(lambda *args: solver.system.compiled(fun)(*args))


def observed_order(solver, counts, end=0.5):
    """The exponent by which the error falls between two numbers of steps."""
    p = jnp.array([3.0])
    y = jnp.array([2.0, 0.0])
    run, truth = walk(solver), exact(y, p, 0.0, end)
    end = jnp.asarray(end)
    errors = [np.linalg.norm(run(jnp.asarray(count), end, y, p) - truth) for count in counts]
    return np.log(errors[0] / errors[1]) / np.log(counts[1] / counts[0])


def check_derivatives(solver, states, t=0.3, h=0.07, rtol=1e-9):
    """A step's derivatives against those that JAX takes through the iterations of the stages.

    Pushforward, with those of dense output and error estimate, and pullback by its scalar product
    with the pushforward.

    Args:
        solver: the method.
        states: to step from, with how much of each has derivatives.
        t, h: of the step.
        rtol: to which the derivatives agree.
    """
    t, h, p = jnp.asarray(t), jnp.asarray(h), P
    degree = solver.dense_degree
    rng = np.random.default_rng(2)
    terms_bar = jnp.asarray(rng.normal(size=(degree, solver.system.n))) if degree else None

    def both(state, p, state_dot, p_dot, out, terms_bar):
        def step(state, p):
            found = solver.step(t, h, state, p)
            return found.state, found.error, found.terms

        through = jax.jvp(step, (state, p), (state_dot, p_dot))[1]
        found = solver.pushforward(t, h, state, p, state_dot, p_dot)
        pulled = solver.pullback(t, h, state, p, out, terms_bar)
        plain = solver.pullback(t, h, state, p, out)
        return through, found, pulled, plain

    run = compiled(solver, both)
    for state, moving in states:
        carried = jnp.arange(len(state)) < moving
        state_dot, p_dot, out = (jnp.asarray(rng.normal(size=len(x))) for x in (state, p, state))
        dots = state_dot * carried, p_dot
        through, found, pulled, plain = run(state, p, *dots, out * carried, terms_bar)
        for a, b in zip(found, through, strict=True):
            if b is not None:
                np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)
        forward = (out * carried) @ found.state
        _check_product(forward, plain, dots)
        if degree:
            _check_product(forward + jnp.sum(terms_bar * found.terms), pulled, dots)


def _check_product(forward, pulled, dots):
    parts = np.concatenate([a * b for a, b in zip(pulled, dots, strict=True)])
    assert abs(forward - parts.sum()) < 1e-10 * np.abs(parts).sum()


def dense_errors(solver, sizes, theta=0.3):
    """Errors of one step's dense output; and how far it ends from the step."""
    step = compiled(solver, lambda h, y, p: solver.step(jnp.asarray(0.3), h, y, p))
    found = [step(jnp.asarray(h), Y, P) for h in sizes]
    errors = [
        np.linalg.norm(
            np.asarray(_dense.value(Y, s.terms, theta)) - exact(Y, P, 0.3, 0.3 + theta * h)
        )
        for s, h in zip(found, sizes, strict=True)
    ]
    return errors, np.abs(Y + found[0].terms.sum(axis=0) - found[0].state).max()


def stability(solver):
    """R(z) and R'(z) of one step of size 1, R'(z) by the method's own pullback."""

    def one(z, y):
        args = jnp.zeros(()), jnp.ones(()), y, z
        return solver.step(*args).state[0], solver.pullback(*args, y)[1][0]

    run = compiled(solver, one)
    return lambda z: run(jnp.full(1, z), jnp.ones(1))
