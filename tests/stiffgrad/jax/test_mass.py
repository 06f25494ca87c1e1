"""Mass matrices: M y' = f solves what M^-1 f does, and singular ones solve DAEs of index 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stiffgrad.jax import ArgumentError, SolveError, Status, gradient_error, solve
from stiffgrad.jax._integrators import INTEGRATORS
from stiffgrad.jax._start import null_spaces
from tests.stiffgrad.jax import cases, methods

FULL = np.array([[2.0, 0.5], [-0.3, 1.5]])
SINGULAR = np.diag([1.0, 0.0])
ROBER_MASS = np.diag([1.0, 1.0, 0.0])
# With an explicit stage, for which M^-1 would be needed.
EXPLICIT = {
    *("kvaerno5", "tr-bdf2", "trapezoid", "tsit5", "heun", "midpoint", "ralston", "euler"),
    *("leapfrog", "ab2", "auto-tsit5-rosenbrock23"),
}
CAPABLE = [name for name in INTEGRATORS if name not in EXPLICIT]
# Made for error-controlled steps on stiff problems.
STIFF = [n for n in ("rodas5p", "rodas4", "rosenbrock23", "sdirk2", "radau5") if n in INTEGRATORS]
# One of each kind of step.
FAMILIES = [n for n in ("rodas5p", "sdirk2", "implicit-midpoint", "radau5", "bdf2") if n in CAPABLE]
ONE_STEP = [n for n in FAMILIES if n != "bdf2"]
Y0, P = jnp.array([2.0, 0.1]), jnp.array([3.0])
TIMES = jnp.array([0.0, 0.3, 1.0])


def divided(t, y, p):
    """The equation that M = FULL makes of `driven`."""
    return np.linalg.inv(FULL) @ methods.driven(t, y, p)


def rober_dae(t, y, k):
    rates = cases.rober(t, y, k)
    return jnp.stack([rates[0], rates[1], jnp.sum(y) - 1])


def slaved(gradient):
    """dL/dy0 where y3 follows from y1 and y2."""
    return np.array([gradient[0] - gradient[2], gradient[1] - gradient[2], 0.0])


def value_and_grads(rhs, mass, **options):
    def loss(y0, p):
        ys = solve(rhs, y0, TIMES, p, mass=mass, rtol=1e-6, atol=1e-8, **options).ys
        total = jnp.sum(jnp.sin(ys) * jnp.array([1.0, -0.7]))
        return total, total

    derive = jax.jacrev if options.get("adjoint", "discrete") == "discrete" else jax.jacfwd
    both = jax.jit(derive(loss, argnums=(0, 1), has_aux=True))
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(both(Y0, P))])


@pytest.mark.parametrize(
    ("integrator", "engine", "adjoint"),
    [
        *((name, "scalar", "discrete") for name in FAMILIES),
        ("rodas5p", "array", "forward-discrete"),
    ],
)
def test_a_full_mass_matrix_is_its_inverse_applied(integrator, engine, adjoint):
    """Linearly implicit steps are the same steps: equal to rounding."""
    options = {"integrator": integrator, "engine": engine, "adjoint": adjoint, "steps": 8}
    found = value_and_grads(methods.driven, FULL, **options)
    expected = value_and_grads(divided, None, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("adjoint", ["discrete", "forward"])
def test_adaptive_steps_with_a_full_mass_matrix(adjoint):
    found = value_and_grads(methods.driven, FULL, adjoint=adjoint)
    expected = value_and_grads(divided, None, adjoint="discrete")
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def rober_loss(rhs, mass, y0, k, rtol, **options):
    ys = solve(rhs, y0, cases.ROBER_TIMES, k, mass=mass, rtol=rtol, atol=1e-4 * rtol, **options).ys
    return jnp.sum(ys[1:, 0])


@pytest.mark.parametrize(
    ("integrator", "engine", "adjoint"),
    [
        *((name, "scalar", "discrete") for name in STIFF),
        ("rodas5p", "array", "discrete"),
        ("rodas5p", "scalar", "forward-discrete"),
        *((name, "scalar", "forward") for name in ("rodas5p", "radau5")),
        *(("rodas5p", "scalar", adjoint) for adjoint in ("gauss", "imex")),
    ],
)
def test_rober_as_a_dae_has_robers_gradient(integrator, engine, adjoint):
    rtol = 1e-4 if integrator in ("rosenbrock23", "sdirk2") else 1e-6
    bound = 2e-3 if rtol == 1e-4 else 5e-6

    def loss(y0, k):
        return rober_loss(
            rober_dae,
            ROBER_MASS,
            y0,
            k,
            rtol,
            integrator=integrator,
            engine=engine,
            adjoint=adjoint,
        )

    value, (dy0, dk) = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(
        cases.ROBER_Y0, cases.ROBER_K
    )
    assert value == pytest.approx(cases.ROBER_LOSS, rel=bound)
    np.testing.assert_allclose(dk, cases.ROBER_DK, rtol=5 * bound)
    expected = slaved(cases.ROBER_DY0)
    np.testing.assert_allclose(dy0[::2], expected[::2], rtol=5 * bound, atol=1e-5)
    # y2's is a difference of nearly equal ones
    assert dy0[1] == pytest.approx(expected[1], rel=0.02)


def test_gradient_errors_of_the_dae_fall_with_the_tolerance():
    gradient = jax.jit(
        jax.grad(lambda k, rtol: rober_loss(rober_dae, ROBER_MASS, cases.ROBER_Y0, k, rtol))
    )
    errors = [
        np.linalg.norm(gradient(cases.ROBER_K, rtol) / cases.ROBER_DK - 1)
        for rtol in (1e-3, 1e-5, 1e-7)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


@pytest.mark.parametrize(
    ("name", "engine", "mass"),
    [
        *((name, "scalar", SINGULAR) for name in ONE_STEP),
        ("rodas5p", "scalar", FULL),
        ("rodas5p", "array", SINGULAR),
    ],
)
def test_a_steps_derivatives_are_those_of_the_step(name, engine, mass):
    states = [(methods.Y, len(methods.Y))]
    methods.check_derivatives(methods.make(name, engine=engine, mass=mass), states)


@pytest.mark.parametrize("observe", ["step", "dense"])
def test_observations_of_a_dae(observe):
    ys = solve(
        rober_dae,
        cases.ROBER_Y0,
        cases.ROBER_TIMES,
        cases.ROBER_K,
        mass=ROBER_MASS,
        rtol=1e-6,
        atol=1e-10,
        observe=observe,
    ).ys
    expected = solve(
        cases.rober, cases.ROBER_Y0, cases.ROBER_TIMES, cases.ROBER_K, rtol=1e-8, atol=1e-12
    ).ys
    np.testing.assert_allclose(ys, expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(ys.sum(axis=1), 1, rtol=1e-12 if observe == "step" else 1e-8)


def test_lanes_are_single_solves():
    rates = cases.ROBER_K * np.array([[1.0, 1.0, 1.0], [1.3, 0.8, 1.1], [0.7, 1.2, 0.9]])
    gradient = jax.grad(
        lambda k: rober_loss(rober_dae, ROBER_MASS, cases.ROBER_Y0, k, 1e-5, max_steps=512)
    )
    mapped = jax.jit(jax.vmap(gradient))(rates)
    alone = jax.jit(gradient)
    np.testing.assert_allclose(mapped, [alone(k) for k in rates], rtol=1e-10)


def test_checkpoints_and_error_estimates_take_mass_matrices():
    def gradient(**options):
        def loss(k):
            options_ = {"max_steps": 512, **options}
            return rober_loss(rober_dae, ROBER_MASS, cases.ROBER_Y0, k, 1e-5, **options_)

        return jax.jit(jax.grad(loss))(cases.ROBER_K)

    whole = gradient()
    np.testing.assert_allclose(gradient(memory_limit=8000), whole, rtol=1e-10)
    found = gradient_error(
        lambda ys: jnp.sum(ys[1:, 0]),
        rober_dae,
        cases.ROBER_Y0,
        cases.ROBER_TIMES,
        cases.ROBER_K,
        mass=ROBER_MASS,
        rtol=1e-4,
        atol=1e-8,
        max_steps=512,
    )
    true = (found.gradient[1] - cases.ROBER_DK) / cases.ROBER_DK
    said = found.error[1] / cases.ROBER_DK
    assert 0.3 < np.linalg.norm(said) / np.linalg.norm(true) < 3


def test_a_linear_dae_against_its_closed_form():
    """u' = -a u + z,  0 = z - b u: u = exp((b - a) t), z = b u."""

    def rhs(t, y, p):
        return jnp.stack([-p[0] * y[0] + y[1], y[1] - p[1] * y[0]])

    def final(p):
        y0 = jnp.stack([1.0, p[1]])
        ys = solve(rhs, y0, jnp.array([0.0, 1.5]), p, mass=SINGULAR, rtol=1e-9, atol=1e-11).ys
        return ys[-1]

    p = jnp.array([2.0, 0.6])
    u = np.exp((p[1] - p[0]) * 1.5)
    np.testing.assert_allclose(final(p), [u, 0.6 * u], rtol=1e-8)
    jacobian = [[-1.5 * u, 1.5 * u], [-0.9 * u, (1 + 0.9) * u]]
    np.testing.assert_allclose(jax.jacrev(final)(p), jacobian, rtol=1e-7)


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_an_inconsistent_start_is_refused(engine):
    def end(y0, **options):
        solution = solve(
            rober_dae,
            y0,
            cases.ROBER_TIMES[:9],
            cases.ROBER_K,
            mass=ROBER_MASS,
            engine=engine,
            **options,
        )
        return solution.ys[-1, 0], solution.status

    wrong = jnp.array([1.0, 0.0, 0.5])
    with pytest.raises(SolveError, match=r"Equation 2,.*residual 0\.5") as caught:
        end(wrong)
    assert caught.value.status == Status.INCONSISTENT
    # lanes side by side: one may start, the other not
    both = jnp.stack([wrong, jnp.asarray(cases.ROBER_Y0)])
    gradients, status = jax.jit(jax.vmap(jax.grad(end, has_aux=True)))(both)
    assert status.tolist() == [Status.INCONSISTENT, Status.SUCCESS]
    assert np.isnan(gradients[0]).all() and np.isfinite(gradients[1]).all()


