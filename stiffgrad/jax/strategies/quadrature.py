"""`quadrature`: continuous adjoint first, then its parameter integral with its own error control.

Trust it as far as its tolerances go: the steps answer for lambda, and the integral's panels are
halved until each meets the tolerances of the solve. (SciMLSensitivity's QuadratureAdjoint takes
tolerances of the integral that do not follow the solver's.)

The integrator of the solve goes back over `lambda' = -f_y^T lambda` as in `gauss`, and the dense
output of all its steps is kept. Then `dL/dp = integral of f_p^T lambda` is computed with a
Gauss-Kronrod pair of 7 and 15 nodes on each of them. Cost for n states and m parameters:
O(n^3 + m) a step, with the larger constant at m. Memory: two records, that of the states and that
of lambda, of some `n (1 + degree of the dense output)` numbers a step each.

Kim et al., Chaos 31, 093122, 2021, section II.B; Piessens et al., QUADPACK, 1983, for the pair.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax import _control, _dense, _rules
from stiffgrad.jax._adjoint import Adjoint, Ended, Solved, units_of_parameters
from stiffgrad.jax._adjoint_system import Along
from stiffgrad.jax._continuous import AlongRecord, Recorded
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record, Taken, Walk
from stiffgrad.jax._method import Step
from stiffgrad.jax._stacks import row
from stiffgrad.jax._types import Status

_RULE = _rules.KRONROD_15
# Halved this often, a panel no longer hides anything that the steps resolved.
_NARROWEST = 2.0**-12
_HEAD = 4


_Fixed = tuple[jax.Array, jax.Array, Ended]


class Kept(NamedTuple):
    """The steps of lambda.

    Attributes:
        rows: (max_steps, width): s, h, the number of the record's row that holds the step's start,
            the time that s is counted back from, lambda and the terms of its dense output.
        used: how many of them hold steps.
        jumps: (m,), what the observations added to dL/dp by themselves.
    """

    rows: jax.Array
    used: jax.Array
    jumps: jax.Array


class Quadrature(Recorded):
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`."""

    def __init__(self, plan: Plan) -> None:
        super().__init__("quadrature", plan)
        walk = self.walk_on(self.system)
        self._adjoint = Adjoint(AlongRecord(self.system), walk, _Keep(walk))

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        end = self._adjoint.solve(inputs, outcome, record, ys_bar)
        integrate = self.system.compiled(self._integrate)
        p_bar, status = integrate(inputs.p, record.rows, end)
        status = jnp.where(end.status == Status.SUCCESS, status, end.status)
        return self.at_start(end.state, ys_bar), p_bar, status

    def _integrate(self, p: jax.Array, rows: jax.Array, end: Ended) -> tuple[jax.Array, jax.Array]:
        """The parameter integral over the kept steps, and a status."""

        def unfinished(carry: tuple[_Fixed, _Panels]) -> jax.Array:
            now = carry[1]
            return (now.number < end.tally.used) & (now.status == Status.SUCCESS)

        def body(carry: tuple[_Fixed, _Panels]) -> tuple[_Fixed, _Panels]:
            return carry[0], self._panel(*carry[0], carry[1])

        none = jnp.zeros((), jnp.int32)
        zero = jnp.zeros((), p.dtype)
        start = _Panels(none, zero, zero + 1, end.tally.jumps, none + int(Status.SUCCESS))
        done = lax.while_loop(unfinished, body, ((p, rows, end), start))[1]
        return done.total, done.status

    def _panel(self, p: jax.Array, rows: jax.Array, end: Ended, now: _Panels) -> _Panels:
        """Try a panel; take it or halve it."""
        found = row(end.tally.rows, now.number)
        s, h, origin = found[0], found[1], found[3]
        along = Along(p, rows, found[2].astype(jnp.int32), origin)
        n, degree = self.system.n, self.plan.method.dense_degree
        state = lax.slice_in_dim(found, _HEAD, _HEAD + n)
        terms = lax.slice_in_dim(found, _HEAD + n, len(found)).reshape(degree, n)

        def integrand(part: jax.Array) -> jax.Array:
            theta = now.start + part * now.width
            return self.system.pulled(s + theta * h, _dense.value(state, terms, theta), along)[1]

        mean, difference = _RULE.apply(integrand, now.total)
        share = h * now.width
        after = now.total + share * mean
        size = jnp.maximum(jnp.abs(now.total), jnp.abs(after))
        tolerance = end.small / units_of_parameters(p) + end.rtol * size
        error = _control.norm(share * difference / tolerance) if len(p) else jnp.zeros_like(s)
        good = error <= 1
        stop = now.start + now.width
        through = good & (stop >= 1)
        start = jnp.where(through, 0, jnp.where(good, stop, now.start))
        width = jnp.where(good, 2, 0.5) * now.width
        width = jnp.where(through, 1, jnp.minimum(width, 1 - start))
        too_narrow = jnp.where(
            jnp.isfinite(error), int(Status.STEP_TOO_SMALL), int(Status.NON_FINITE)
        )
        return _Panels(
            number=now.number + through,
            start=start,
            width=width,
            total=jnp.where(good, after, now.total),
            status=jnp.where(width < _NARROWEST, too_narrow, now.status),
        )


class _Panels(NamedTuple):
    """How far the integral is: in which step, at which part of it, with panels of which width."""

    number: jax.Array
    start: jax.Array
    width: jax.Array
    total: jax.Array
    status: jax.Array


class _Keep:
    """A record of the steps of lambda; see :class:`stiffgrad.jax._adjoint.Tally`."""

    def __init__(self, walk: Plan) -> None:
        n = walk.method.system.n
        self._shape = walk.max_steps, _HEAD + n + n * walk.method.dense_degree

    def start(self, solved: Solved) -> Kept:
        rows = jnp.zeros(self._shape, solved.ys.dtype)
        return Kept(rows, jnp.zeros((), jnp.int32), jnp.zeros_like(solved.inputs.p))

    def jump(self, tally: Kept, term: jax.Array) -> Kept:
        return tally._replace(jumps=tally.jumps + term)

    def watch(
        self, tally: Kept, inputs: Inputs, small: jax.Array, walk: Walk, h: jax.Array, step: Step
    ) -> tuple[jax.Array, Any]:
        return jnp.zeros_like(h), None

    def add(self, tally: Kept, inputs: Inputs, walk: Walk, taken: Taken) -> Kept:
        assert taken.step.terms is not None
        along: Any = inputs.p
        head = jnp.stack([walk.t, taken.h, along.number.astype(walk.t.dtype), along.origin])
        state = lax.slice_in_dim(walk.state, 0, inputs.y0.shape[0])
        made = jnp.concatenate([head, state, taken.step.terms.reshape(-1)])
        # A rejected step is overwritten by its successor.
        rows = lax.dynamic_update_index_in_dim(tally.rows, made, tally.used, 0)
        return Kept(rows, tally.used + (taken.h != 0), tally.jumps)
