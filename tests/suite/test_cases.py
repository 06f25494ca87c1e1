"""Which cases a request makes, and their order."""

import pytest

from adapters import methods
from problems import UnknownNameError
from suite.cases import TIERS, get_tier, make_cases, select_methods, select_problems


def test_every_combination_once_methods_interleaved_loosest_first():
    chosen = select_methods(["scipy/*"])
    cases = make_cases(["rober", "linear:1"], chosen, [1e-6, 1e-4])
    assert len({case.key for case in cases}) == len(cases) == 4 * len(chosen)
    names = [case.method for case in cases]
    assert names != sorted(names) and names != [m.name for m in chosen for _ in range(4)]
    seen: dict = {}
    for case in cases:
        assert seen.get((case.problem, case.method), 1.0) > case.rtol
        seen[case.problem, case.method] = case.rtol
    assert cases == make_cases(["rober", "linear:1"], chosen, [1e-4, 1e-6])


def test_absolute_tolerance_is_the_problems_own_unless_given():
    (own,) = make_cases(["rober"], select_methods(["scipy/bdf/forward"]), [1e-6])
    (given,) = make_cases(["rober"], select_methods(["scipy/bdf/forward"]), [1e-6], 1e-8)
    assert (own.atol, given.atol) == (pytest.approx(1e-11), 1e-8)


def test_unknown_names_answer_with_the_nearest():
    with pytest.raises(UnknownNameError, match="rober"):
        select_problems(["robber"], ["rober"])
    with pytest.raises(UnknownNameError, match="scipy/bdf/forward"):
        select_methods(["scipy/bdf/foward"])
    with pytest.raises(UnknownNameError, match="quick"):
        get_tier("quik")
    with pytest.raises(UnknownNameError):
        select_problems(["zzz*"], ["rober"])


def test_patterns_choose_among_the_default_and_the_base_names():
    assert select_problems(["linear:*"], ["linear:1", "linear:1e2", "rober"]) == [
        "linear:1",
        "linear:1e2",
    ]
    assert len(select_methods(["*/backsolve*", "*/backsolve*"])) == sum(
        method.strategy == "backsolve" for method in methods().values()
    )


def test_hanging_is_expected_of_backsolve_and_explicit_methods_only():
    cases = make_cases(["linear:1"], select_methods([]), [1e-4])
    for case in cases:
        method = methods()[case.method]
        assert case.risky == (method.strategy == "backsolve" or not method.implicit)


def test_tiers_name_existing_problems():
    for tier in TIERS.values():
        assert select_problems([], tier.problems)
