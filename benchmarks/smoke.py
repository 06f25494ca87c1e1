"""The smoke tier: every framework and kind of strategy once, in a few minutes."""

from benchmarks import _case


class Gradients(_case.Gradients):
    limits = "smoke"
    timeout = 60.0 + _case.STARTING_SECONDS
    params = (
        ["rober", "linear:1e2"],
        [
            "diffrax/kvaerno3/discrete-recursive",
            "diffrax/kvaerno5/forward-discrete",
            "jax/dopri5/backsolve",
            "scipy/bdf/finite-difference",
            "scipy/radau/quadrature",
            "stiffgrad-jax/rodas5p/discrete",
            "torchdiffeq/dopri5/discrete",
            "torchdiffeq/scipy-bdf/backsolve",
        ],
        [1e-4],
    )
