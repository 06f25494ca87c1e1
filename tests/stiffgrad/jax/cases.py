"""Right-hand sides with known solutions or published gradients."""

import jax.numpy as jnp
import numpy as np

# ROBER (Robertson 1966), with the loss and the reference gradient of a sum over 50 observations.
ROBER_Y0 = np.array([1.0, 0.0, 0.0])
ROBER_K = np.array([0.04, 3e7, 1e4])
ROBER_TIMES = np.concatenate([[0.0], np.logspace(-5, 5, 50)])
ROBER_LOSS = 36.654317639453794
ROBER_DK = np.array([-91.9127227, -5.26308296e-8, 3.15797532e-4])
ROBER_DY0 = np.array([38.2333681, 11.2998233, 11.3016736])


def rober(t, y, k):
    forward, square, back = k[0] * y[0], k[1] * y[1] ** 2, k[2] * y[1] * y[2]
    return jnp.stack([back - forward, forward - square - back, square])


def van_der_pol(t, y, mu):
    return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def forced(t, y, p):
    """y' = -lam (y - a cos(w t)), whose solution is known."""
    lam, a, w = p
    return -lam * (y - a * jnp.cos(w * t))


def forced_solution(t, y0, p):
    lam, a, w = p
    size = a * lam / (lam**2 + w**2)
    particular = size * (lam * jnp.cos(w * t) + w * jnp.sin(w * t))
    return particular + (y0 - size * lam) * jnp.exp(-lam * t)
