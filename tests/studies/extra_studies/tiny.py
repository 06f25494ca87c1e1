"""A study that takes no time: one claim of each outcome, and work that fails in every way."""

import os
import time
import warnings

from studies import Claim, NotMeasured, Study, attempts, confirmed, differs, refuted


def work(way, **names):
    if way == "raise":
        raise ValueError("cannot [do] this")
    if way == "hang":
        time.sleep(60)
    if way == "die":
        os._exit(3)
    if way == "warn":
        warnings.warn("careful", stacklevel=1)
    if way == "twice":
        return [{"value": 1.0}, {"value": 2.0}]
    return {"value": float("inf")}


def run(quick):
    import pandas as pd

    ways = ("well", "raise") if quick else ("well", "raise", "twice")
    return pd.DataFrame(attempts(work, [{"way": way} for way in ways], 60.0))


def not_measured(frame):
    raise NotMeasured("it was [not] tried")


def draw(frame):
    from studies import _figures

    figure, axes = _figures.panels(size=(2.0, 2.0))
    axes[0, 0].plot(frame["value"])
    return figure


STUDY = Study(
    name="tiny",
    title="A [tiny] study",
    source="Nobody 1900",
    claims=(
        Claim("a", "yes", "page 1", "yes", lambda frame: confirmed(f"{len(frame)} rows")),
        Claim("b", "nearly", "page 2", "yes", lambda frame: differs("5", "half as much")),
        Claim("c", "no", "page 3", "no", lambda frame: refuted("0", "it is not so")),
        Claim("d", "perhaps", "page 4", "who knows", not_measured),
    ),
    run=run,
    draw=draw,
    numbers=lambda frame: {"value": float(frame["value"].max())},
)
