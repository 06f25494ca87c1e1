"""The integrators by name, made for a system."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from stiffgrad.jax._coupled import Coupled
from stiffgrad.jax._method import Method
from stiffgrad.jax._multistep import Multistep
from stiffgrad.jax._rosenbrock import Rosenbrock
from stiffgrad.jax._runge_kutta import RungeKutta
from stiffgrad.jax._switch import Switch
from stiffgrad.jax._system import System
from stiffgrad.jax.integrators import MULTISTEP, ROSENBROCK, RUNGE_KUTTA

INTEGRATORS: dict[str, Callable[[System], Method]] = {
    **{name: partial(Rosenbrock, tableau) for name, tableau in ROSENBROCK.items()},
    **{
        name: partial(Coupled if tableau.coupled else RungeKutta, tableau)
        for name, tableau in RUNGE_KUTTA.items()
    },
    "bdf1": partial(RungeKutta, RUNGE_KUTTA["backward-euler"]),
    **{name: partial(Multistep, tableau) for name, tableau in MULTISTEP.items()},
    "auto-tsit5-rosenbrock23": Switch,
}
