"""Names to problems: every file of this folder that has a `make` is a problem.

A problem is called as its file, with hyphens for underscores.
"""

import inspect
import pkgutil
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from types import ModuleType

import problems
from problems._names import nearest
from problems._problem import Problem, ProblemError
from problems._variants import CHAIN_RULE, EXCLUSIVE, VARIANTS


def problem_names() -> list[str]:
    """Base names of all problems, sorted."""
    found = (module.name for module in pkgutil.iter_modules(problems.__path__))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def variant_help(name: str) -> dict[str, str]:
    """What may follow the base name `name` and a colon: token to explanation.

    Raises UnknownNameError for an unknown problem.
    """
    module = _module(name)
    known = {"ARGUMENT": module.ARGUMENT} if hasattr(module, "ARGUMENT") else {}
    known |= getattr(module, "OPTIONS", {})
    return known | {token: variant.help for token, variant in VARIANTS.items()}


@lru_cache(maxsize=256)
def get_problem(name: str) -> Problem:
    """The problem called `name`: a base name, perhaps an argument, and variants, colon-separated.

    `rober`, `rober:scaled:logp`, `linear:1e4`, `relaxation:1e6:off`, `pollu:observations=5:final`.
    The result's own name is canonical: the argument in one form, variants in their fixed order.

    Raises UnknownNameError (with the nearest known names) for an unknown problem or variant, and
    ProblemError for a value that a variant cannot take or variants that exclude each other.
    """
    base, *tokens = name.split(":")
    module = _module(base)
    arguments, options, chosen = _sort_tokens(name, base, module, tokens)
    stem = ":".join([base, *arguments.values(), *options])
    return _apply(module.make(stem, **arguments, **options), chosen)


def member(problem: Problem, number: int) -> Problem:
    """The member of a batch called `problem` that has this number, as a problem of its own."""
    own = [f"member={number}"] if number else []
    tokens = problem.name.split(":")
    place = tokens.index(f"batch={problem.batch}")
    return get_problem(":".join([*tokens[:place], *own, *tokens[place + 1 :]]))


def _module(base: str) -> ModuleType:
    if base not in problem_names():
        raise nearest("problem", base, problem_names())
    file = base.replace("-", "_")
    module = import_module(f"problems.{file}")
    missing = _missing(module)
    if missing:
        raise ProblemError(f"problems/{file}.py is no problem file: {missing}")
    return module


def _missing(module: ModuleType) -> str:
    """What keeps a file from being a problem, in words; empty when it can be used."""
    if not hasattr(module, "make"):
        return "it has no function make(name) that returns a Problem"
    accepted = inspect.signature(module.make).parameters
    wanted = ["name", *(["argument"] if hasattr(module, "ARGUMENT") else [])]
    wanted += getattr(module, "OPTIONS", {})
    lacking = [word for word in wanted if word not in accepted]
    if hasattr(module, "ARGUMENT") and not hasattr(module, "canonical_argument"):
        return "it has an ARGUMENT but no function canonical_argument(text or None) -> str"
    return f"its make does not take {', '.join(lacking)}" if lacking else ""


def _sort_tokens(
    name: str, base: str, module: ModuleType, tokens: list[str]
) -> tuple[dict[str, str], dict[str, bool], dict[str, str | None]]:
    arguments: dict[str, str] = {}
    options: dict[str, bool] = {}
    chosen: dict[str, str | None] = {}
    for position, token in enumerate(tokens):
        key, equals, value = token.partition("=")
        if key in chosen or key in options:
            raise ProblemError(f"{name}: variant {key} is given twice")
        if key in VARIANTS:
            chosen[key] = value if equals else None
        elif token in getattr(module, "OPTIONS", {}):
            options[token] = True
        elif position == 0 and hasattr(module, "ARGUMENT") and not equals:
            arguments["argument"] = token
        else:
            raise nearest(f"variant of {base}", token, variant_help(base))
    if hasattr(module, "ARGUMENT"):
        arguments["argument"] = module.canonical_argument(arguments.get("argument"))
    for pair in EXCLUSIVE:
        if all(key in chosen for key in pair):
            raise ProblemError(f"{name}: {' and '.join(pair)} exclude each other; give one")
    return arguments, options, chosen


def _apply(problem: Problem, chosen: dict[str, str | None]) -> Problem:
    for key, variant in VARIANTS.items():
        if key not in chosen:
            continue
        value = chosen[key]
        token = key if value is None else f"{key}={value}"
        name, reference = f"{problem.name}:{token}", problem.reference
        if key not in CHAIN_RULE:
            reference += f":{token}"
        problem = replace(variant.apply(problem, value), name=name, reference=reference)
    return problem