def test_fixed_steps_do_not_start_inconsistently_either():
    run = jax.jit(
        lambda y0: solve(
            rober_dae, y0, cases.ROBER_TIMES[:9], cases.ROBER_K, mass=ROBER_MASS, steps=2
        )
    )
    solution = run(jnp.array([1.0, 0.0, 0.5]))
    assert solution.status == Status.INCONSISTENT
    assert np.isnan(solution.ys[1:]).all()


def test_what_the_tolerances_forgive_is_no_inconsistency():
    def status(off):
        y0 = jnp.array([1.0, 0.0, off])
        run = jax.jit(
            lambda y0: solve(
                rober_dae, y0, jnp.array([0.0, 1.0]), cases.ROBER_K, mass=ROBER_MASS, rtol=1e-5
            )
        )
        return run(y0).status

    assert status(1e-5) == Status.SUCCESS
    assert status(1e-3) == Status.INCONSISTENT


def test_the_end_of_a_solve_is_a_start():
    first, then = cases.ROBER_TIMES[:30], cases.ROBER_TIMES[29:]
    options = {"mass": ROBER_MASS, "rtol": 1e-5, "atol": 1e-9}
    middle = solve(rober_dae, cases.ROBER_Y0, first, cases.ROBER_K, **options).ys[-1]
    end = solve(rober_dae, middle, then, cases.ROBER_K, **options).ys[-1]
    whole = solve(cases.rober, cases.ROBER_Y0, cases.ROBER_TIMES, cases.ROBER_K, rtol=1e-7).ys[-1]
    np.testing.assert_allclose(end, whole, rtol=1e-3)


