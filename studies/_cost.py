"""What a compiled gradient costs: seconds, and bytes of the compiler's own plan of its memory."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from studies._journal import Row
from suite.measure import LONG_CALL, Timing

#: From arguments to (loss, (status, accepted steps)), with the gradient: jax.value_and_grad's.
Gradient = Callable[..., Any]


def compiled(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """A function compiled for these arguments, and the seconds that took."""
    import jax

    start = perf_counter()
    executable = jax.jit(function).lower(*args).compile()
    return executable, perf_counter() - start


def timed(call: Callable[[], Any], seconds: float) -> tuple[Any, float]:
    """What a call returns, and the median of its seconds, the first call left out if it is short.

    Repeated as the suite does it: five times and for `seconds`.
    """
    import jax

    def once() -> tuple[Any, float]:
        start = perf_counter()
        result = jax.block_until_ready(call())
        return result, perf_counter() - start

    result, first = once()
    if first > LONG_CALL * seconds:
        return result, first
    timing = Timing()
    while not timing.settled(seconds):
        timing.samples.append(once()[1])
    return result, float(np.median(timing.samples))


def temporary_bytes(executable: Any) -> int:
    """What a compiled program allocates beside its arguments and results."""
    return int(executable.memory_analysis().temp_size_in_bytes)


def gradient_cost(gradient: Gradient, seconds: float, *args: Any) -> Row:
    """Time, steps and memory of `gradient(*args)`; its status where it failed."""
    from stiffgrad.jax import Status
    from stiffgrad.jax._types import MESSAGES

    executable, compile_seconds = compiled(gradient, *args)
    ((_, (status, steps)), bars), median = timed(lambda: executable(*args), seconds)
    row: Row = {
        "seconds": median,
        "steps": int(steps),
        "temporary_bytes": temporary_bytes(executable),
        "compile_seconds": compile_seconds,
    }
    if int(status) != Status.SUCCESS:
        return row | {"status": "diverged", "reason": MESSAGES[Status(int(status))]}
    if not all(np.all(np.isfinite(np.asarray(leaf))) for leaf in _leaves(bars)):
        return row | {"status": "non-finite", "reason": "the gradient holds NaN or infinity"}
    return row


def _leaves(tree: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(tree)


def exponent(sizes: Any, seconds: Any) -> float:
    """The power of the size that the seconds grow with: slope of the log-log fit."""
    return float(np.polyfit(np.log(np.asarray(sizes)), np.log(np.asarray(seconds)), 1)[0])
