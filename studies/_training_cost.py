"""What one gradient of the training loss costs by every method, and how good it is."""

from time import perf_counter
from typing import Any

import numpy as np

from adapters import Solver, methods
from studies import _training
from studies._attempts import attempts
from studies._journal import Row
from studies._methods import solver
from studies._training import ATOL, PLAIN, RTOL, neural, recipes

# Of frameworks that have many; all of any other's. diffrax's kvaerno5 is left out for its time to
# compile: forward, with untrained weights, 6.2 ms against 2.1 by kvaerno3, on a busy machine.
PREFERRED = {
    "stiffgrad-jax": ("rodas5p", "rosenbrock23"),
    "diffrax": ("kvaerno3",),
    "torchdiffeq": ("dopri5", "scipy-bdf"),
    "jax": ("dopri5",),
    "scipy": ("bdf",),
}
QUICK = (
    "stiffgrad-jax/rodas5p/discrete",
    "stiffgrad-jax/rodas5p/forward-discrete",
)
# Not of use in training: a solve a weight, another method's check, or a variant for memory alone.
LEFT_OUT = (
    "finite-difference",
    "discrete-direct",
    "discrete-checkpointed",
    "backsolve-checkpointed",
    "forward",
    "quadrature",
    "imex",
)
# The gradient that the others are compared with.
TIGHT = "stiffgrad-jax/rodas5p/discrete"
TIGHT_RTOL, TIGHT_ATOL = 1e-9, 1e-13
REPEATING_SECONDS = 1.0


def candidates(quick: bool) -> list[str]:
    """Names of the methods that are tried; frameworks to come join by being registered."""
    if quick:
        return list(QUICK)
    return [
        method.name
        for method in methods().values()
        if method.integrator in PREFERRED.get(method.framework, (method.integrator,))
        and method.name.rpartition("/")[2] not in LEFT_OUT
    ]


def gradient_costs(problem: str, weights: dict[str, Any], quick: bool, seconds: float) -> list[Row]:
    """Rows of `part` "gradient": milliseconds and relative error, for each set of weights.

    `weights` are those of the plain recipe by name ("initial", "trained").
    """
    cases = [
        {"part": "gradient", "method": name, "problem": problem, "state": state, **tolerances}
        | {"weights": tuple(np.asarray(values).tolist())}
        for state, values in weights.items()
        for name, tolerances in _asked(quick)
    ]
    # a trained network is the stiffer one: what hangs on an untrained one is not tried on it
    rows = attempts(gradient, cases, seconds, give_up=("method", "rtol"), ready=get_ready)
    truth = {row["state"]: row["vector"] for row in rows if row["rtol"] == TIGHT_RTOL and _ok(row)}
    found = []
    for row in rows:
        vector, true = row.pop("vector", None), truth.get(row["state"])
        del row["weights"]
        if row["rtol"] == TIGHT_RTOL:
            continue
        if vector is not None and true is not None:
            row["error"] = float(np.linalg.norm(np.subtract(vector, true)) / np.linalg.norm(true))
        found.append(row)
    return found


def _ok(row: Row) -> bool:
    return bool(row["status"] == "ok")


def _asked(quick: bool) -> list[tuple[str, Row]]:
    tight = {"rtol": TIGHT_RTOL, "atol": TIGHT_ATOL}
    usual = {"rtol": RTOL, "atol": ATOL}
    return [(TIGHT, tight), *((name, usual) for name in candidates(quick))]


def _bound(problem: str, method: str, weights: Any, *tolerances: float) -> tuple[Solver, Any]:
    task = getattr(_training, problem.upper())
    model = neural(task, recipes(task)[PLAIN])
    return solver(model, method), (model.y0, np.array(weights), *tolerances)


def get_ready(
    part: str, method: str, problem: str, state: str, rtol: float, atol: float, weights: Any
) -> None:
    """Import and compile."""
    bound, arguments = _bound(problem, method, weights, rtol, atol)
    bound.compile(*arguments)


def gradient(
    part: str,
    method: str,
    problem: str,
    state: str,
    rtol: float,
    atol: float,
    weights: tuple[float, ...],
) -> Row:
    """The gradient by the weights, and the least milliseconds that it took."""
    bound, arguments = _bound(problem, method, weights, rtol, atol)
    call = bound.gradient(*arguments)
    vector = call().p
    if not np.all(np.isfinite(vector)):
        reason = "the gradient holds NaN or infinity, and nothing was raised"
        return {"status": "non-finite", "reason": reason}
    taken: list[float] = []
    began = perf_counter()
    while not taken or perf_counter() - began < REPEATING_SECONDS:
        start = perf_counter()
        call.run()
        taken.append(perf_counter() - start)
    return {"ms": min(taken) * 1e3, "vector": vector.tolist()}
