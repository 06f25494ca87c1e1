"""A framework that misbehaves in every way the suite must survive; right where it is not faulty.

It differentiates `linear` in closed form, so every figure of a healthy case is known exactly.
"""

import os
import time
import warnings

import numpy as np

from adapters import Call, Counters, Gradient, Method, Solution, Solver, SolverFailure, Unsupported

FAULTS = (  # noqa: SIM905 - a list of words is easier to read
    "right slow hang exit segfault memory abort nan wrong inaccurate warned rubbish raise diverge "
    "unsupported reverse-hang import-error forward-diverge forward-nan"
).split()
# An integrator each where the forward solve is faulty: its figures are shared by integrator.
METHODS = (
    *(
        Method(
            "faulty",
            fault if fault.startswith("forward") else "exact",
            "discrete",
            fault,
            requires=("numpy>=2",),
        )
        for fault in FAULTS
    ),
    Method("faulty", "forward-nan", "forward", "right", requires=("numpy>=2",)),
    Method("faulty", "exact", "discrete", "absent", requires=("no-such-package-at-all>=1",)),
    Method("faulty", "exact", "discrete", "old", requires=("numpy>=999",)),
)


def build(problem, method):
    if method.variant == "import-error":
        import no_such_module_at_all  # noqa: F401
    return Exact(problem, method)


def misbehave(fault):
    """Do what the name says; only the healthy ones return."""
    if fault == "hang":
        time.sleep(3600)
    if fault == "exit":
        os._exit(3)
    if fault == "segfault":
        os.kill(os.getpid(), 11)
    if fault == "memory":
        np.ones(10**13)
    if fault == "abort":
        print("terminate called after throwing an instance of 'std::bad_alloc'", flush=True)
        os.abort()
    if fault == "raise":
        raise KeyError("something unforeseen")
    if fault == "diverge":
        raise SolverFailure("Required step size is less than spacing between numbers.")
    if fault == "unsupported":
        raise Unsupported("no stiff problems, please")
    if fault == "rubbish":
        print("\x00\xff{not json", flush=True)
        os.write(2, b"\xfe\xfd rubbish on stderr\n")
    if fault == "warned":
        warnings.warn("results may be inaccurate", RuntimeWarning, stacklevel=2)


class Exact(Solver):
    """Closed forms of the linear test equation."""

    def forward(self, y0, p, rtol, atol):
        ys = np.stack([self.problem.exact(t, y0, p) for t in self.problem.times])
        fault = self.method.variant

        def read(raw):
            if fault == "forward-diverge":
                raise SolverFailure("maximum number of steps reached")
            return Solution(raw * (np.nan if fault == "forward-nan" else 1), Counters(steps=7))

        return Call(lambda: ys, read)

    def reverse(self, y1, p, rtol, atol):
        fault = self.method.variant

        def run():
            if fault == "reverse-hang":
                time.sleep(3600)
            return y1 * np.exp(p[0] * self.problem.t1)

        return Call(run, Solution)

    def gradient(self, y0, p, rtol, atol):
        fault, times = self.method.variant, self.problem.times

        def run():
            misbehave(fault)
            if fault == "slow":
                time.sleep(0.05)
            return np.exp(-p[0] * times)

        def read(decay):
            factor = {"nan": np.nan, "wrong": 2.0, "warned": 2.0, "inaccurate": 1.05}.get(fault, 1)
            return Gradient(
                float(np.sum(decay) * y0[0]),
                factor * np.array([-np.sum(times * decay) * y0[0]]),
                np.array([np.sum(decay)]),
                Counters(steps=7, rhs_evaluations=11),
            )

        return Call(run, read)
