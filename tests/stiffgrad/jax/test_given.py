"""Jacobians and vector-Jacobian products that the user passes: used, checked, never traced away."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, solve

TIMES = jnp.array([0.0, 0.4, 1.0])
Y0 = {"a": jnp.array([1.0, 0.2]), "b": jnp.asarray(-0.5)}
P = {"k": jnp.array([3.0, 40.0]), "c": jnp.asarray(0.7)}


def rhs(t, y, p):
    (u, v), w = y["a"], y["b"]
    k, c = p["k"], p["c"]
    first = -k[0] * u + v * w + jnp.sin(t)
    return {"a": jnp.stack([first, k[1] * (u**2 - v)]), "b": c * u - w}


def jacobian(t, y, p):
    (u, v), w = y["a"], y["b"]
    k, c = p["k"], p["c"]
    return jnp.array([[-k[0], w, v], [2 * k[1] * u, -k[1], 0.0], [c, 0.0, -1.0]])


def vjp(t, y, p, along):
    (u, v), _ = y["a"], y["b"]
    (x1, x2), x3 = along["a"], along["b"]
    of_y = jnp.stack([x1, x2, x3]) @ jacobian(t, y, p)
    of_p = {"k": jnp.stack([-u * x1, (u**2 - v) * x2]), "c": u * x3}
    return {"a": of_y[:2], "b": of_y[2]}, of_p


def wrong_jacobian(t, y, p):
    return 0.5 * jacobian(t, y, p)


def wrong_vjp(t, y, p, along):
    return jax.tree.map(lambda x: 2 * x, vjp(t, y, p, along))


def gradients(adjoint="discrete", **options):
    """Loss and gradient with a few equal steps, so that the steps' own formulas show."""

    def loss(y0, p):
        ys = solve(rhs, y0, TIMES, p, adjoint=adjoint, steps=5, **options).ys
        total = jnp.sum(ys["a"][:, 0] * ys["b"]) + jnp.sum(ys["a"] ** 2)
        return total, total

    derive = jax.jacrev if adjoint == "discrete" else jax.jacfwd
    found = jax.jit(derive(loss, argnums=(0, 1), has_aux=True))(Y0, P)
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(found)])


@pytest.fixture(scope="module")
def derived():
    return gradients()


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_right_ones_change_nothing(engine, derived):
    found = gradients(engine=engine, jacobian=jacobian, vjp=vjp)
    np.testing.assert_allclose(found, derived, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_a_given_jacobian_is_the_one_in_the_steps(engine, derived):
    """The Jacobian is part of a Rosenbrock step: half of it gives other states, consistently."""
    found = gradients(engine=engine, jacobian=wrong_jacobian)
    # the loss, and every part of its gradient
    assert np.all(np.abs(found / derived - 1) > 1e-6)
    forward = gradients("forward-discrete", engine=engine, jacobian=wrong_jacobian)
    np.testing.assert_allclose(found, forward, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_a_given_vjp_is_the_one_in_the_adjoint(engine, derived):
    found = gradients(engine=engine, vjp=wrong_vjp)
    assert found[-1] == pytest.approx(derived[-1], rel=1e-12)
    assert np.all(np.abs(found[:-1] / derived[:-1] - 1) > 1e-3)


def test_an_implicit_method_only_needs_a_jacobian_that_converges(derived):
    found = gradients(integrator="sdirk2", jacobian=jacobian, vjp=vjp)
    np.testing.assert_allclose(found, gradients(integrator="sdirk2"), rtol=1e-10, atol=1e-12)


SOLVE = {"rhs": rhs, "y0": Y0, "t": TIMES, "p": P}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jacobian": lambda t, y, p: jnp.ones((3, 2))}, r"shape \(3, 3\).*found \(3, 2\)"),
        ({"jacobian": lambda t, y, p: y}, "must return a matrix"),
        ({"vjp": lambda t, y, p, v: v}, r"the pair .*found dict"),
        ({"vjp": lambda t, y, p, v: (v, y)}, "for p expected"),
        ({"vjp": lambda t, y, p, v: (jnp.ones(3), p)}, "for y0 expected"),
        ({"vjp": lambda t, y, p, v: (v, {"k": jnp.ones(3), "c": 0.0})}, "for p expected"),
    ],
)
def test_what_has_the_wrong_shape_is_named(given, message):
    with pytest.raises(ArgumentError, match=message):
        solve(**SOLVE, **given)


def test_a_rhs_over_traced_values_goes_without():
    def final(rate):
        def closed(t, y, p):
            return jax.tree.map(lambda x: rate * x, rhs(t, y, p))

        return solve(closed, Y0, TIMES, P, jacobian=jacobian).ys["b"][-1]

    with pytest.raises(ArgumentError, match="rhs closes over traced values"):
        jax.grad(final)(1.0)


@pytest.mark.parametrize("name", ["jacobian", "vjp"])
def test_given_functions_over_traced_values_are_refused(name):
    """Their derivatives by those values would be lost without a word."""

    def final(rate):
        given = {
            "jacobian": lambda t, y, p: rate * jacobian(t, y, p),
            "vjp": lambda t, y, p, v: jax.tree.map(lambda x: rate * x, vjp(t, y, p, v)),
        }
        return solve(**SOLVE, **{name: given[name]}).ys["b"][-1]

    with pytest.raises(ArgumentError, match=f"{name} closes over traced values"):
        jax.grad(final)(1.0)
