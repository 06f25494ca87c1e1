"""Key numbers of the studies: each quick study is run once, however many numbers are tracked of it.

The first process that asks runs the study and leaves its numbers in the working directory that all
benchmarks with the same `setup_cache` share; the others read them. A NaN says that there is no such
number here; the record appended to STIFFGRAD_ASV_RECORDS holds the verdicts and reasons.
"""

import json
import math
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._case import LARGEST_ERROR, LEAST_ERROR, RECORDS_VARIABLE, _begin, unit

Record = dict[str, Any]
# A quick study takes about a minute; a busy machine several.
TIMEOUT = 600.0


def error(numbers: Mapping[str, Any], name: str) -> float:
    """An error as asv can keep it: finite and not zero, or NaN where there is none."""
    # records spell non-finite numbers as strings, which float() reads
    value = float(numbers.get(name, math.nan))
    return min(max(value, LEAST_ERROR), LARGEST_ERROR)


def study_record(name: str) -> Record:
    """The record of a quick run of a study: from the working directory, or measured now.

    Raises RuntimeError if an earlier process began it and never ended.
    """
    path = Path(f"{name}.json")
    if not path.exists():
        _begin(path.with_suffix(".begun"))
        _measure(name)
    return json.loads(path.read_text())


def _measure(name: str) -> None:
    from filelock import FileLock

    from studies import _record, get_study
    from suite.records import FIELDS, write_line

    study = get_study(name)
    record = _record.measure(study, True, Path.cwd() / "studies")
    for verdict in record["verdicts"]:
        sys.stderr.write("{claim}: {outcome}: {measured}\n".format_map(verdict))
    with Path(f"{name}.json").open("w") as file:
        write_line(file, record)
    if target := os.environ.get(RECORDS_VARIABLE):
        # in the shape of a case, for what reads a run's records reads them all
        shape = {"problem": name, "method": "study", "status": "ok", "reason": ""}
        kept = {**dict.fromkeys(FIELDS), **record, **shape, "run": Path(target).stem}
        with FileLock(Path(target).with_suffix(".lock")), open(target, "a") as file:
            write_line(file, kept)


class Study(ABC):
    """The numbers tracked of one study; abstract, because asv runs every class that is not."""

    timeout = TIMEOUT
    # Bump it when a number changes its meaning: asv then starts a new history.
    version = "1"

    @property
    @abstractmethod
    def study(self) -> str:
        """The study's name."""

    def setup_cache(self) -> None:  # noqa: B027
        """Nothing but the shared working directory that comes with it."""

    def _numbers(self) -> Mapping[str, Any]:
        return study_record(self.study)["numbers"]


class ReversibilityRober(Study):
    """Errors at t = 0 of Robertson's reaction, forward and back, atol = rtol."""

    study = "reversibility-rober"
    param_names = ("integrator", "rtol")
    params = (
        ["diffrax/kvaerno5", "scipy/bdf", "scipy/radau", "stiffgrad-jax/rodas5p"],
        [1e-6, 1e-8, 1e-10],
    )

    @unit("relative error")
    def track_reversibility_error(self, integrator: str, rtol: float) -> float:
        """The initial state recovered from the final one against the true one."""
        return error(self._numbers(), f"{integrator} {rtol:.0e}")


class ReversibilityLinear(Study):
    """Errors at t = 0 of y' = -30 y, forward and back, atol = rtol = 1e-6."""

    study = "reversibility-linear"
    param_names = ("integrator",)
    params = (["diffrax/kvaerno5", "diffrax/tsit5", "scipy/bdf", "scipy/radau"],)

    @unit("relative error")
    def track_reversibility_error(self, integrator: str) -> float:
        """The initial state recovered from the final one against the true one."""
        return error(self._numbers(), integrator)


class BacksolveAlternatives(Study):
    """Gradient errors on Robertson's reaction of the adjoints that work."""

    study = "backsolve-fails"
    param_names = ("method",)
    params = (
        [
            "diffrax/kvaerno5/discrete-recursive",
            "scipy/bdf/interpolating",
            "scipy/radau/interpolating",
            "stiffgrad-jax/rodas5p/discrete",
        ],
    )

    @unit("relative error")
    def track_gradient_error(self, method: str) -> float:
        """The gradient at rtol = 1e-6 against the certified one."""
        return error(self._numbers(), method)


class AdOscillation(Study):
    """Per-layer gradients, raw and corrected, and the loss after training with them."""

    study = "ad-oscillation"
    param_names = ("correction",)
    params = (
        [
            "leapfrog-raw",
            "leapfrog-filter",
            "leapfrog-Gragg",
            "heun-raw",
            "midpoint-raw",
            "midpoint-stage-sum",
            "midpoint-node-costate",
        ],
    )

    @unit("times the true one's")
    def track_oscillation_index(self, correction: str) -> float:
        """The oscillation index of the gradients over that of the true ones; 1 is right."""
        return error(self._numbers(), f"{correction} index")

    @unit("error")
    def track_layer_error(self, correction: str) -> float:
        """The largest error of a layer at 80 steps."""
        return error(self._numbers(), f"{correction} error")


