"""The automatic switch between an explicit method and one for stiff problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from stiffgrad.jax._method import Step, Tangent
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._runge_kutta import RungeKutta, Stages
from stiffgrad.jax._system import System
from stiffgrad.jax._types import ArgumentError
from stiffgrad.jax.integrators import ROSENBROCK, RUNGE_KUTTA

# The defaults of AutoTsit5 in OrdinaryDiffEq.jl (C. Rackauckas and Q. Nie, Journal of Open Research
# Software 5, 2017): the extent of Tsit5's stability region along the negative real axis, the part
# of it that counts as stiff, and how many stiff or other steps in a row make it switch.
_STABLE = 3.5068
_PART = 0.9
_STIFF_STEPS = 10
_OTHER_STEPS = 3


class _Mode(NamedTuple):
    """What the switch remembers: whether it is stiff, and for how many steps it says otherwise."""

    stiff: jax.Array
    against: jax.Array


class Switch:
    """Tsit5 while the problem is not stiff and Rosenbrock23 while it is, on a system.

    See :class:`stiffgrad.jax._method.Method`. Behind y, the state holds the mode and a count. The
    scheme that Kim et al. (Chaos 31, 093122, 2021) trained with: Tsit5 judges stiffness by its last
    two stages, which lie at the same time: |k_7 - k_6| / |g_7 - g_6| is about the largest
    eigenvalue (Hairer and Wanner, Solving Ordinary Differential Equations II, section IV.2);
    Rosenbrock23 by the norm of the Jacobian. Each step is differentiated as what it was; the
    decisions have no derivative.

    Raises:
        ArgumentError: with a mass matrix.
    """

    adaptive = True
    memory = 2
    lanes = False
    rhs_per_step: int | None = None

    def __init__(self, system: System) -> None:
        if system.mass is not None:
            raise ArgumentError(
                "integrator='auto-tsit5-rosenbrock23' has explicit steps, which would need the "
                "inverse of the mass matrix. Integrators that do not: rodas5p, radau5, sdirk2"
            )
        self.system = system
        self._explicit = RungeKutta(RUNGE_KUTTA["tsit5"], system)
        self._stiff = Rosenbrock(ROSENBROCK["rosenbrock23"], system)
        self.order = self._stiff.order
        self.dense_degree = max(self._explicit.dense_degree, self._stiff.dense_degree)

    def on(self, system: System) -> Switch:
        return Switch(system)

    def begin(self, t: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.concatenate([y, jnp.zeros_like(y, shape=(2, *y.shape[1:]))])

    def _unpack(self, state: jax.Array) -> tuple[jax.Array, _Mode]:
        n = self.system.n
        stiff, against = (lax.squeeze(lax.slice_in_dim(state, i, i + 1), (0,)) for i in (n, n + 1))
        return lax.slice_in_dim(state, 0, n), _Mode(stiff > 0, against)

    def _pack(self, y: jax.Array, mode: _Mode) -> jax.Array:
        return jnp.concatenate([y, jnp.stack([mode.stiff.astype(y.dtype), mode.against])])

    def step(self, t: jax.Array, h: jax.Array, state: jax.Array, p: Any) -> Step:
        y, mode = self._unpack(state)

        def stiff() -> tuple[Step, jax.Array]:
            jacobian = self.system.linearise(t, y, p)[0]
            found = self._stiff.step(t, h, y, p)
            return self._alike(found), self._norm(self.system.dense_jacobian(jacobian))

        def explicit() -> tuple[Step, jax.Array]:
            stages = self._explicit.stages(t, h, y, p)
            found = self._explicit.finish(t, h, y, p, stages)
            return self._alike(found), _largest_eigenvalue(h, stages)

        found, eigenvalue = lax.cond(mode.stiff, stiff, explicit)
        return found._replace(state=self._pack(found.state, _next_mode(mode, h, eigenvalue)))

    def _alike(self, step: Step) -> Step:
        """The step with what must have one form for both methods."""
        assert step.terms is not None
        return step._replace(
            terms=self._padded(step.terms),
            failure=step.failure.astype(jnp.int32),
            error_order=jnp.asarray(step.error_order, jnp.int32),
        )

    def _padded(self, terms: jax.Array) -> jax.Array:
        missing = self.dense_degree - len(terms)
        return jnp.concatenate([terms, jnp.zeros((missing, *terms.shape[1:]), terms.dtype)])

    def _norm(self, jacobian: jax.Array) -> jax.Array:
        """The largest sum of a row, of absolute values."""

        def add(j: jax.Array, total: jax.Array) -> jax.Array:
            return total + jnp.abs(lax.dynamic_index_in_dim(jacobian, j, axis=1, keepdims=False))

        rows = lax.fori_loop(0, self.system.n, add, jnp.zeros_like(jacobian[:, 0]))
        return jnp.max(rows, axis=0)

    def pullback(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        out: jax.Array,
        terms_bar: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        y, mode = self._unpack(state)
        y_out, none = self._unpack(out)[0], _Mode(jnp.zeros_like(h), jnp.zeros_like(h))

        def by(method: RungeKutta | Rosenbrock) -> Callable[[], tuple[jax.Array, jax.Array]]:
            bar = None if terms_bar is None else terms_bar[: method.dense_degree]
            return lambda: method.pullback(t, h, y, p, y_out, bar)

        y_bar, p_bar = lax.cond(mode.stiff, by(self._stiff), by(self._explicit))
        return self._pack(y_bar, none), p_bar

    def pushforward(
        self,
        t: jax.Array,
        h: jax.Array,
        state: jax.Array,
        p: jax.Array,
        state_dot: jax.Array,
        p_dot: jax.Array,
    ) -> Tangent:
        y, mode = self._unpack(state)
        y_dot, none = self._unpack(state_dot)[0], _Mode(jnp.zeros_like(h), jnp.zeros_like(h))

        def by(method: RungeKutta | Rosenbrock) -> Callable[[], Tangent]:
            def push() -> Tangent:
                found = method.pushforward(t, h, y, p, y_dot, p_dot)
                assert found.terms is not None
                return found._replace(terms=self._padded(found.terms))

            return push

        found = lax.cond(mode.stiff, by(self._stiff), by(self._explicit))
        return found._replace(state=self._pack(found.state, none))


def _largest_eigenvalue(h: jax.Array, stages: Stages) -> jax.Array:
    """Estimate from two stages at the same time; 0 where they do not differ."""
    apart = [
        jnp.sqrt(jnp.sum((x[-1] - x[-2]) ** 2, axis=0)) for x in (stages.increments, stages.points)
    ]
    distance = jnp.where(apart[1] > 0, apart[1], 1)
    return jnp.where(apart[1] > 0, apart[0] / (jnp.abs(h) * distance), 0)


def _next_mode(mode: _Mode, h: jax.Array, eigenvalue: jax.Array) -> _Mode:
    says_stiff = jnp.abs(h) * eigenvalue > _PART * _STABLE
    against = jnp.where(says_stiff != mode.stiff, mode.against + 1, 0)
    patience = jnp.where(mode.stiff, _OTHER_STEPS, _STIFF_STEPS)
    switch = against > patience
    return _Mode(switch != mode.stiff, jnp.where(switch, 0, against))
