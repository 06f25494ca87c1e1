"""The stiffness of problems whose spectrum is known."""

from dataclasses import replace

import numpy as np
import pytest

from problems import LinearLoss, get_problem, spectrum


def test_linear_has_its_own_rate_everywhere():
    found = spectrum(get_problem("linear:1e3"))
    for values in (found.fastest, found.slowest):
        np.testing.assert_allclose(values, np.full(14, -1e3), rtol=1e-14)
    np.testing.assert_allclose(found.index, np.ones(14), rtol=1e-14)
    assert not found.growing.any()
    assert not found.conserved.any()


def test_rober():
    """At t0 the Jacobian has the eigenvalues -k1, 0, 0; later one zero, for the conserved mass."""
    problem = get_problem("rober")
    found = spectrum(problem)
    np.testing.assert_array_equal(found.times[1:], problem.times)
    np.testing.assert_array_equal(found.conserved, [2] + [1] * 50)
    assert found.fastest[0] == pytest.approx(-0.04)
    # the trace is the sum of the two eigenvalues that are not zero
    y = np.array([0.0178659211, 7.27475147e-8, 0.982134006])
    trace = np.trace(problem.jacobian(problem.t1, y, problem.p))
    assert found.fastest[-1] + found.slowest[-1] == pytest.approx(trace, rel=1e-4)
    assert found.index[-1] == pytest.approx(5.43e13, rel=1e-2)
    assert found.index[0] == pytest.approx(1e5)


def test_pollu():
    """Its two fastest modes are -(k18 + k19) and -k15; nothing depends on four of its products."""
    problem = get_problem("pollu")
    found = spectrum(problem)
    np.testing.assert_allclose(found.fastest, -(problem.p[17] + problem.p[18]), rtol=1e-3)
    np.testing.assert_array_equal(found.conserved[1:], 4)
    assert np.all(np.abs(found.slowest) < 1e-3)
    assert found.frequency[0] == pytest.approx(0.131, rel=0.01)


def test_stiffer_and_scaled_variants_follow():
    base, scaled = (spectrum(get_problem(name)) for name in ("rober", "rober:scaled"))
    np.testing.assert_allclose(scaled.fastest, base.fastest * base.span, rtol=1e-4)
    # eq. 5 carries the unit of time
    np.testing.assert_allclose(scaled.index * base.span, base.index, rtol=1e-3)
    faster = spectrum(get_problem("pollu:stiffness=10"))
    assert faster.fastest[-1] == pytest.approx(10 * spectrum(get_problem("pollu")).fastest[-1])


def test_growth_and_rotation_are_seen():
    """The spiral y' = (a -b; b a) y has the eigenvalues a ± ib."""

    def rhs(t, y, p, xp):
        return xp.stack([p[0] * y[0] - p[1] * y[1], p[1] * y[0] + p[0] * y[1]])

    problem = replace(
        get_problem("linear:1"),
        states=("u", "v"),
        parameters=("a", "b"),
        rhs=rhs,
        y0=np.array([1.0, 0.0]),
        p=np.array([0.5, 3.0]),
        y_scale=np.ones(2),
        p_scale=np.ones(2),
        loss=LinearLoss((1.0, 1.0)),
        exact=None,
    )
    found = spectrum(problem)
    np.testing.assert_allclose(found.growing, 0.5)
    np.testing.assert_allclose(found.frequency, 3.0)
