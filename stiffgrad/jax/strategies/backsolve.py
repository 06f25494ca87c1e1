"""`backsolve`: continuous adjoint with the states integrated back as well, nothing recorded.

Do not trust it on a stiff problem. What decays forwards grows backwards: the reversed states leave
the solution, at the latest where a transient was, and the gradient with them. Mostly the steps
fail; where an implicit integrator damps the growth instead, the states that come back to a time are
compared with those returned for it, and a miss is a status. That bounds the harm and no more: small
errors of the states pass, and may be large in the gradient. It is here to show all that; where a
problem is not stiff it needs the least memory.

The integrator of the solve goes back over the 2n + m equations `y' = f`, `lambda' = -f_y^T lambda`
and `q' = -f_p^T lambda` from the end state, by an ordinary right-hand side of its own;
`backsolve-checkpointed` sets the states back to those that were returned at every observation.
Cost for n states and m parameters: O((2n + m)^3) a step, less where the elimination is sparse.
Memory: none but the states returned.

Chen et al., Neural Ordinary Differential Equations, 2018; Kim et al., Chaos 31, 093122, 2021,
eq. 6 and section II.A for its failure; BacksolveAdjoint of SciMLSensitivity.
"""

from __future__ import annotations

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax import lax

from stiffgrad.jax import _control, _engine
from stiffgrad.jax._adjoint import Adjoint, Solved, units_of_parameters
from stiffgrad.jax._chunks import by_chunks, chunk_size
from stiffgrad.jax._continuous import NoTally, no_push
from stiffgrad.jax._flatten import Traced
from stiffgrad.jax._forward import Inputs, Outcome, Plan, Record, blank_rows, solve_forward
from stiffgrad.jax._stacks import row
from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError, Status

# The part of the states' sizes by which they may miss, root mean square: beyond it no digit of the
# gradient can be right.
_FARTHEST = 0.1


