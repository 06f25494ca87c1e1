"""Double precision, and programs that are compiled quickly rather than to run quickly."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled():
    """Leave LLVM's optimisations out, which take a quarter of these tests' time.

    The laws that they check hold for any compilation; the adapters' tests run solvers as users do.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
