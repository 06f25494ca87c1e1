"""The integrators' coefficients, one file each."""

from stiffgrad.jax.integrators import (
    ab2,
    backward_euler,
    bdf,
    euler,
    gauss4,
    gauss6,
    heun,
    implicit_midpoint,
    kvaerno5,
    leapfrog,
    lobatto_iiic2,
    lobatto_iiic3,
    midpoint,
    radau3,
    radau5,
    ralston,
    rodas4,
    rodas5p,
    rosenbrock23,
    sdirk2,
    tr_bdf2,
    trapezoid,
    tsit5,
)
from stiffgrad.jax.integrators._butcher import Butcher
from stiffgrad.jax.integrators._multistep import LinearMultistep
from stiffgrad.jax.integrators._tableau import RosenbrockTableau

ROSENBROCK: dict[str, RosenbrockTableau] = {
    module.TABLEAU.name: module.TABLEAU for module in (rodas5p, rodas4, rosenbrock23)
}

RUNGE_KUTTA: dict[str, Butcher] = {
    module.TABLEAU.name: module.TABLEAU
    for module in (
        radau5,
        radau3,
        kvaerno5,
        tr_bdf2,
        sdirk2,
        backward_euler,
        trapezoid,
        implicit_midpoint,
        gauss4,
        gauss6,
        lobatto_iiic2,
        lobatto_iiic3,
        tsit5,
        heun,
        midpoint,
        ralston,
        euler,
    )
}

MULTISTEP: dict[str, LinearMultistep] = {
    tableau.name: tableau for tableau in (*bdf.TABLEAUS, ab2.TABLEAU, leapfrog.TABLEAU)
}

__all__ = [
    "MULTISTEP",
    "ROSENBROCK",
    "RUNGE_KUTTA",
    "Butcher",
    "LinearMultistep",
    "RosenbrockTableau",
]