class Backsolve:
    """The strategy; see :class:`stiffgrad.jax.strategies.Reverse`.

    Args:
        plan: the forward pass.
        chunk: parameters to a pass, each with steps of its own; None for all in one.

    Raises:
        ArgumentError: with a singular mass matrix.
    """

    lanes = False
    name = "backsolve"
    resets = False

    def __init__(self, plan: Plan, chunk: int | None = None) -> None:
        self.plan = plan
        base = plan.method.system
        if base.mass is not None and np.linalg.matrix_rank(base.mass) < base.n:
            raise ArgumentError(
                f"adjoint={self.name!r} does not take a singular mass matrix: algebraic states "
                'cannot be integrated back; ask for adjoint="gauss" or "discrete"'
            )
        self._size = chunk_size(base.m, chunk)
        # Passes side by side differ in the parameters that they pick: arrays can.
        arrays = base.engine == "array" or self._size < base.m
        traced = reversed_in_time(base.traced, self._size)
        self._system, _ = _engine.choose(traced, "array" if arrays else "auto")
        self._walk = Plan(plan.method.on(self._system), plan.max_steps, plan.steps)

    def blank(self, inputs: Inputs) -> jax.Array:
        return blank_rows(self.plan, inputs.y0, keep=False)

    def record(self, inputs: Inputs, room: jax.Array) -> tuple[Outcome, Record]:
        return solve_forward(self.plan, inputs, room)

    def pullback(
        self, inputs: Inputs, outcome: Outcome, record: Record, ys_bar: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        mass, n = self.plan.method.system.mass, len(inputs.y0)
        jumps = ys_bar if mass is None else ys_bar @ jnp.asarray(np.linalg.inv(mass), ys_bar.dtype)

        def one(first: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            equation = _Reversed(n, self._system, self.resets, self._size, first)
            adjoint = Adjoint(equation, self._walk, NoTally())
            end = adjoint.solve(inputs, outcome, record, jumps)
            dual = self.plan.method.system.apply_mass_transposed(end.state[n : 2 * n])
            return dual + ys_bar[0], end.state[2 * n :], end.status

        return by_chunks(one, len(inputs.p), self._size)

    def push(self, inputs: Inputs, y0_dot: jax.Array, p_dot: jax.Array) -> jax.Array:
        return no_push(self.name)


class BacksolveCheckpointed(Backsolve):
    """The strategy with the states set back at every observation."""

    name = "backsolve-checkpointed"
    resets = True


def reversed_in_time(traced: Traced, size: int) -> Traced:
    """The states, lambda and the integral of `size` parameters against time.

    Its own time is counted back from a time that is one more parameter. Another, the last, is the
    index of the first of those parameters, where they are not all.
    """
    _, y_aval, p_aval = traced.rhs.in_avals
    n, m, dtype = y_aval.shape[0], p_aval.shape[0], y_aval.dtype

    def rhs(s: jax.Array, z: jax.Array, known: jax.Array) -> tuple[jax.Array]:
        p, origin = known[:m], known[m]
        slope, pulled = _slope_and_pulled(traced, origin - s, z[:n], p, z[n : 2 * n])
        if size < m:
            first = known[m + 1].astype(jnp.int32)
            chosen = lax.dynamic_slice_in_dim(pulled, n + first, size)
            pulled = jnp.concatenate([pulled[:n], chosen])
        return (jnp.concatenate([-slope, pulled]),)

    shapes = ((), (2 * n + size,), (m + 2,))
    closed = jax.make_jaxpr(rhs)(*(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes))
    mass = traced.mass
    if mass is not None:
        mass = scipy.linalg.block_diag(mass, mass.T, np.eye(size))
    return Traced(closed, mass=mass)


def _slope_and_pulled(
    traced: Traced, t: jax.Array, y: jax.Array, p: jax.Array, v: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """f, and `v^T f_y` with `v^T f_p` behind it."""
    f = jex.jaxpr_as_fun(traced.rhs)
    slope, pull = jax.vjp(lambda y, p: f(t, y, p)[0], y, p)
    if traced.vjp is None:
        return slope, jnp.concatenate(pull(v))
    return slope, jex.jaxpr_as_fun(traced.vjp)(t, y, p, v)[0]


class _Reversed:
    """The equation; see :class:`stiffgrad.jax._adjoint.Equation`."""

    def __init__(self, n: int, system: System, resets: bool, size: int, first: jax.Array) -> None:
        self._n = n
        self._resets = resets
        self._size, self._first = size, first
        self.system = system

    def sizes(self, solved: Solved) -> jax.Array:
        return jnp.max(jnp.abs(solved.ys), axis=0)

    def units(self, solved: Solved, units_of_y: jax.Array) -> jax.Array:
        own = jnp.zeros_like(units_of_y)
        of_all = units_of_parameters(solved.inputs.p)
        chosen = lax.dynamic_slice_in_dim(of_all, self._first, self._size)
        return jnp.concatenate([own, units_of_y, chosen])

    def start(self, solved: Solved) -> jax.Array:
        last = row(solved.ys, len(solved.ys) - 1)
        return jnp.concatenate([last, jnp.zeros(self._n + self._size, last.dtype)])

    def jump(self, solved: Solved, position: jax.Array, state: jax.Array) -> tuple[jax.Array, None]:
        n, total = self._n, self.system.n
        y = row(solved.ys, position) if self._resets else lax.slice_in_dim(state, 0, n)
        dual = lax.slice_in_dim(state, n, 2 * n) + row(solved.ys_bar, position)
        return jnp.concatenate([y, dual, lax.slice_in_dim(state, 2 * n, total)]), None

    def verdict(self, solved: Solved, position: jax.Array, state: jax.Array) -> jax.Array:
        gap = lax.slice_in_dim(state, 0, self._n) - row(solved.ys, position)
        sizes = self.sizes(solved)
        lost = _control.norm(gap / jnp.where(sizes > 0, sizes, 1)) > _FARTHEST
        return jnp.where(lost, int(Status.IRREVERSIBLE), int(Status.SUCCESS)).astype(jnp.int32)

    def coefficients(self, solved: Solved, position: jax.Array, number: jax.Array) -> jax.Array:
        origin = row(solved.inputs.times, position)
        first = self._first.astype(origin.dtype)
        return jnp.concatenate([solved.inputs.p, jnp.stack([origin, first])])

    def tolerance(self, solved: Solved, small: jax.Array, units: jax.Array) -> jax.Array:
        of_rest = small / lax.slice_in_dim(units, self._n, self.system.n)
        return jnp.concatenate([solved.inputs.atol, of_rest])

    def locate(self, rows: jax.Array, number: jax.Array, t: jax.Array) -> jax.Array:
        return number
