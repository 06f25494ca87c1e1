"""What the frame of a training study says, as judges and figures ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from studies import NotMeasured
from studies._study import DataFrame

EPOCHS = 10000
# Of trainings and gradients that came to an end; one that diverged is a result.
ENDED = ("ok", "diverged")


@dataclass(frozen=True)
class Marks:
    """Levels of the loss, equation 14, that say how far a training has come.

    Arguments:
        problem: name of the reaction; long: epochs of the authors' last recorded run.
        trivial: what is reached without learning the dynamics; trivially: how.
        recorded: the authors' recorded loss by epoch, from the released code's checkpoint.
    """

    problem: str
    trivial: float
    trivially: str
    recorded: Mapping[int, float]
    long: int

    @property
    def levels(self) -> tuple[float, ...]:
        return (self.trivial, *self.recorded.values())


def rows(frame: DataFrame, part: str, **wanted: Any) -> Any:
    """Rows of a part whose columns have the wanted values and whose attempt ended."""
    found = frame[(frame["part"] == part) & frame["status"].isin(ENDED)]
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


def late(frame: DataFrame, recipe: str) -> Any:
    """Misfits after EPOCHS, or as many as a quick run has, by seed: see `after`."""
    return after(frame, recipe, min(tried(frame, recipe)["epochs"].min(), EPOCHS))


def after(frame: DataFrame, recipe: str, epoch: int) -> Any:
    """Misfits after so many epochs, by seed: infinite where a training did not get there.

    That is one that diverged, crashed or met its time limit; none is left out.
    """
    seeds = tried(frame, recipe).query("epochs >= @epoch")["seed"].unique()
    found = rows(frame, "at", recipe=recipe, epoch=float(epoch)).set_index("seed")["misfit"]
    return found.reindex(seeds, fill_value=np.inf)


def tried(frame: DataFrame, recipe: str) -> Any:
    """All rows of a recipe, those of attempts that failed too; NotMeasured without any."""
    found = frame[frame["recipe"] == recipe]
    if found.empty:
        raise NotMeasured(f"{recipe!r} was not trained")
    return found


def spread(values: Any) -> str:
    """Median, and least to most where there are several; infinite is what did not get there."""
    if len(values) == 1:
        return f"{values.iloc[0]:.3g} (1 seed)"
    least, most = values.min(), values.max()
    lost = int(np.isinf(values).sum())
    tail = f", {lost} of them lost" if lost else ""
    return f"{values.median():.3g} ({least:.3g} to {most:.3g}, {len(values)} seeds{tail})"


def epochs_to(frame: DataFrame, recipe: str, level: float) -> Any:
    """Epochs to a level, by seed, infinite where it was not reached."""
    seeds = tried(frame, recipe)["seed"].unique()
    found = rows(frame, "milestone", recipe=recipe, level=level).set_index("seed")["epoch"]
    return found.reindex(seeds).fillna(np.inf)
