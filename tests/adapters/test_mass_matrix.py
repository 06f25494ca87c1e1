"""Mass matrices: methods that take them give the certified gradient, the others say who does."""

import dataclasses

import numpy as np
import pytest

from adapters import Unsupported, available, load, methods
from adapters import _registry as registry
from problems import get_problem
from suite import metrics, references
from suite.cases import Case
from suite.measure import Effort, measure

DAE = get_problem("rober-dae")
ABLE = [name for name, method in methods().items() if method.mass_matrix]
UNABLE = [name for name, method in methods().items() if not method.mass_matrix]


@pytest.mark.parametrize("name", UNABLE)
def test_a_method_that_takes_none_names_those_that_do(name):
    method = methods()[name]
    if not available(method)[0]:
        pytest.skip("not installed")
    with pytest.raises(Unsupported, match="has a mass matrix") as refused:
        load(DAE, method)
    assert all(able in str(refused.value) for able in ABLE)


def test_the_names_of_the_able_are_given(monkeypatch):
    able = {
        k: dataclasses.replace(m, mass_matrix=k == "scipy/bdf/forward")
        for k, m in methods().items()
    }
    monkeypatch.setattr(registry, "methods", lambda: able)
    with pytest.raises(Unsupported, match=r"methods that do: scipy/bdf/forward$"):
        load(DAE, able["scipy/radau/forward"])


def test_the_status_of_such_a_case_is_unsupported():
    found = {}
    case = Case("rober-dae", "scipy/radau/forward", 1e-4, 1e-9)
    measure(case, Effort(0.1, 0.1), {}, found.update)
    assert found["status"] == "unsupported"
    assert "mass matrix" in found["reason"]
    assert "gradient_p" not in found


@pytest.mark.parametrize("name", ABLE)
def test_the_gradient_is_the_certified_one(name):
    method = methods()[name]
    if not available(method)[0]:
        pytest.skip("not installed")
    reference, rtol = references.load(DAE), 1e-5
    found = load(DAE, method).gradient(DAE.y0, DAE.p, rtol, DAE.default_atol(rtol))()
    error = metrics.gradient_error(
        DAE,
        found.p,
        found.y0,
        reference.gradient_p,
        reference.gradient_y0,
        reference.digits_p,
        reference.digits_y0,
    )
    assert error.total < 100 * rtol


def test_differences_start_where_the_equations_hold():
    """The check by differences perturbs y1, y2 and y3 alike; what it solves must be consistent."""
    seen = []

    def loss(y0, p):
        seen.append(DAE.f(0.0, y0, p)[2])
        return float(y0 @ [3.0, 1e4, -2.0])

    found = metrics.finite_differences(DAE, loss, 1e-4)
    assert len(seen) > 5 and np.max(np.abs(seen)) < 1e-15
    slaved = np.array([3.0 + 2.0, 1e4 + 2.0, 0.0]) * DAE.y_scale
    assert found.slopes[1] == pytest.approx(slaved @ metrics.directions(DAE)[1], rel=1e-9)