@pytest.mark.parametrize("engine", ["scalar", "array"])
def test_a_higher_index_is_refused(engine):
    """u' = z, 0 = u - sin t: z has to be found by differentiating the constraint."""

    def rhs(t, y, p):
        return jnp.stack([y[1], y[0] - jnp.sin(t)])

    with pytest.raises(SolveError, match="index is above 1") as caught:
        solve(rhs, jnp.array([0.0, 1.0]), TIMES, None, mass=SINGULAR, engine=engine)
    assert caught.value.status == Status.HIGHER_INDEX


def test_equations_in_other_units_are_judged_alike():
    """A small mass is no singular one, and a small constraint no satisfied one."""
    small = methods.make("rodas5p", mass=np.diag([1.0, 1e-18]))
    assert null_spaces(small.system)[0].shape == (0, 2)

    def rhs(t, y, k):
        return rober_dae(t, y, k) * jnp.array([1.0, 1.0, 1e-9])

    with pytest.raises(SolveError, match="Equation 2"):
        solve(rhs, jnp.array([1.0, 0.0, 0.5]), TIMES, cases.ROBER_K, mass=ROBER_MASS)


def test_equations_in_an_order_that_needs_pivots_go_to_an_engine_that_pivots():
    """u' = z / 2 - u and v' = w - 2 v with 0 = z - u in the place of w's equation."""

    def rhs(t, y, p):
        u, v, w, z = y
        return jnp.stack([0.5 * z - u, w - 2 * v, z - u, w - v])

    def run(**options):
        return solve(rhs, jnp.ones(4), jnp.array([0.0, 1.0]), None, mass=mass, **options)

    mass = np.diag([1.0, 1.0, 0.0, 0.0])
    solution = run()
    u, v = np.exp([-0.5, -1.0])
    np.testing.assert_allclose(solution.ys[-1], [u, v, v, u], rtol=1e-6)
    assert solution.stats.engine != "scalar" and "pivot" in solution.stats.engine_reason
    with pytest.raises(ArgumentError, match="pivot"):
        run(engine="scalar")


