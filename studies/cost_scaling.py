"""What each strategy costs as states and parameters grow (Kim et al., III.B), on one integrator.

A wide network with k stiff states and m weights, whose sizes are free of each other; the solves
are by arrays and LAPACK, so that the powers of dense linear algebra show. Forward sensitivities are
run twice: as `forward` does them, reusing the factorisation of the states, and "unstructured", as
the paper counts them, with y and dy/dp given to the solver as one system.
"""

from typing import Any

from studies import Claim, NotMeasured, Row, Study, Verdict, attempts, confirmed, differs, refuted
from studies._cost import exponent, gradient_cost
from studies._study import DataFrame, Figure

PAPER = "Kim et al. 2021, Chaos 31, 093122"
FRAMEWORK = "stiffgrad-jax/rodas5p"
UNSTRUCTURED = "forward, unstructured"
FORWARD = ("forward", "forward-discrete", UNSTRUCTURED)
SPLIT = ("quadrature", "gauss", "imex", "discrete")
INSIDE = ("interpolating", "backsolve")
LABELS = (*SPLIT, *INSIDE, *FORWARD)

STATES = 10
FIXED_PARAMETERS = 480
# Hidden units; 20 parameters each at ten states.
WIDTHS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(SPLIT, (1, 5, 50, 500, 5000)),
    "interpolating": (1, 5, 20, 50),
    "backsolve": (1,),
    "forward": (1, 5, 20, 50),
    "forward-discrete": (1, 5, 20),
    UNSTRUCTURED: (1, 2, 4),
}
QUICK_WIDTHS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(SPLIT, (5, 50)),
    "interpolating": (5, 20),
    "backsolve": (1,),
    "forward": (1, 5),
    UNSTRUCTURED: (1, 2),
}
COUNTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(SPLIT, (10, 40, 120, 240)),
    "interpolating": (10, 40, 120),
    "forward": (10, 40, 120),
}
CHUNKS: dict[str, tuple[int, ...]] = {
    "interpolating": (2, 5, 20, 80, 240),
    "forward": (5, 20, 80, 480),
    UNSTRUCTURED: (5, 20, 40, 80),
}
# Cells a side of the Brusselator.
CELLS, QUICK_CELLS = (2, 3, 4, 5, 8), (2, 3)
COMPARED = ("forward-discrete", "discrete", "gauss", "quadrature")
QUICK_COMPARED = COMPARED[:2]
RULE = 100
LIMIT_SECONDS = 60.0

# A power is about 3 from here on: LAPACK runs faster on larger matrices, and lower powers remain.
CUBIC = 2.0
# A linear one may look like this.
LINEAR = 1.2


def run(quick: bool) -> DataFrame:
    """Rows of `part` "parameters", "states", "chunk" and "crossover": one gradient's cost each."""
    import pandas as pd

    cases = _crossover(QUICK_COMPARED, QUICK_CELLS) if quick else _crossover(COMPARED, CELLS)
    cases += _sizes("parameters", QUICK_WIDTHS if quick else WIDTHS)
    if not quick:
        cases += _sizes("states", COUNTS) + _chunks()
    timing = 0.1 if quick else 0.3
    listed = [{**case, "timing": timing} for case in cases]
    return pd.DataFrame(attempts(cost, listed, LIMIT_SECONDS, give_up=("part", "label")))


def _case(part: str, label: str, **sizes: int) -> Row:
    strategy = "forward" if label == UNSTRUCTURED else label
    return {"part": part, "label": label, "method": f"{FRAMEWORK}/{strategy}", **sizes}


def _sizes(part: str, chosen: dict[str, tuple[int, ...]]) -> list[Row]:
    def sizes(number: int) -> dict[str, int]:
        states = number if part == "states" else STATES
        parameters = FIXED_PARAMETERS if part == "states" else 2 * STATES * number
        return {"states": states, "parameters": parameters, "chunk": parameters}

    return [
        _case(part, label, **sizes(number)) for label, found in chosen.items() for number in found
    ]


def _chunks() -> list[Row]:
    return [
        _case("chunk", label, states=STATES, parameters=FIXED_PARAMETERS, chunk=chunk)
        for label, found in CHUNKS.items()
        for chunk in found
    ]


def _crossover(labels: tuple[str, ...], cells: tuple[int, ...]) -> list[Row]:
    from studies import _brusselator

    rows = []
    for label in labels:
        for n in cells:
            states, parameters = _brusselator.sizes(n)
            sizes = {"states": states, "parameters": parameters, "chunk": parameters}
            rows.append(_case("crossover", label, **sizes))
    return rows


