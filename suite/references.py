"""Certified reference gradients: computed, kept as JSON, loaded for any variant, compared anew.

A reference carries the digits on which independent methods agree, for every component: some
gradients are tiny by cancellation, and nobody has all their digits. Trust a component as far as
its own digits go, and no further.
"""

import json
import os
import tempfile
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from problems import Problem, get_problem
from suite import _certify
from suite._scaled import Answer
from suite._scaled import CertificationError as CertificationError
from suite.machine import RESULTS

Array = NDArray[np.float64]

# STIFFGRAD_REFERENCES names another folder, for problems that live outside the repository.
FOLDER = Path(os.environ.get("STIFFGRAD_REFERENCES") or RESULTS / "references")
# A fresh computation may differ from a stored one by this many times what was certified: rounding
# differs between machines.
SLACK = 10.0
# Differences between a problem and the one a file was made for that are rounding alone.
SAME = 1e-12


class ReferenceFault(RuntimeError):
    """No usable reference; the message says what to do."""


class MissingReference(ReferenceFault):
    """There is no file for this problem."""


class CorruptReference(ReferenceFault):
    """The file does not hold a whole and consistent reference."""


class StaleReference(ReferenceFault):
    """The file was made for another definition of the problem."""


@dataclass(frozen=True)
class Reference:
    """The certified loss and gradient of a problem.

    `problem`: the name it was computed for (chain-rule variants share one); `gradient_p`, shape
    (m,), and `gradient_y0`, shape (n,), in the units of the problem it was loaded for; `digits_*`:
    decimal digits on which all methods agree, at most 15; `methods`: what each gave, in the units
    of `problem`; `definition`: the numbers that the problem had; `versions`, `date`: provenance.
    """

    problem: str
    loss: float
    gradient_p: Array
    gradient_y0: Array
    digits_loss: float
    digits_p: Array
    digits_y0: Array
    methods: tuple[Answer, ...]
    definition: dict[str, Any]
    versions: dict[str, str]
    date: str


