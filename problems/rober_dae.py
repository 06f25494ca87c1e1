"""ROBER as a differential-algebraic problem of index 1: mass conservation takes y3's equation."""

import numpy as np

from problems import rober
from problems._problem import Problem

# y3 is what y1 and y2 leave of the total, so that its own initial value counts for nothing and
# moving another one moves y3 the other way.
SLAVED = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 0.0]])


def rhs(t, y, p, xp):
    """The rates of y1 and y2, and y1 + y2 + y3 - 1."""
    rates = rober.NETWORK.rhs(t, y, p, xp)
    return xp.stack([rates[0], rates[1], y[0] + y[1] + y[2] - 1.0])


def jacobian(t, y, p):
    return np.vstack([rober.NETWORK.jacobian(t, y, p)[:2], np.ones(3)])


def parameter_jacobian(t, y, p):
    return np.vstack([rober.NETWORK.parameter_jacobian(t, y, p)[:2], np.zeros(3)])


def make(name: str) -> Problem:
    """ROBER with y3' replaced by y1 + y2 + y3 = 1, M = diag(1, 1, 0); observed as ROBER is."""
    ode = rober.make("rober")
    return Problem(
        name=name,
        title="Robertson's chemical kinetics as an index-1 DAE",
        citation="Kim et al. 2021, Chaos 31, 093122, section V; Hindmarsh et al. 2005, ACM TOMS "
        "31, 363 (idaRoberts); " + ode.citation,
        states=ode.states,
        parameters=ode.parameters,
        rhs=rhs,
        y0=ode.y0,
        p=ode.p,
        t0=ode.t0,
        times=ode.times,
        log_times=ode.log_times,
        loss=ode.loss,
        y_scale=ode.y_scale,
        p_scale=ode.p_scale,
        atol_factor=ode.atol_factor,
        stiff_parameters=ode.stiff_parameters,
        given_jacobian=jacobian,
        given_parameter_jacobian=parameter_jacobian,
        invariants=ode.invariants,
        mass=np.diag([1.0, 1.0, 0.0]),
        reference="rober",
        reference_y0=SLAVED,
    )
