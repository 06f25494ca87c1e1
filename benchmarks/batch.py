"""The batch tier: many neighbours of a problem at once, on a CPU or a GPU."""

from benchmarks import _case


class Gradients(_case.Costs):
    limits = "batch"
    timeout = 120.0 + _case.STARTING_SECONDS
    params = (
        [f"{name}:batch={size}" for name in ("linear:1e2", "rober") for size in (1, 100, 1000)],
        [
            "diffrax/kvaerno3/discrete-recursive",
            "jax/dopri5/backsolve",
            "stiffgrad-jax/rodas5p/discrete",
            "torchdiffeq/dopri5/discrete",
        ],
        [1e-4],
    )
