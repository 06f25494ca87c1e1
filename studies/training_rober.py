"""A neural ODE learns Robertson's reaction, scaled and not (Kim et al., IV.A, figures 4 to 7)."""

from functools import partial

from studies import Study
from studies._training_claims import claims
from studies._training_figure import draw
from studies._training_frame import Marks
from studies._training_study import numbers, run

MARKS = Marks(
    problem="rober",
    # y1 and y3 exact and y2 = 0; the start (1, 0, 0) kept for ever has 0.3232
    trivial=0.1437,
    trivially="every species but y2 exact, y2 = 0,",
    recorded={1000: 0.1432, 10000: 0.0855, 20000: 0.0380, 25000: 0.0172, 50000: 0.0056},
    long=50000,
)
STUDY = Study(
    name="training-rober",
    title="A neural ODE learns Robertson's reaction",
    source="Kim et al. 2021, Chaos 31, 093122",
    claims=claims(MARKS, "IV.A"),
    run=partial(run, MARKS),
    draw=partial(draw, species=("y1", "y2", "y3"), marks=MARKS, logarithmic=True),
    numbers=numbers,
    requires=("optax",),
)
