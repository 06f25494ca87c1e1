"""Scalar expression graphs: simplification, derivatives and the way from JAX functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import _differentiate, _graph
from stiffgrad.jax._graph import Graph
from stiffgrad.jax._scalarise import NotScalar, interpret


def scalarised(fun, *args):
    """The graph, input ids and output ids of a function of arrays."""
    graph = Graph()
    ids = []
    for k, arg in enumerate(args):
        arg = np.asarray(arg)
        flat = [graph.input(f"{k}.{i}", arg.dtype) for i in range(arg.size)]
        ids.append(np.asarray(flat, np.int64).reshape(arg.shape))
    out = interpret(graph, jax.make_jaxpr(fun)(*args), ids)[0]
    return graph, ids, out


def evaluate(graph, nodes, ids, args):
    values = {
        int(i): jnp.asarray(x)
        for group, arg in zip(ids, args, strict=True)
        for i, x in zip(np.ravel(group), np.ravel(arg), strict=True)
    }
    return np.asarray([np.asarray(x) for x in _graph.emit(graph, list(nodes), values)])


def everything(y, p):
    """Most kinds of operation that the scalar engine knows."""
    weights = jnp.array([[1.0, 0.0, -2.0], [0.5, 3.0, 0.0]])
    a = jnp.tanh(weights @ y) * jnp.exp(-p[:2])
    b = jnp.where(y > 0.5, y**3, jnp.sqrt(1 + y**2)) / (1 + p.sum())
    c = jnp.concatenate([a, b[::-1]])[jnp.array([4, 0, 2, 2])]
    d = jnp.zeros(4).at[jnp.array([1, 1, 3])].add(y * p[0]) + c
    e = jnp.prod(y) * jnp.max(p) - jnp.minimum(y[0], p[1]) + jax.nn.sigmoid(y[2]) ** 2.5
    outer = jnp.einsum("i,j->ij", y, p)[1].reshape(-1)
    return jnp.concatenate([d, e[None], outer.at[0].set(2.0)])


Y = np.array([0.3, 0.8, 1.1])
P = np.array([0.7, 0.2, 0.9])


def test_a_scalarised_function_has_the_values_of_the_original():
    graph, ids, out = scalarised(everything, Y, P)
    found = evaluate(graph, out, ids, (Y, P))
    np.testing.assert_allclose(found, everything(Y, P), rtol=1e-14)


def test_operations_with_several_results_move_elements():
    def halves(y):
        first, second = jnp.split(y, 2)
        return jnp.concatenate([second, first**2])

    graph, ids, out = scalarised(halves, np.arange(4.0))
    assert list(out[:2]) == list(ids[0][2:])
    found = evaluate(graph, out, ids, (np.arange(4.0),))
    np.testing.assert_allclose(found, [2, 3, 0, 1], rtol=1e-14)


def test_its_jacobian_is_jaxs():
    graph, ids, out = scalarised(everything, Y, P)
    rows = _differentiate.jacobian(graph, list(out), list(ids[0]))
    dense = np.zeros((len(out), len(Y)))
    for i, row in enumerate(rows):
        if row:
            dense[i, list(row)] = evaluate(graph, row.values(), ids, (Y, P))
    np.testing.assert_allclose(dense, jax.jacfwd(everything)(Y, P), rtol=1e-13, atol=1e-15)


def test_its_gradient_is_jaxs():
    graph, ids, out = scalarised(everything, Y, P)
    weights = np.linspace(-1, 2, len(out))
    cotangents = [graph.constant(w, float) for w in weights]
    nodes = _differentiate.gradient(graph, list(out), cotangents, [*ids[0], *ids[1]])
    zero = graph.constant(0, float)
    found = evaluate(graph, [zero if n is None else n for n in nodes], ids, (Y, P))
    expected = jax.grad(lambda y, p: weights @ everything(y, p), argnums=(0, 1))(Y, P)
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-13, atol=1e-15)


def test_zeros_stay_structural():
    stoichiometry = np.array([[-1.0, 0.0], [1.0, -1.0], [0.0, 1.0]])

    def chain(y, k):
        return stoichiometry @ (k * y[:2])

    graph, ids, out = scalarised(chain, Y, P[:2])
    rows = _differentiate.jacobian(graph, list(out), list(ids[0]))
    assert [sorted(row) for row in rows] == [[0], [0, 1], [1]]


def test_equal_expressions_are_one_node():
    _, _, out = scalarised(lambda y: jnp.stack([y[0] * y[1], y[1] * y[0]]), Y)
    assert out[0] == out[1]


def test_simplification_leaves_no_trivial_arithmetic():
    def wasteful(y):
        return jnp.stack([(y[0] * 1.0 + 0.0) - 0.0 * y[1], -(0.0 - y[1]), y[2] ** 1, 0.0 / y[0]])

    graph, ids, out = scalarised(wasteful, Y)
    assert list(out[:3]) == list(ids[0])
    assert graph.value(int(out[3])) == 0


@pytest.mark.parametrize(
    ("fun", "what"),
    [
        (lambda y: y[jnp.argmax(y)] * jnp.ones(3), "argmax"),
        (lambda y: jax.lax.fori_loop(0, 3, lambda i, x: x * y, y), "scan|while"),
        (jax.nn.softplus, "custom_jvp_call"),
    ],
)
def test_what_has_no_scalar_form_says_so(fun, what):
    with pytest.raises(NotScalar, match=what):
        scalarised(fun, Y)
