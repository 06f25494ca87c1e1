"""What the study of vanishing gradients measures."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from adapters import Method
from problems import get_problem, relaxation
from studies._journal import Row
from studies._methods import one_an_integrator, solver
from studies._stability import BDF, SCHEMES, Array, bdf_root, by_solver, by_tableau

# Implicit one-step schemes for which no closed form is written down.
WITHOUT_FORM = ("kvaerno5", "rodas5p")
MANY = 10
# Orders of BDF show over steps: two of BDF2 for one power of z.
BDF_STEPS = (1, 4, 6, MANY)
SINGLE = ("backward-euler", "trapezoid", "radau5")
RTOL, ATOL = 1e-6, 1e-9
OF_STATES_AND_PARAMETERS = ("backsolve", "finite-difference")
LINEAR_RATES = (1.0, 10.0, 30.0, 100.0, 1e4, 1e6)
RELAXATION_RATES = (1e3, 1e6)


def curves(points: int) -> Iterator[Row]:
    """Rows of `part` "step": d y_N / d z over z by every route, and "root" for BDF."""
    z = -np.geomspace(1.0, 1e6, points)
    for name in (*SCHEMES, *WITHOUT_FORM, *(f"bdf{order}" for order in BDF if order > 1)):
        scheme = SCHEMES.get(name)
        ad = _automatic(name, z)
        steps = BDF_STEPS if name.startswith("bdf") else (1, MANY)
        for i, rate in enumerate(z):
            found = by_solver(name, rate, 1.0, steps)
            for n, (value, gradient) in zip(steps, found, strict=True):
                yield {
                    "part": "step",
                    "scheme": name,
                    "steps": n,
                    "z": rate,
                    "solver": gradient,
                    "value": value,
                    "closed": scheme.after(rate, n) if scheme else np.nan,
                    "ad": ad[i] if n == 1 else np.nan,
                    "true": n * np.exp(n * rate),
                }
    for order in BDF:
        for rate in z:
            root, slope = bdf_root(order, rate)
            row = {"part": "root", "scheme": f"bdf{order}", "steps": 1, "z": rate}
            yield {**row, "value": root, "closed": slope}


def _automatic(name: str, z: Array) -> Array:
    if name in SCHEMES or name == "kvaerno5":
        return by_tableau(name, z)
    return np.full(len(z), np.nan)


def signs() -> Iterator[Row]:
    """Rows of `part` "sign": the solver's gradient on both sides of every zero of R'."""
    for name, scheme in SCHEMES.items():
        for tabled, root in zip(scheme.roots, scheme.derivative_roots(), strict=True):
            inner, outer = (by_solver(name, root * k, 1.0, (1,))[0][1] for k in (0.99, 1.01))
            row = {"part": "sign", "scheme": name, "z": float(root), "closed": tabled}
            yield {**row, "inner": inner, "outer": outer}


def true_forced(rate: float, start: float, t: float = 1.0) -> float:
    """d y(t) / d lambda of y' = lambda (y - cos t), lambda = `rate` < 0, exactly."""
    # a complex step loses no digits
    moved = relaxation.exact(t, start, np.array([-rate * (1 + 1e-20j)]))
    return float(moved.imag / (rate * 1e-20))


def forced(points: int) -> Iterator[Row]:
    """Rows of `part` "forced": y' = lambda (y - cos t) on and off its slow manifold, 10 steps."""
    for name in (*SCHEMES, *WITHOUT_FORM):
        for rate in -np.geomspace(10.0, 1e6, points):
            for where, start in (("on", 1.0), ("off", 2.0)):
                ((_, gradient),) = by_solver(name, rate, 1 / MANY, (MANY,), 1.0, start)
                yield {
                    "part": "forced",
                    "scheme": name,
                    "where": where,
                    "z": rate / MANY,
                    "rate": rate,
                    "solver": gradient,
                    "true": true_forced(rate, start),
                }


def single(points: int) -> Iterator[Row]:
    """Rows of `part` "single": 10 steps in single precision."""
    for name in SINGLE:
        for rate in -np.geomspace(1.0, 1e6, points):
            ((_, gradient),) = by_solver(name, rate, 1.0, (MANY,), dtype="float32")
            row = {"part": "single", "scheme": name, "steps": MANY, "z": rate}
            yield {**row, "solver": gradient, "closed": SCHEMES[name].after(rate, MANY)}


def adaptive_cases(quick: bool) -> list[Row]:
    """A case a method, problem and rate."""

    def kept(method: Method) -> bool:
        return method.implicit and method.strategy not in OF_STATES_AND_PARAMETERS

    found = one_an_integrator(kept)
    if quick:
        found = list({method.framework: method for method in reversed(found)}.values())
    problems = [f"linear:{rate:g}:final" for rate in LINEAR_RATES]
    problems += [
        f"relaxation:{rate:g}:{where}final" for rate in RELAXATION_RATES for where in ("", "off:")
    ]
    return [
        {"part": "adaptive", "method": method.name, "problem": problem}
        for method in found
        for problem in problems
    ]


def adaptive(part: str, method: str, problem: str) -> Row:
    """The gradient of y(1) by lambda, of an adaptive solver."""
    chosen = get_problem(problem)
    found = solver(chosen, method).gradient(chosen.y0, chosen.p, RTOL, ATOL)()
    step = chosen.p[0] * 1e-20
    exact: Any = chosen.exact
    moved = exact(chosen.t1, chosen.y0[0], chosen.p + 1j * step)
    true = float(np.imag(moved) / step)
    return {"rate": -chosen.p[0], "solver": float(found.p[0]), "true": true}


def get_ready(part: str, method: str, problem: str) -> None:
    """Import and compile."""
    adaptive(part, method, problem)