@pytest.mark.parametrize(
    ("mass", "message"),
    [
        (np.eye(3), "shape"),
        (np.ones(2), "shape"),
        (np.diag([1.0, np.nan]), "finite"),
        ([[1.0, 0.0], [1.0]], "real numbers"),
        ("identity", "real numbers"),
    ],
)
def test_unusable_mass_matrices_are_named(mass, message):
    with pytest.raises(ArgumentError, match=message):
        solve(methods.driven, Y0, TIMES, P, mass=mass)


def test_a_traced_mass_matrix_is_refused():
    def final(mass):
        return solve(methods.driven, Y0, TIMES, P, mass=mass).ys[-1, 0]

    for derive in (jax.jit(final), jax.grad(final)):
        with pytest.raises(ArgumentError, match="traced"):
            derive(jnp.asarray(FULL))
    with pytest.raises(ArgumentError, match="traced"):
        jax.jit(lambda x: solve(methods.driven, Y0, TIMES, P, mass=[[x, 0.0], [0.0, x]]).ys)(2.0)


@pytest.mark.parametrize("integrator", [n for n in INTEGRATORS if n in EXPLICIT])
def test_integrators_that_cannot_say_which_can(integrator):
    with pytest.raises(ArgumentError, match="rodas5p"):
        solve(methods.driven, Y0, TIMES, P, mass=FULL, integrator=integrator, steps=4)


def test_gradients_by_the_times_are_refused():
    def final(t):
        return solve(methods.driven, Y0, t, P, mass=FULL).ys[-1, 0]

    with pytest.raises(ArgumentError, match="hold t fixed"):
        jax.grad(final)(TIMES)


def test_two_mass_matrices_do_not_share_a_compilation():
    ends = [solve(methods.driven, Y0, TIMES, P, mass=m).ys[-1] for m in (FULL, 2 * FULL, None)]
    assert not np.allclose(ends[0], ends[1]) and not np.allclose(ends[0], ends[2])
