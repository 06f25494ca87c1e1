"""Properties of problem names: composition, canonical order, helpful refusals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems import ProblemError, UnknownNameError, get_problem, problem_names, variant_help

# `fit` is left out: its data take a solve.
TOKENS = (
    *("t1=10", "stiffness=3", "observations=7", "final", "scaled", "logp"),
    *("t1=20.5", "stiffness=1e2", "observations=12"),
)
BASES = ("rober", "pollu", "linear:7", "relaxation:30", "relaxation:30:off")


def keys(tokens):
    return [token.partition("=")[0] for token in tokens]


compositions = st.lists(st.sampled_from(TOKENS), unique_by=lambda token: token.partition("=")[0])
allowed = compositions.filter(lambda tokens: not {"final", "observations"} <= set(keys(tokens)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BASES), allowed, st.randoms())
def test_order_does_not_matter(base, tokens, random):
    shuffled = random.sample(tokens, len(tokens))
    one, other = (get_problem(":".join([base, *order])) for order in (tokens, shuffled))
    assert one.name == other.name
    assert one.p.tolist() == other.p.tolist()
    assert one.times.tolist() == other.times.tolist()
    assert one.reference == other.reference


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BASES), allowed)
def test_canonical_name_is_a_fixed_point_and_holds_every_token(base, tokens):
    problem = get_problem(":".join([base, *tokens]))
    assert get_problem(problem.name).name == problem.name
    assert sorted(problem.name.split(":")) == sorted([*base.split(":"), *tokens])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(BASES), allowed)
def test_reference_is_the_name_without_changes_of_variables(base, tokens):
    problem = get_problem(":".join([base, *tokens]))
    kept = [token for token in tokens if token not in ("scaled", "logp")]
    reference = get_problem(problem.reference)
    assert reference.name == get_problem(":".join([base, *kept])).name
    assert reference.reference == reference.name


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(BASES), st.permutations(["final", "observations=4", "logp"]), st.booleans())
def test_exclusive_variants_are_refused_in_any_order(base, tokens, with_logp):
    chosen = [token for token in tokens if with_logp or token != "logp"]
    with pytest.raises(ProblemError, match="exclude each other"):
        get_problem(":".join([base, *chosen]))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(BASES), st.sampled_from(TOKENS))
def test_repeated_variants_are_refused(base, token):
    with pytest.raises(ProblemError, match="given twice"):
        get_problem(f"{base}:{token}:{token}")


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=12))
def test_unknown_problems_are_answered_with_known_ones(text):
    if text in problem_names():
        return
    with pytest.raises(UnknownNameError) as refused:
        get_problem(text)
    assert text in str(refused.value)
    assert any(name in str(refused.value) for name in problem_names())


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1, max_size=12))
def test_unknown_variants_are_answered_with_known_ones(text):
    known = variant_help("rober")
    if text in known:
        return
    with pytest.raises(UnknownNameError) as refused:
        get_problem(f"rober:{text}")
    assert any(token in str(refused.value) for token in known)


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        *(("robber", "rober"), ("polu", "pollu"), ("lineal", "linear")),
        *(("rober:scale", "scaled"), ("rober:stifness=2", "stiffness"), ("rober:fnal", "final")),
        *(("relaxation:1e3:of", "off"), ("pollu:log", "logp")),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(asked, near):
    with pytest.raises(UnknownNameError, match=near):
        get_problem(asked)


def test_options_belong_to_their_own_problem():
    assert "off" in variant_help("relaxation")
    assert "off" not in variant_help("rober")
    assert "ARGUMENT" not in variant_help("rober")