@dataclass(frozen=True)
class Component:
    """One number of a reference, stored and computed anew; `difference` is relative."""

    name: str
    stored: float
    computed: float
    digits: float
    difference: float

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than SLACK times what is certified."""
        return self.difference <= SLACK * 10**-self.digits


@dataclass(frozen=True)
class Comparison:
    """A stored reference against the same computed anew."""

    stored: Reference
    computed: Reference
    components: tuple[Component, ...]

    @property
    def agrees(self) -> bool:
        """Whether every component agrees."""
        return all(component.agrees for component in self.components)


def path(problem: Problem, folder: Path = FOLDER) -> Path:
    """Where the reference of a problem lies, or would lie."""
    return folder / f"{problem.reference.replace(':', '_')}.json"


def certify(problem: Problem) -> Reference:
    """Compute loss and gradient of exactly this problem by independent methods.

    ROBER takes seconds, POLLU half a minute. Raises CertificationError where a method fails or the
    methods disagree, and for a problem with a mass matrix, which the methods do not treat.
    """
    if problem.mass is not None:
        raise CertificationError(
            f"{problem.name} has a mass matrix: its gradient cannot be certified directly, and has "
            "to follow from a problem without one, named in `reference`"
        )
    found = _certify.answers(problem)
    _certify.check(problem, found)
    versions = {name: metadata.version(name) for name in ("numpy", "scipy")}
    return _assemble(
        problem.name,
        found,
        _definition(problem),
        {"python": python_version()} | versions,
        datetime.now(UTC).date().isoformat(),
    )


def load(problem: Problem, folder: Path = FOLDER) -> Reference:
    """The stored reference of a problem, by the chain rule where it is a variant that has one.

    Raises MissingReference, CorruptReference or StaleReference.
    """
    stored = _read(_base(problem), folder)
    by_y0 = [problem.y0_from_reference(answer.gradient_y0) for answer in stored.methods]
    # differences of components cancel, so that their digits have to be counted anew
    mixed = problem.reference_y0.ndim == 2
    return replace(
        stored,
        gradient_p=stored.gradient_p * problem.reference_p,
        gradient_y0=by_y0[0],
        digits_y0=_certify.digits(*by_y0) if mixed else stored.digits_y0,
    )


def ensure(problem: Problem, folder: Path = FOLDER) -> Reference:
    """`load`, certifying and storing first where there is no file yet.

    Safe in several processes at once: one certifies, the others wait.
    """
    try:
        return load(problem, folder)
    except MissingReference:
        folder.mkdir(parents=True, exist_ok=True)
    target = path(problem, folder)
    with FileLock(target.with_suffix(".lock")):
        if not target.exists():
            _write(certify(_base(problem)), target)
    return load(problem, folder)


def regenerate(problem: Problem, folder: Path = FOLDER) -> Comparison:
    """Certify anew and compare with the stored file, component by component; stores nothing.

    Raises as `load` and `certify` do.
    """
    base = _base(problem)
    stored, computed = _read(base, folder), certify(base)
    names = ["loss", *(f"dL/d {name}" for name in base.parameters)]
    names += [f"dL/d {name}(t0)" for name in base.states]
    rows = zip(names, _flat(stored), _flat(computed), _digits(stored, computed), strict=True)
    return Comparison(stored, computed, tuple(_component(*row) for row in rows))


def _base(problem: Problem) -> Problem:
    return problem if problem.reference == problem.name else get_problem(problem.reference)


def _component(name: str, stored: float, computed: float, digits: float) -> Component:
    gap = abs(computed - stored)
    difference = 0.0 if gap == 0 else gap / abs(stored) if stored != 0 else float("inf")
    # nothing is certified where the methods share no digit, so nothing can disagree
    return Component(name, stored, computed, digits, difference if digits > 0 else 0.0)


def _flat(reference: Reference) -> list[float]:
    gradient = np.concatenate([reference.gradient_p, reference.gradient_y0])
    return [reference.loss, *gradient.tolist()]


def _digits(*references: Reference) -> list[float]:
    """Digits that all of the references certify, in the order of `_flat`."""
    rows = [np.concatenate([[r.digits_loss], r.digits_p, r.digits_y0]) for r in references]
    return np.min(rows, axis=0).tolist()


def _definition(problem: Problem) -> dict[str, Any]:
    still = np.broadcast_to(problem.y0, (problem.times.size, problem.n))
    return {
        "t0": problem.t0,
        "times": problem.times.tolist(),
        "y0": problem.y0.tolist(),
        "p": problem.p.tolist(),
        "loss_at_y0": float(problem.loss.value(still, np)),
    }


def _assemble(
    name: str,
    found: tuple[Answer, ...],
    definition: dict[str, Any],
    versions: dict[str, str],
    date: str,
) -> Reference:
    agreed = _certify.agreement(found)
    trusted = found[0]
    return Reference(
        name,
        trusted.loss,
        trusted.gradient_p,
        trusted.gradient_y0,
        agreed.loss,
        agreed.p,
        agreed.y0,
        found,
        definition,
        versions,
        date,
    )


def _write(reference: Reference, target: Path) -> None:
    text = json.dumps(asdict(reference), indent=1, default=np.ndarray.tolist, allow_nan=False)
    handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(problem: Problem, folder: Path) -> Reference:
    """The file's content, checked: everything in it must follow from what its methods gave."""
    target = path(problem, folder)
    remedy = f"delete {target} and run: stiffgrad reference {problem.name}"
    try:
        content = json.loads(target.read_text(encoding="utf-8"))
        found = tuple(_answer(entry, problem) for entry in content["methods"])
        rest = (content[key] for key in ("definition", "versions", "date"))
        reference = _assemble(content["problem"], found, *rest)
        whole = json.loads(json.dumps(asdict(reference), default=np.ndarray.tolist)) == content
    except FileNotFoundError:
        raise MissingReference(
            f"{problem.name} has no certified reference; run: stiffgrad reference {problem.name}"
        ) from None
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorruptReference(f"{target.name} cannot be read ({error}); {remedy}") from error
    if not whole or reference.problem != problem.name:
        raise CorruptReference(f"{target.name} contradicts itself; {remedy}")
    if not _same(reference.definition, _definition(problem)):
        raise StaleReference(
            f"{target.name} was made for another definition of the problem; {remedy}"
        )
    return reference


def _answer(entry: dict[str, Any], problem: Problem) -> Answer:
    gradient_p, gradient_y0 = (
        np.array(entry[key], dtype=np.float64) for key in ("gradient_p", "gradient_y0")
    )
    if gradient_p.shape != (problem.m,) or gradient_y0.shape != (problem.n,):
        raise ValueError(f"gradients of shapes {gradient_p.shape} and {gradient_y0.shape}")
    return Answer(entry["method"], entry["settings"], entry["loss"], gradient_p, gradient_y0)


def _same(stored: dict[str, Any], current: dict[str, Any]) -> bool:
    if stored.keys() != current.keys():
        return False
    pairs = [(np.asarray(stored[key]), np.asarray(current[key])) for key in current]
    return all(a.shape == b.shape and np.allclose(a, b, rtol=SAME, atol=0) for a, b in pairs)
