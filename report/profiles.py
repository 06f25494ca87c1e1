"""Performance profiles: the share of problems that a method solves within a factor of the best.

Dolan and Moré 2002, Math. Program. 91, 201-213: a problem that a method does not solve counts as an
infinite time. Solved means that the wanted gradient error is reached.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from report.figure import Figure, Panel, Tags, legend, logarithmic, plain
from report.gather import Platform
from report.looks import Looks, attributes
from suite import tables

# Gradient errors at which methods are compared.
TARGETS = (1e-4, 1e-6, 1e-8)
BOUNDS = [f"bound {target:.0e}" for target in TARGETS]
NAMED = 8
LEAST_PROBLEMS = 3
FAINT: dict[str, Any] = {"marker": "", "linewidth": 0.8, "alpha": 0.35}
# The last factor that is drawn where all methods lie closer together.
LEAST_SPAN = 10.0


@dataclass(frozen=True)
class Field:
    """Problems on each of which each of these methods was tried."""

    problems: list[str]
    methods: list[str]

    @property
    def size(self) -> int:
        return len(self.problems) * len(self.methods)

    @property
    def name(self) -> str:
        return f"{len(self.problems)} problems, {len(self.methods)} methods"

    @property
    def slug(self) -> str:
        return f"{len(self.problems)}x{len(self.methods)}"


def fields(data: pd.DataFrame) -> list[Field]:
    """The field of most cases; and that of all methods, where it is another.

    Those of fewer than three problems are left out: a share of two says nothing.
    """
    tried = {str(name): set(group["problem"]) for name, group in data.groupby("method")}
    everyone = _field(tried, set.intersection(*tried.values()))
    largest = max((_field(tried, problems) for problems in tried.values()), key=lambda f: f.size)
    found = [largest] if everyone == largest else [largest, everyone]
    return [field for field in found if len(field.problems) >= LEAST_PROBLEMS]


def _field(tried: dict[str, set[str]], problems: set[str]) -> Field:
    able = [name for name, found in tried.items() if problems <= found]
    return Field(sorted(problems), sorted(able))


def times(ranked: pd.DataFrame, field: Field, target: float) -> pd.DataFrame:
    """Seconds to reach the error `target`, problems by methods; infinite where it is not."""
    wide = ranked.pivot(index="problem", columns="method", values=f"at {target:.0e}")
    return wide.reindex(index=field.problems, columns=field.methods).fillna(np.inf)


def ratios(seconds: pd.DataFrame) -> pd.DataFrame:
    """Time over the least time for the same problem; problems that nobody solves are left out."""
    best = seconds.min(axis="columns")
    solved = np.isfinite(best)
    return seconds[solved].div(best[solved], axis="index")


def profile(found: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """(factors, share of problems solved within each factor): the corners of a step curve."""
    factors = np.sort(found[np.isfinite(found)].to_numpy(dtype=float))
    shares = np.arange(1, factors.size + 1) / len(found)
    return np.concatenate([[1.0], factors]), np.concatenate([[0.0], shares])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """One row a method: share solved, fastest, within 2, 10 and 100 times the best; best first."""
    count = len(found)
    rows = pd.DataFrame(
        {
            "method": found.columns,
            "solved": [float(np.isfinite(found[name]).sum()) / count for name in found],
            **{
                name: [float((found[method] <= factor).sum()) / count for method in found]
                for name, factor in (("fastest", 1), ("within 2", 2), ("within 10", 10))
            },
            "within 100": [float((found[name] <= 100).sum()) / count for name in found],
        }
    )
    order = ["within 10", "within 100", "within 2", "solved"]
    return rows.sort_values(order, ascending=False, kind="stable")


def figure(platform: Platform, ranked: pd.DataFrame, field: Field, looks: Looks) -> Figure | None:
    """A panel an error; methods that solve nothing lie on the axis and are left out."""
    about = platform.data.drop_duplicates("method").set_index("method", drop=False)
    panels = []
    for target in TARGETS:
        found = ratios(times(ranked, field, target))
        if not found.empty:
            title = f"gradient error {target:.0e}, {len(found)} problems"
            panels.append(Panel(title, _drawer(found, about, looks), lines=NAMED))
    if not panels:
        return None
    caption = (
        f"{len(field.methods)} methods on {', '.join(field.problems)}: the share of problems on "
        "which a method reaches the gradient error within a factor of the fastest method's time. "
        "A failure, or an error that is not reached at any tolerance that was tried, counts as an "
        "infinite time. Problems on which nobody reaches it are left out; so are methods that were "
        "not tried on all of these problems."
    )
    return Figure(f"{platform.slug}/profiles-{field.slug}", field.name, caption, panels)


def ranking(data: pd.DataFrame) -> pd.DataFrame:
    """`suite.tables.ranking` at the report's gradient errors, with what methods are known by."""
    about = data.drop_duplicates("method")[["method", "framework", "integrator", "strategy"]]
    found = tables.ranking(data, TARGETS)
    if found.empty:
        # a column of nothing is one of objects, for which nothing is infinite
        found = found.reindex(columns=[*found, "method", "family", *BOUNDS])
        found = found.astype({name: float for name in found if name.startswith("at ")})
    return found.merge(about, on="method", how="left")


def _drawer(found: pd.DataFrame, about: pd.DataFrame, looks: Looks) -> Any:
    finite = found.to_numpy()[np.isfinite(found.to_numpy())]
    end = max(float(finite.max()) * 1.3, LEAST_SPAN)

    def draw(axes: Any, tags: Tags) -> None:
        logarithmic(axes, "x")
        axes.set(xlabel="time over the fastest method's", ylabel="share of problems")
        axes.set(xlim=(0.93, end), ylim=(0, 1.04))
        order = summary(found)
        for rank, method in enumerate(order.loc[order["solved"] > 0, "method"], start=1):
            x, y = profile(found[method])
            tip = f"{method}\nsolves {y[-1]:.0%}; at its best {x[1]:.3g} times the fastest"
            gid = tags.new(attributes(about.loc[method]), tip)
            named = rank <= NAMED
            label = plain(f"{rank} {method}") if named else "_"
            look = looks.curve(about.loc[method]) | ({} if named else FAINT)
            axes.plot([*x, end], [*y, y[-1]], drawstyle="steps-post", gid=gid, label=label, **look)
        legend(axes)

    return draw
