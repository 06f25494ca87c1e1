"""The full tier: every method of this repository on the classic problems, in an hour or more."""

from adapters import methods
from benchmarks import ROOT, _case


def own_methods() -> list[str]:
    """Methods declared in the repository, installed or not, but not what a user's folders add."""
    return [
        name
        for name, method in methods().items()
        if (ROOT / "adapters" / f"{method.framework}.py").exists()
    ]


class Gradients(_case.Gradients):
    limits = "quick"
    timeout = 60.0 + _case.STARTING_SECONDS
    params = (
        ["rober", "pollu", "linear:1", "linear:1e2", "linear:1e4"],
        own_methods(),
        [1e-4, 1e-6],
    )
