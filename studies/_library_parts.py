"""What the study `library` measures: one function a part, from a case to its row or rows."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from adapters import get_method
from problems import Problem, get_problem
from studies._cost import compiled, gradient_cost, timed
from studies._journal import Row
from suite.cases import Case
from suite.machine import ROOT
from suite.measure import Effort, measure
from suite.measure import prepare as prepare_case

SCRIPT = Path(__file__).with_name("_first_call.py")
# A compile cache that keeps everything: JAX's own thresholds leave out quick compilations.
CACHE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
MEMORY_RTOL = 1e-6
# The record of a tenth: what the checkpointed variant may use.
TENTH = 10
MAX_STEPS = 4096
MAP_RTOL = 1e-4
# Rates of the mapped trajectories: the literature's times e^(sigma N(0, 1)).
MAP_SIGMA, MAP_SEED = 0.5, 20261121
# Compiled runs that a training is made of.
# Two and a half times what the longest takes: the record of a block of lanes has room for that many
# steps, all of which is cleared for every block.
MAP_STEPS = 256
# How long the map is repeated, seconds.
SETTLING_SECONDS = 0.5


def case_of(problem: str, method: str, rtol: float) -> Case:
    """The suite's case at the problem's own absolute tolerance."""
    found = get_problem(problem)
    return Case(found.name, method, rtol, found.default_atol(rtol))


def prepare_precision(problem: str, method: str, rtol: float, **rest: Any) -> None:
    """Import and compile."""
    prepare_case(case_of(problem, method, rtol))


def precision(part: str, problem: str, method: str, rtol: float, timing: float) -> Row:
    """Error and time of one gradient, by the suite's own measurement."""
    figures: dict[str, Any] = {}
    known = {"reversibility_error_reason": "not asked for"}
    measure(case_of(problem, method, rtol), Effort(timing, 0.0), known, figures.update)
    wanted = ("status", "reason", "gradient_error", "gradient_error_worst", "forward_seconds")
    row = {name: figures[name] for name in wanted if figures.get(name) is not None}
    return {**row, "seconds": figures.get("gradient_seconds"), "steps": figures.get("steps")}


def first_call(part: str, problem: str, method: str) -> list[Row]:
    """Seconds of the first gradient in a fresh process, before and after its program is cached."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            **CACHE,
            "JAX_COMPILATION_CACHE_DIR": folder,
            "PYTHONPATH": str(ROOT),
        }

        def row(cache: str) -> Row:
            done = subprocess.run(
                [sys.executable, "-P", str(SCRIPT), problem],
                env=environment,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(done.stderr.strip().splitlines()[-1])
            return {"cache": cache, **json.loads(done.stdout)}

        return [row("cold"), row("warm")]


def _loss(problem: Problem, rtol: float, **options: Any) -> Any:
    """(y0, p) to the loss and (status, accepted steps), by stiffgrad.jax alone."""
    import jax.numpy as jnp

    from stiffgrad.jax import solve

    times = np.concatenate([[problem.t0], problem.times])
    atol = problem.default_atol(rtol)

    def rhs(t: Any, y: Any, p: Any) -> Any:
        return problem.rhs(t, y, p, jnp)

    def loss(y0: Any, p: Any) -> tuple[Any, Any]:
        found = solve(rhs, y0, times, p, rtol=rtol, atol=atol, **options)
        outcome = found.status, found.stats.accepted
        return problem.loss.value(found.ys[1:], jnp), outcome

    return loss


def memory(part: str, problem: str, method: str, timing: float) -> Row:
    """Memory and time of the gradient with every step stored, or with a tenth of that memory."""
    import jax

    from adapters._jax_common import prepare

    prepare()
    found = get_problem(problem)
    options = {"max_steps": MAX_STEPS}
    if get_method(method).variant == "checkpointed":
        options["memory_limit"] = 8 * (3 + found.n) * MAX_STEPS // TENTH
    loss = _loss(found, MEMORY_RTOL, **options)
    gradient = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    row = gradient_cost(gradient, timing, found.y0, found.p)
    return row | {"max_steps": MAX_STEPS}


def mapped(part: str, problem: str, method: str, trajectories: int) -> Row:
    """Gradients a second of many trajectories in one map."""
    import jax

    from adapters._jax_common import prepare

    prepare()
    found = get_problem(problem)
    draw = np.random.default_rng(MAP_SEED).normal(size=(trajectories, found.m))
    rates = found.p * np.exp(MAP_SIGMA * draw)
    loss = _loss(found, MAP_RTOL, max_steps=MAP_STEPS)
    gradient = jax.vmap(jax.grad(loss, argnums=1, has_aux=True), in_axes=(None, 0))
    executable, compile_seconds = compiled(gradient, found.y0, rates)
    (bars, (_, steps)), seconds = timed(lambda: executable(found.y0, rates), SETTLING_SECONDS)
    lost = int(np.sum(~np.isfinite(np.asarray(bars)).all(axis=1)))
    row: Row = {
        "seconds": seconds,
        "steps": float(np.mean(steps)),
        "max_steps": MAP_STEPS,
        "compile_seconds": compile_seconds,
    }
    if lost:
        row |= {"status": "non-finite", "reason": f"{lost} of {trajectories} gradients are not"}
    return row


def scaling(part: str, method: str, states: int, parameters: int, timing: float) -> Row:
    """Cost of the network's gradient by a strategy, for so many states and parameters."""
    from adapters._jax_common import prepare
    from studies import _network

    prepare()
    network = _network.Network(states, parameters // (2 * states))
    gradient = _network.by_all(network, adjoint=get_method(method).strategy)
    return gradient_cost(gradient, timing, network.weights())


def training(part: str, method: str, epochs: int, integrator: str, observe: str) -> Row:
    """Seconds of so many epochs, with the loss on the way."""
    from studies._training import PLAIN, ROBER, SEEDS, recipes
    from studies._training_rows import outcome
    from studies._training_run import train

    start = perf_counter()
    found = train(
        ROBER, recipes(ROBER)[PLAIN], SEEDS[0], epochs, integrator=integrator, observe=observe
    )
    seconds, every = float(found.seconds[-1]), found.epochs
    return {
        "seconds": seconds,
        "compile_seconds": perf_counter() - start - seconds,
        "parameters": len(found.weights),
        "first_loss": float(every.loss[0]),
        "last_loss": float(every.loss[-1]),
        "loss_at_1000": float(every.loss[999]) if epochs >= 1000 else float("nan"),
        "steps": float(every.steps.mean()),
        "failed": int(every.failed.sum()),
        **outcome(every),
    }
