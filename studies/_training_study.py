"""Which trainings and gradients the training studies run, and what is tracked of them."""

import numpy as np

from studies import Row, attempts
from studies import _training as training
from studies._study import DataFrame
from studies._training import (
    ANNEALED,
    BASELINE,
    BOTH,
    OURS,
    PLAIN,
    SEEDS,
    STEER,
    TANH,
    UNSCALED,
)
from studies._training_cost import gradient_costs
from studies._training_frame import EPOCHS, Marks, rows
from studies._training_rows import trained
from studies._training_run import METHOD

QUICK_EPOCHS = 1000
# For trainings up to the authors' last epoch, and of networks that the paper found wanting.
FEW = SEEDS[:3]
# A network that is not scaled may take every step it is allowed, epoch after epoch; its other seeds
# would too.
TRAINING_SECONDS, GRADIENT_SECONDS = 300.0, 15.0


def run(marks: Marks, quick: bool) -> DataFrame:
    """Rows of `part` "run", "at", "milestone", "curve", "profile" and "gradient"."""
    import pandas as pd

    cases = [
        {"method": METHOD, "problem": marks.problem, "recipe": recipe, "seed": seed}
        | {"epochs": epochs, "levels": marks.levels}
        for recipe, seeds, epochs in _plan(marks, quick)
        for seed in seeds
    ]
    found = attempts(trained, cases, TRAINING_SECONDS, give_up=("recipe",))
    for row in found:
        del row["levels"]
    wanted = {"recipe": PLAIN, "seed": SEEDS[0], "part": "weights"}
    last = [row["value"] for row in found if wanted.items() <= row.items()]
    kept = [row for row in found if row.get("part") != "weights"]
    return pd.DataFrame(kept + _gradients(marks, last, quick))


def _plan(marks: Marks, quick: bool) -> list[tuple[str, tuple[int, ...], int]]:
    """(recipe, seeds, epochs); a recipe has a seed once.

    Seeds run one by one, so that each has its own times and none waits for the stiffest. Mapped
    over five, the CPU time of an epoch and seed was 0.7 to 1.1 times that alone on ROBER and 1.2
    to 1.6 times on POLLU: medians and minima of 800 epochs, on a busy machine.
    """
    if quick:
        return [(PLAIN, SEEDS[:1], QUICK_EPOCHS), (BASELINE, SEEDS[:1], QUICK_EPOCHS)]
    return [
        (PLAIN, FEW, marks.long),
        (PLAIN, SEEDS[len(FEW) :], EPOCHS),
        (STEER, SEEDS, EPOCHS),
        (ANNEALED, SEEDS, EPOCHS),
        (BOTH, SEEDS, EPOCHS),
        (OURS, SEEDS, EPOCHS),
        (TANH, FEW, EPOCHS),
        (UNSCALED, FEW, EPOCHS),
        (BASELINE, FEW, EPOCHS),
    ]


def _gradients(marks: Marks, last: list[float], quick: bool) -> list[Row]:
    task = getattr(training, marks.problem.upper())
    weights = {"initial": training.neural(task, training.recipes(task)[PLAIN]).p}
    if last:
        weights["trained"] = np.array(last)
    return gradient_costs(marks.problem, weights, quick, GRADIENT_SECONDS)


def numbers(frame: DataFrame) -> dict[str, float]:
    """Of the plain recipe's first seed: milliseconds an epoch at the best, misfits at epochs."""
    found = rows(frame, "run", recipe=PLAIN, seed=SEEDS[0])
    key = {f"{PLAIN} ms": float(found["ms_least"].min()) if len(found) else np.nan}
    for row in rows(frame, "at", recipe=PLAIN, seed=SEEDS[0]).itertuples():
        key[f"{PLAIN} misfit {row.epoch:.0f}"] = float(row.misfit)
    return key
