"""POLLU: 20 species and 25 reactions of air pollution chemistry, rates over sixteen decades."""

import numpy as np

from problems._losses import LinearLoss
from problems._network import MassAction, Reaction
from problems._problem import Problem

SPECIES = (
    *("NO2", "NO", "O3P", "O3", "HO2", "OH", "HCHO", "CO", "ALD", "MEO2"),
    *("C2O3", "CO2", "PAN", "CH3O", "HNO3", "O1D", "SO2", "SO4", "NO3", "N2O5"),
)

# Rate constants and stoichiometry: Verwer 1994, table 1; the same in the IVP test set (Mazzia &
# Magherini 2008). A published copy has k15, k18 and k19 ten times too large; these are the right
# ones: y(60) agrees with the test set's.
REACTIONS = (
    (0.35, "NO2", "NO O3P"),
    (26.6, "NO O3", "NO2"),
    (1.23e4, "HO2 NO", "NO2 OH"),
    (8.6e-4, "HCHO", "HO2 HO2 CO"),
    (8.2e-4, "HCHO", "CO"),
    (1.5e4, "HCHO OH", "HO2 CO"),
    (1.3e-4, "ALD", "MEO2 HO2 CO"),
    (2.4e4, "ALD OH", "C2O3"),
    (1.65e4, "C2O3 NO", "NO2 MEO2 CO2"),
    (9.0e3, "C2O3 NO2", "PAN"),
    (2.2e-2, "PAN", "C2O3 NO2"),
    (1.2e4, "MEO2 NO", "CH3O NO2"),
    (1.88, "CH3O", "HCHO HO2"),
    (1.63e4, "NO2 OH", "HNO3"),
    (4.8e6, "O3P", "O3"),
    (3.5e-4, "O3", "O1D"),
    (1.75e-2, "O3", "O3P"),
    (1.0e8, "O1D", "OH OH"),
    (4.44e11, "O1D", "O3P"),
    (1.24e3, "SO2 OH", "SO4 HO2"),
    (2.1, "NO3", "NO"),
    (5.78, "NO3", "NO2 O3P"),
    (4.74e-2, "NO2 O3", "NO3"),
    (1.78e3, "NO3 NO2", "N2O5"),
    (3.12, "N2O5", "NO3 NO2"),
)
INITIAL = {"NO": 0.2, "O3": 0.04, "HCHO": 0.1, "CO": 0.3, "ALD": 0.01, "SO2": 0.007}

# The largest value of each state over [0, 60], to two digits.
MAGNITUDES = (
    *(0.056, 0.2, 4.1e-9, 0.04, 4.4e-7, 5.8e-7, 0.1, 0.32, 0.01, 5.9e-8),
    *(4.3e-8, 2.2e-3, 2.1e-4, 3.0e-5, 9.0e-3, 3.2e-17, 7.0e-3, 1.0e-4, 1.8e-6, 5.7e-5),
)


def _count(names: str) -> dict[str, int]:
    return {name: names.split().count(name) for name in names.split()}


NETWORK = MassAction(
    species=SPECIES,
    reactions=tuple(Reaction(k, _count(left), _count(right)) for k, left, right in REACTIONS),
)


def make(name: str) -> Problem:
    """POLLU with 20 equidistant observations on (0, 60] minutes and L = sum of all species."""
    return Problem(
        name=name,
        title="Air pollution chemistry (POLLU)",
        citation="Verwer 1994, SIAM J. Sci. Comput. 15, 1243; IVP test set 2.4, problem POLLU",
        states=tuple(f"{species} [ppm]" for species in SPECIES),
        parameters=tuple(f"k{j + 1} [1/min, ppm]" for j in range(len(REACTIONS))),
        rhs=NETWORK.rhs,
        y0=np.array([INITIAL.get(species, 0.0) for species in SPECIES]),
        p=np.array(NETWORK.rates),
        t0=0.0,
        times=np.linspace(3.0, 60.0, 20),
        log_times=False,
        loss=LinearLoss((1.0,) * len(SPECIES)),
        y_scale=np.array(MAGNITUDES),
        p_scale=np.array(NETWORK.rates),
        atol_factor=1e-6,
        # the three constants behind the fastest modes, -(k18 + k19) and -k15
        stiff_parameters=(14, 17, 18),
        given_jacobian=NETWORK.jacobian,
        given_parameter_jacobian=NETWORK.parameter_jacobian,
    )
