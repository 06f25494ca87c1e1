"""What holds for all tests."""

import gc

# JAX's tracing makes objects by the million: looking for cycles as often as Python would is an
# eighth of the time of tests that compile.
gc.set_threshold(50_000, 20, 50)
