"""Which of the registered methods a study runs; frameworks to come join by being registered."""

from collections.abc import Callable
from typing import Any

from adapters import Method, Solver, get_method, load, methods
from problems import Problem

# Of frameworks with many integrators alike or that compile for seconds: a stiff one, an explicit.
QUICK = {
    "stiffgrad-jax": ("rodas5p", "tsit5"),
    "diffrax": ("kvaerno5", "tsit5"),
    "torchdiffeq": ("scipy-bdf", "dopri5"),
}
_solvers: dict[Any, Solver] = {}


def quickly(method: Method) -> bool:
    """Whether a quick run has the method's integrator too."""
    return method.integrator in QUICK.get(method.framework, (method.integrator,))


def anything(method: Method) -> bool:
    """Every method."""
    return True


def one_an_integrator(keep: Callable[[Method], bool]) -> list[Method]:
    """One method for every framework and integrator: their forward and reverse solves are alike."""
    found: dict[tuple[str, str], Method] = {}
    for method in methods().values():
        if keep(method):
            found.setdefault((method.framework, method.integrator), method)
    return list(found.values())


def integrator(name: str) -> str:
    """`framework/integrator` of a method's name."""
    return name.rpartition("/")[0]


def solver(problem: Problem, name: str) -> Solver:
    """The solver of a problem under the method `name`, built once a process for equal programs."""
    key = (name, problem.program)
    if key not in _solvers:
        _solvers[key] = load(problem, get_method(name))
    return _solvers[key]
