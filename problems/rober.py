"""Robertson's autocatalytic reaction: three species, rates over nine decades, eleven of time."""

import numpy as np

from problems._losses import LinearLoss
from problems._network import MassAction, Reaction
from problems._problem import Problem, log_spaced

NETWORK = MassAction(
    species=("y1", "y2", "y3"),
    reactions=(
        Reaction(0.04, {"y1": 1}, {"y2": 1}),
        Reaction(3e7, {"y2": 2}, {"y2": 1, "y3": 1}),
        Reaction(1e4, {"y2": 1, "y3": 1}, {"y1": 1, "y3": 1}),
    ),
)
OBSERVATIONS = log_spaced(1e-5, 1e5, 50)


def make(name: str) -> Problem:
    """ROBER with 50 log-spaced observations and L = sum of y1 (Kim et al. 2021, section III.A)."""
    return Problem(
        name=name,
        title="Robertson's chemical kinetics",
        citation="Robertson 1966, in Numerical Analysis: An Introduction, 178; "
        "observations and loss: Kim et al. 2021, Chaos 31, 093122",
        states=NETWORK.species,
        parameters=("k1 [1/s]", "k2 [1/s]", "k3 [1/s]"),
        rhs=NETWORK.rhs,
        y0=np.array([1.0, 0.0, 0.0]),
        p=np.array(NETWORK.rates),
        t0=0.0,
        times=OBSERVATIONS,
        log_times=True,
        loss=LinearLoss((1.0, 0.0, 0.0)),
        # the largest value of each state over the time span; y2 peaks at t = 4.5e-3
        y_scale=np.array([1.0, 3.65e-5, 1.0]),
        p_scale=np.array(NETWORK.rates),
        atol_factor=1e-5,
        stiff_parameters=(1, 2),
        given_jacobian=NETWORK.jacobian,
        given_parameter_jacobian=NETWORK.parameter_jacobian,
        invariants=((1.0, 1.0, 1.0),),
    )