def cost(
    part: str, label: str, method: str, states: int, parameters: int, chunk: int, timing: float
) -> Row:
    """The cost of all passes for the gradient by every parameter, `chunk` of them in a pass."""
    from adapters._jax_common import prepare
    from studies import _brusselator, _network

    prepare()
    if part == "crossover":
        return _brusselator.cost(round((states / 2) ** 0.5), timing, label)
    network = _network.Network(states, parameters // (2 * states))
    weights, passes = network.weights(), parameters // chunk
    if label == UNSTRUCTURED:
        one = gradient_cost(_network.unstructured(network, chunk), timing, weights)
        return _all_passes(one, passes)
    if label in FORWARD:
        gradient = _network.by_all(network, adjoint=label, chunk=chunk)
        return gradient_cost(gradient, timing, weights)
    gradient = _network.by_part(network, chunk, adjoint=label)
    return _all_passes(gradient_cost(gradient, timing, weights[:chunk]), passes)


def _all_passes(row: Row, passes: int) -> Row:
    """Passes are alike but for the parameters they are about: one is timed, and counted for all."""
    return {**row, "passes": passes, "seconds": passes * row["seconds"]}


def rows_of(frame: DataFrame, part: str, label: str | None = None) -> Any:
    """Successful rows."""
    rows = frame[(frame["part"] == part) & (frame["status"] == "ok")]
    return rows if label is None else rows[rows["label"] == label]


def powers(
    frame: DataFrame, part: str, size: str, label: str, figure: str = "seconds"
) -> tuple[float, float]:
    """The exponent over all sizes, and that from the last but one to the last.

    Raises NotMeasured, with what a failed row says, where there are fewer than two sizes.
    """
    rows = rows_of(frame, part, label).sort_values(size)
    if len(rows) < 2:
        tried = frame[(frame["part"] == part) & (frame["label"] == label)]
        bad = tried[tried["status"] != "ok"]
        why = "not part of this run" if tried.empty else "fewer than two sizes"
        why = f"{bad.iloc[0]['status']}: {bad.iloc[0]['reason']}" if len(bad) else why
        raise NotMeasured(f"{label}, {part}: {why}")
    sizes, values = rows[size].tolist(), rows[figure].tolist()
    return exponent(sizes, values), exponent(sizes[-2:], values[-2:])


def _in_words(frame: DataFrame, label: str) -> str:
    """Exponents in m and in k with the sizes that they were fitted on."""
    words = []
    for part, size, letter in (("parameters", "parameters", "m"), ("states", "states", "k")):
        try:
            whole, last = powers(frame, part, size, label)
        except NotMeasured:
            continue
        most = rows_of(frame, part, label)[size].max()
        words.append(f"{letter}^{whole:.2f} (last two sizes {last:.2f}, to {letter} = {most:g})")
    return f"{label}: {', '.join(words)}"


def judge_forward(frame: DataFrame) -> Verdict:
    whole = powers(frame, "parameters", "parameters", UNSTRUCTURED)[1]
    staggered = powers(frame, "parameters", "parameters", "forward")[1]
    measured = f"{_in_words(frame, UNSTRUCTURED)}; {_in_words(frame, 'forward')}"
    if whole < CUBIC:
        return refuted(measured, f"the unstructured system grows with m^{whole:.2f} only")
    if staggered < whole:
        return differs(
            measured,
            "true where y and dy/dp are one system; with the states' factorisation reused the "
            "linear algebra is k^3 + k^2 m, and m tangents through a network of m weights m^2",
        )
    return confirmed(measured)


def judge_inside(frame: DataFrame) -> Verdict:
    last = powers(frame, "parameters", "parameters", "interpolating")[1]
    back = frame[(frame["part"] == "parameters") & (frame["label"] == "backsolve")]
    measured = _in_words(frame, "interpolating")
    if len(back) and (back["status"] != "ok").all():
        row = back.iloc[0]
        measured += f"; backsolve has no time, {row['status']}: {row['reason']}"
    if last >= CUBIC:
        return confirmed(measured)
    return refuted(measured, f"m^{last:.2f} at the largest sizes measured")


def judge_split(frame: DataFrame, labels: tuple[str, ...]) -> Verdict:
    measured, over, missing = [], [], []
    for label in labels:
        try:
            last = powers(frame, "parameters", "parameters", label)[1]
        except NotMeasured as error:
            missing.append(str(error))
            continue
        measured.append(_in_words(frame, label))
        if last > LINEAR:
            over.append(f"{label} grows with m^{last:.2f}")
    if not measured:
        raise NotMeasured("; ".join(missing))
    said = "; ".join(measured + missing)
    return refuted(said, ", ".join(over)) if over else confirmed(said)


def judge_forward_chunks(frame: DataFrame) -> Verdict:
    whole = powers(frame, "chunk", "chunk", UNSTRUCTURED)
    staggered = powers(frame, "chunk", "chunk", "forward")
    measured = (
        f"all passes: unstructured l^{whole[0]:.2f} (last {whole[1]:.2f}), with the factorisation "
        f"reused l^{staggered[0]:.2f} (last {staggered[1]:.2f})"
    )
    if whole[1] < CUBIC - 1:
        return refuted(measured, "l^2 would be 2 for the unstructured system")
    if staggered[1] < whole[1] - 1:
        return differs(
            measured,
            "where the factorisation is reused chunks save memory, not time: every pass solves "
            "for the states again",
        )
    return confirmed(measured)


def judge_adjoint_chunks(frame: DataFrame) -> Verdict:
    last = powers(frame, "chunk", "chunk", "interpolating")[1]
    rows = rows_of(frame, "chunk", "interpolating")
    best = rows.loc[rows["seconds"].idxmin()]
    measured = (
        f"interpolating, all passes: fastest with l = {best['chunk']:g} of "
        f"{rows['chunk'].tolist()}, the last two l apart by l^{last:.2f}"
    )
    if last <= 0:
        return refuted(measured, "the largest chunk measured is the cheapest")
    best_by_count = STATES / 2
    if best["chunk"] > 4 * best_by_count:
        return differs(
            measured,
            f"the count of operations is least at l = k / 2 = {best_by_count:g}; a pass has a cost "
            "that does not depend on l, and fewer passes are better for longer",
        )
    return confirmed(measured)


def judge_memory(frame: DataFrame) -> Verdict:
    found = {}
    for label in LABELS:
        rows = rows_of(frame, "parameters", label)
        if len(rows) > 1:
            found[label] = rows.sort_values("parameters")
    if "forward" not in found or len(found) < 2:
        raise NotMeasured("forward and an adjoint are needed, at two sizes each")
    m = found["forward"]["parameters"].max()
    sizes = {
        label: float(rows[rows["parameters"] == m]["temporary_bytes"].iloc[0])
        for label, rows in found.items()
        if (rows["parameters"] == m).any()
    }
    adjoints = {label: size for label, size in sizes.items() if label in SPLIT}
    if not adjoints:
        raise NotMeasured(f"no adjoint at m = {m:g}")
    power = powers(frame, "parameters", "parameters", "forward", "temporary_bytes")[1]
    measured = f"MiB at m = {m:g}: " + ", ".join(
        f"{label} {size / 2**20:.2f}" for label, size in sizes.items()
    )
    measured += f"; forward's grows with m^{power:.2f} at last"
    if sizes["forward"] > max(adjoints.values()):
        return refuted(
            measured, "the tangents of many parameters take more than the record of the steps"
        )
    return confirmed(measured)


def crossings(frame: DataFrame) -> list[tuple[int, float]]:
    """(n + p, time of forward over that of the fastest adjoint) of the Brusselator, by size."""
    rows = rows_of(frame, "crossover")
    found = []
    for states, group in rows.groupby("states"):
        forward = group[group["label"].isin(FORWARD)]["seconds"].min()
        adjoint = group[~group["label"].isin(FORWARD)]["seconds"].min()
        if forward == forward and adjoint == adjoint:
            total = int(states) + int(group["parameters"].iloc[0])
            found.append((total, float(forward / adjoint)))
    return sorted(found)


def judge_rule(frame: DataFrame) -> Verdict:
    found = crossings(frame)
    if len(found) < 2:
        raise NotMeasured("the Brusselator has fewer than two sizes with both modes")
    measured = "forward over the fastest adjoint, Brusselator: " + ", ".join(
        f"{ratio:.2f} at n + p = {size}" for size, ratio in found
    )
    wrong = [(size, ratio) for size, ratio in found if (ratio > 1) != (size > RULE)]
    if not wrong:
        return confirmed(measured)
    size, ratio = max(wrong, key=lambda pair: max(pair[1], 1 / pair[1]))
    factor = max(ratio, 1 / ratio)
    return refuted(
        measured, f"at n + p = {size} the rule's choice takes {factor:.1f} × the other's"
    )


def judge_ma(frame: DataFrame) -> Verdict:
    found = crossings(frame)
    if len(found) < 2:
        raise NotMeasured("the Brusselator has fewer than two sizes with both modes")
    measured = ", ".join(f"{ratio:.2f} at {size}" for size, ratio in found)
    measured = f"forward over the fastest adjoint by n + p: {measured}"
    before = [size for size, ratio in found if ratio <= 1]
    after = [size for size, ratio in found if ratio > 1]
    if before and after and max(before) < 54 and min(after) <= 54:
        return confirmed(measured)
    if not before:
        return differs(measured, f"the adjoint is ahead from the smallest size on, {found[0][0]}")
    if not after:
        return refuted(measured, f"forward is ahead up to {found[-1][0]}")
    return differs(measured, f"here between {max(before)} and {min(after)}")


CLAIMS = (
    Claim(
        "forward",
        "Forward sensitivities with an implicit integrator cost O(k^3 m^3)",
        f"{PAPER}, III.B",
        "The factorisation of k (1 + m) equations as one system; with that of the states reused, "
        "k^3 + k^2 m",
        judge_forward,
    ),
    Claim(
        "adjoint",
        "An adjoint with the parameters inside costs O((k + m)^3)",
        f"{PAPER}, III.B",
        "3 where m is far above k; backsolve, O((2 k + m)^3), does not survive the problem",
        judge_inside,
    ),
    Claim(
        "quadrature",
        "With the parameter integral as a quadrature the adjoint costs O(k^3 + m)",
        f"{PAPER}, III.B",
        "Linear in m, for quadrature and for gauss",
        lambda frame: judge_split(frame, ("quadrature", "gauss")),
    ),
    Claim(
        "imex",
        "Implicit in the adjoint state and explicit in the parameters, it costs O(k^3 + m)",
        f"{PAPER}, eq. 11-12",
        "Linear in m",
        lambda frame: judge_split(frame, ("imex",)),
    ),
    Claim(
        "discrete",
        "The discrete adjoint costs O(k^3 + m)",
        "Sapienza et al. 2024, arXiv 2406.09699, table of methods",
        "Linear in m: one transposed solve a stage, one product with f_p",
        lambda frame: judge_split(frame, ("discrete",)),
    ),
    Claim(
        "chunked forward",
        "Forward in chunks of l parameters costs O(m k^3 l^2)",
        f"{PAPER}, III.B",
        "l^2 for the unstructured system; with the factorisation reused chunks gain no time",
        judge_forward_chunks,
    ),
    Claim(
        "chunked adjoint",
        "The adjoint in chunks of l parameters costs O((m / l) (k + l)^3)",
        f"{PAPER}, III.B",
        "Least at l = k / 2, growing with l^2 beyond",
        judge_adjoint_chunks,
    ),
    Claim(
        "memory",
        "Forward sensitivities need little memory, adjoints with a stored solution much",
        "SciMLSensitivity, table of methods",
        "k m numbers a stage for the tangents, against k numbers a step: it depends on m and steps",
        judge_memory,
    ),
    Claim(
        "the rule of 100",
        "Forward mode is the choice for n + p up to 100, an adjoint beyond",
        "SciMLSensitivity, automatic choice of sensealg",
        "SciML's own benchmark: forward over Gauss 0.6 at 24, 1.7 at 54, 4 at 96, 9 at 150",
        judge_rule,
    ),
    Claim(
        "crossover",
        "On the Brusselator the adjoint overtakes forward mode between n + p = 24 and 54",
        "Ma et al. 2021, HPEC, arXiv 1812.01892, scaling table",
        "Their figures: 1.5 ms against 2.4 ms at 24, 16.5 ms against 12.3 ms at 54",
        judge_ma,
    ),
)


def numbers(frame: DataFrame) -> dict[str, float]:
    """The exponent in m over the largest two sizes, by strategy."""
    found = {}
    for label in LABELS:
        try:
            last = powers(frame, "parameters", "parameters", label)[1]
        except NotMeasured:
            continue
        found[label.replace(", ", "-")] = last
    return found


def draw(frame: DataFrame) -> Figure:
    """Time and memory against m, k and the chunk; forward against adjoint."""
    from studies._scaling_figure import draw_scaling

    return draw_scaling(frame)


STUDY = Study(
    name="cost-scaling",
    title="What each strategy costs, by states and parameters",
    source=PAPER,
    claims=CLAIMS,
    run=run,
    draw=draw,
    numbers=numbers,
    requires=("jax",),
)
