"""A neural ODE learns POLLU's air pollution chemistry, scaled and not (Kim et al., IV.B, figure 8).

Shorter than the authors' 25 000 epochs where several seeds are trained.
"""

from functools import partial

from studies import Study
from studies._training_claims import claims
from studies._training_figure import draw
from studies._training_frame import Marks
from studies._training_study import numbers, run

MARKS = Marks(
    problem="pollu",
    trivial=0.1909,
    trivially="each species at its mean over time",
    recorded={1000: 0.0237, 5000: 0.0063, 10000: 0.0050},
    long=10000,
)
STUDY = Study(
    name="training-pollu",
    title="A neural ODE learns POLLU",
    source="Kim et al. 2021, Chaos 31, 093122",
    claims=claims(MARKS, "IV.B"),
    run=partial(run, MARKS),
    draw=partial(
        draw, species=("NO2 [ppm]", "O3P [ppm]", "MEO2 [ppm]"), marks=MARKS, logarithmic=False
    ),
    numbers=numbers,
    requires=("optax",),
)
