"""SciPy: BDF, Radau IIA and LSODA with continuous sensitivities, adjoints and differences.

The integrators are those of `scipy.integrate`, stepped through their public classes; what turns
them into gradients is written here, because SciPy differentiates nothing itself. Trust `forward`,
`interpolating` and `quadrature`; `backsolve` is there to show how it fails on stiff problems.
Everything is Python-bound: compare its errors and counters rather than its times.
"""

from adapters._interface import Method, Solver, Strategy
from problems import Problem

SCIPY = ("scipy>=1.11",)
DIFFERENCES = (*SCIPY, "numdifftools>=0.9.41")
INTEGRATORS = ("bdf", "radau", "lsoda")
NOTES: dict[Strategy, str] = {
    "finite-difference": "central differences of the forward solve, relative step "
    "(rtol/10)^(1/3): truncation against the solve's own noise",
    "forward": "one augmented system, sensitivities under error control; Newton with the full "
    "sparse Jacobian (LSODA: banded, diagonal blocks only)",
    "backsolve": "states integrated back with the adjoint, not reset at observations",
    "interpolating": "adjoint and parameter integral as one system over the dense forward solve, "
    "restarted at observations in local reversed time",
    "quadrature": "adjoint over the dense forward solve, parameter integral by adaptive "
    "quadrature under its own error control",
}
RADAU = "; steps end on the observations, the dense output being less accurate than they are"
METHODS = tuple(
    Method(
        framework="scipy",
        integrator=integrator,
        strategy=strategy,
        requires=DIFFERENCES if strategy == "finite-difference" else SCIPY,
        notes=notes + (RADAU if integrator == "radau" else ""),
    )
    for integrator in INTEGRATORS
    for strategy, notes in NOTES.items()
)


def build(problem: Problem, method: Method) -> Solver:
    """The solver of `problem` under one of METHODS."""
    from adapters._scipy_solver import SciPySolver

    return SciPySolver(problem, method)