class LibrarySeconds(Study):
    """How fast stiffgrad.jax is, figure by figure."""

    study = "library"
    param_names = ("figure",)
    params = (["gradient-rober", "first-cold-rober", "first-warm-rober", "epoch", "map"],)

    @unit("s")
    def track_seconds(self, figure: str) -> float:
        """A gradient to 1e-6, a first call, an epoch of training, a gradient within a map."""
        return error(self._numbers(), figure)


class CostScaling(Study):
    """The power of the number of parameters that a gradient's time grows with."""

    study = "cost-scaling"
    param_names = ("strategy",)
    params = (
        [
            "discrete",
            "forward",
            "forward-unstructured",
            "gauss",
            "imex",
            "interpolating",
            "quadrature",
        ],
    )

    @unit("power of m")
    def track_exponent(self, strategy: str) -> float:
        """Between the two largest sizes of a quick run."""
        return error(self._numbers(), strategy)


class VanishingGradient(Study):
    """How fast a step's gradient vanishes, and what is left of one that does not."""

    study = "vanishing-gradient"
    param_names = ("scheme",)
    params = (
        [
            "backward-euler",
            "trapezoid",
            "radau3",
            "radau5",
            "gauss4",
            "sdirk2",
            "lobatto-iiic3",
            "rodas5p",
        ],
    )

    @unit("power of 1/|z|")
    def track_decay(self, scheme: str) -> float:
        """The order at which d y_1 / d lambda vanishes."""
        return error(self._numbers(), f"{scheme} decay")

    @unit("relative error")
    def track_slow_gradient_error(self, scheme: str) -> float:
        """Of a slow manifold's gradient at lambda = -1e6, 10 steps, started beside it."""
        return error(self._numbers(), f"{scheme} off")


class TrainingRober(Study):
    """The paper's neural ODE on Robertson's reaction, 1000 epochs from one seed."""

    study = "training-rober"
    # 2: other seeds.
    version = "2"
    param_names = ("recipe",)
    params = (["scaled"],)

    @unit("ms")
    def track_milliseconds_an_epoch(self, recipe: str) -> float:
        """Of the fastest hundred epochs, gradient and optimiser."""
        return error(self._numbers(), f"{recipe} ms")

    @unit("mean error / scale")
    def track_misfit(self, recipe: str) -> float:
        """After 1000 epochs: a change says that the arithmetic of training has changed."""
        return error(self._numbers(), f"{recipe} misfit 1000")


class TrainingPollu(TrainingRober):
    """The paper's neural ODE on POLLU, 1000 epochs from one seed."""

    study = "training-pollu"


class Dae(Study):
    """Gradients of Robertson's reaction with its conservation law as an algebraic equation."""

    study = "dae"
    param_names = ("method",)
    params = (["stiffgrad-jax/rodas5p/discrete", "stiffgrad-jax/radau5/discrete"],)

    @unit("relative error")
    def track_gradient_error(self, method: str) -> float:
        """At rtol = 1e-6, against the certified one."""
        return error(self._numbers(), f"error {method}")


class DaeTraining(Study):
    """Neural networks for Robertson's reaction, scaled, with and without the constraint."""

    study = "dae"
    param_names = ("form",)
    params = (["free", "constrained"],)

    @unit("mean error / scale")
    def track_loss(self, form: str) -> float:
        """After a quick run's epochs: a change says that the arithmetic has changed."""
        return error(self._numbers(), f"loss {form}")


class SteadyState(Study):
    """Gradients of an equilibrium by the implicit function theorem."""

    study = "steady-state"
    param_names = ("family",)
    params = (["layer", "reactor"],)

    @unit("power of the condition number")
    def track_exponent(self, family: str) -> float:
        """How the gradient's error grows where the equilibrium comes from an integration."""
        return error(self._numbers(), f"exponent {family}")


class SilentErrors(Study):
    """Gradients of a decay at rest, which no tolerance makes right."""

    study = "silent-errors"
    param_names = ("method",)
    params = (
        [
            "diffrax/tsit5/discrete-recursive",
            "stiffgrad-jax/radau5/discrete",
            "stiffgrad-jax/rodas5p/discrete",
            "stiffgrad-jax/rodas5p/forward",
            "torchdiffeq/dopri5/discrete",
        ],
    )

    @unit("relative error")
    def track_gradient_error_at_rest(self, method: str) -> float:
        """At rtol = 1e-6 and p1 T = 20."""
        return error(self._numbers(), method)


class SilentErrorChecks(Study):
    """Wrong gradients of a quick run that a check does not see, or understates."""

    study = "silent-errors"
    param_names = ("check",)
    params = (["tighter", "tangent", "differences", "halved", "forward", "second"],)

    @unit("gradients")
    def track_missed(self, check: str) -> float:
        """How many; the least error that is tracked stands for none."""
        return error(self._numbers(), f"{check} missed")
