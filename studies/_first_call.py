"""A script: the first gradient of a problem in a fresh process, with the seconds of its parts.

`python _first_call.py PROBLEM` prints JSON. Run as a file, so that nothing is imported before the
clock starts.
"""

from time import perf_counter

START = perf_counter()

import json  # noqa: E402
import sys  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from problems import get_problem  # noqa: E402
from stiffgrad.jax import solve  # noqa: E402

RTOL = 1e-6


def main(name: str) -> None:
    """Import, compile and run; one more run tells what of the first was running."""
    imported = perf_counter()
    jax.config.update("jax_enable_x64", True)
    problem = get_problem(name)
    times = np.concatenate([[problem.t0], problem.times])

    def loss(y0: jax.Array, p: jax.Array) -> jax.Array:
        def rhs(t: jax.Array, y: jax.Array, p: jax.Array) -> jax.Array:
            return problem.rhs(t, y, p, jnp)

        atol = problem.default_atol(RTOL)
        return problem.loss.value(solve(rhs, y0, times, p, rtol=RTOL, atol=atol).ys[1:], jnp)

    gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    jax.block_until_ready(gradient(problem.y0, problem.p))
    first = perf_counter()
    jax.block_until_ready(gradient(problem.y0, problem.p))
    again = perf_counter() - first
    seconds = {
        "import_seconds": imported - START,
        "compile_seconds": first - imported - again,
        "run_seconds": again,
        "seconds": first - START,
    }
    sys.stdout.write(json.dumps(seconds))


if __name__ == "__main__":
    main(sys.argv[1])
