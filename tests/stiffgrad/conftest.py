"""Double precision, and the problems that several tests share."""

import jax

jax.config.update("jax_enable_x64", True)
