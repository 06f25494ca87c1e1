"""The inline engine: vectors as they were written, in a loop compiled as one native function.

For small systems whose right-hand side has too many operations to be written out one by one, such
as neural networks: products of matrices become sums of products, and the linear systems are solved
with an inverse by Gauss-Jordan elimination with pivoting, so that nothing in a step has to leave
the function for a library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from stiffgrad.jax._array_system import ArraySystem, Loop, over_lanes
from stiffgrad.jax._compile import one_function
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._gauss_jordan import inverse, refined
from stiffgrad.jax._inline_coupled import InlineCoupled

# What a native function can be made of, as far as right-hand sides use it.
_KNOWN = frozenset(
    {
        "abs",
        "acos",
        "acosh",
        "add",
        "add_any",
        "and",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "broadcast_in_dim",
        "cbrt",
        "ceil",
        "clamp",
        "concatenate",
        "convert_element_type",
        "copy",
        "cos",
        "cosh",
        "div",
        "dot_general",
        "eq",
        "erf",
        "erf_inv",
        "erfc",
        "exp",
        "exp2",
        "expand_dims",
        "expm1",
        "floor",
        "ge",
        "gt",
        "integer_pow",
        "iota",
        "is_finite",
        "le",
        "log",
        "log1p",
        "logistic",
        "lt",
        "max",
        "min",
        "mul",
        "ne",
        "neg",
        "not",
        "or",
        "pad",
        "pow",
        "reduce_max",
        "reduce_min",
        "reduce_prod",
        "reduce_sum",
        "rem",
        "reshape",
        "rev",
        "round",
        "rsqrt",
        "select_n",
        "sign",
        "sin",
        "sinh",
        "slice",
        "split",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "stop_gradient",
        "sub",
        "tan",
        "tanh",
        "transpose",
        "xor",
        "pjit",
        "jit",
        "closed_call",
    }
)


# XLA hands larger sums to a library, which a native function cannot call (seen from 500 on), and
# so it does with sums for many tangents at once (seen at 16 of 256 terms, not at 32 of 120).
_LARGEST_SUM = 256
_LARGEST_SUMS = 2048


def reason_against(traced: Traced) -> str:
    """Why the engine cannot take a problem; empty where it can."""
    for closed in (traced.rhs, traced.jacobian, traced.vjp):
        against = "" if closed is None else _against(closed.jaxpr)
        if against:
            return f"the right-hand side uses {against}"
    return ""


def _against(jaxpr: Any) -> str:
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        if name not in _KNOWN:
            return name
        if _terms(eqn) > _LARGEST_SUM:
            what = "product of matrices" if name == "dot_general" else "reduction"
            return f"a {what} with {_terms(eqn)} terms"
        for inner in jex.jaxprs_in_params(eqn.params):
            against = _against(inner)
            if against:
                return against
    return ""


def _terms(eqn: Any) -> int:
    """Numbers that an operation adds up; 0 where it does not."""
    if eqn.primitive.name.startswith("reduce"):
        return int(eqn.invars[0].aval.size)
    if eqn.primitive.name != "dot_general":
        return 0
    (summed, _), _ = eqn.params["dimension_numbers"]
    terms = math.prod(eqn.invars[0].aval.shape[d] for d in summed)
    return int(terms * eqn.outvars[0].aval.size)


def _most_terms(jaxpr: Any) -> int:
    """The largest sum in a program."""
    found = [_terms(eqn) for eqn in jaxpr.eqns]
    found += [_most_terms(sub) for eqn in jaxpr.eqns for sub in jex.jaxprs_in_params(eqn.params)]
    return max(found, default=0)


class InlineSystem(ArraySystem):
    """See the module; the contract is :class:`stiffgrad.jax._system.System`'s."""

    engine = "inline"

    @staticmethod
    def compiled(loop: Loop, written: int = 0) -> Loop:
        return one_function(loop, written)

    def __init__(self, traced: Traced) -> None:
        rewritten = [_without_dots(f) for f in (traced.rhs, traced.jacobian, traced.vjp)]
        assert rewritten[0] is not None
        super().__init__(Traced(rewritten[0], rewritten[1], rewritten[2], traced.mass))
        # The linear systems' sums have n^2 terms.
        largest = max(self.n**2, *(_most_terms(f.jaxpr) for f in rewritten if f is not None))
        self.most_tangents = max(1, _LARGEST_SUMS // largest)

    def factor(self, jacobian: jax.Array, shift: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(j: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
            matrix = d * self.mass_matrix - j
            return inverse(matrix), matrix

        return over_lanes(one, jacobian, base=2)(jacobian, shift)

    def solve(self, factors: Any, b: jax.Array) -> jax.Array:
        return over_lanes(refined, b)(*factors, b)

    def solve_transposed(self, factors: Any, b: jax.Array) -> jax.Array:
        return over_lanes(lambda i, w, x: refined(i.T, w.T, x), b)(*factors, b)

    def backward_error(
        self, jacobian: jax.Array, shift: jax.Array, factors: Any, x: jax.Array, b: jax.Array
    ) -> jax.Array:
        singular = ~jnp.all(jnp.isfinite(factors[0]), axis=(0, 1))
        return jnp.where(singular, jnp.inf, jnp.zeros_like(shift))

    def coupled(self, inverse: np.ndarray) -> InlineCoupled:
        return InlineCoupled(self.mass, inverse, self.n, self.dtype)


def _without_dots(closed: jex.ClosedJaxpr | None) -> jex.ClosedJaxpr | None:
    if closed is None:
        return None

    def rewritten(*args: jax.Array) -> list[jax.Array]:
        return _evaluate(closed.jaxpr, closed.consts, args)

    return jax.make_jaxpr(rewritten)(*closed.in_avals)


def _evaluate(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jex.Literal) else values[atom]

    for eqn in jaxpr.eqns:
        operands = [read(atom) for atom in eqn.invars]
        inner = eqn.params.get("jaxpr")
        if inner is not None:
            found = _evaluate(inner.jaxpr, inner.consts, operands)
        elif eqn.primitive.name == "dot_general":
            found = [_dot(operands[0], operands[1], eqn.params["dimension_numbers"])]
        else:
            out = eqn.primitive.bind(*operands, **eqn.params)
            found = list(out) if eqn.primitive.multiple_results else [out]
        values.update(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _dot(left: Any, right: Any, numbers: Any) -> jax.Array:
    """`lax.dot_general` as a sum of products: batch, left, right dimensions of the result."""
    (over_left, over_right), (batch_left, batch_right) = numbers
    free_left = [d for d in range(left.ndim) if d not in (*over_left, *batch_left)]
    free_right = [d for d in range(right.ndim) if d not in (*over_right, *batch_right)]
    left = jnp.transpose(left, (*batch_left, *free_left, *over_left))
    right = jnp.transpose(right, (*batch_right, *free_right, *over_right))
    batch = len(batch_left)
    left = jnp.expand_dims(left, range(batch + len(free_left), batch + len(free_left + free_right)))
    right = jnp.expand_dims(right, range(batch, batch + len(free_left)))
    products = left * right
    return jnp.sum(products, axis=tuple(range(products.ndim - len(over_left), products.ndim)))
