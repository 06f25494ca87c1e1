"""The integrators' coefficients, one file each."""

from stiffgrad.jax.integrators import rodas4, rodas5p, rosenbrock23
from stiffgrad.jax.integrators._tableau import RosenbrockTableau

ROSENBROCK: dict[str, RosenbrockTableau] = {
    module.TABLEAU.name: module.TABLEAU for module in (rodas5p, rodas4, rosenbrock23)
}

__all__ = ["ROSENBROCK", "RosenbrockTableau"]
