"""The two sides of a comparison: code and the environment it runs in, made once and kept."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from problems import nearest
from suite.machine import ROOT, STACK_VARIABLE

CACHE = ROOT / ".cache"
STACKS = ROOT / "stacks"
# What decides how a commit's environment is made.
INSTALLATION = ("pyproject.toml", "constraints.txt", "Makefile")
WORKING_TREE = "."
INSTALL_SECONDS = 1800.0


class SideError(RuntimeError):
    """A side cannot be made; the message says why."""


@dataclass(frozen=True)
class Side:
    """Code to measure and the interpreter to measure it with."""

    label: str
    checkout: Path
    python: Path
    stack: str | None = None


def stacks() -> dict[str, Path]:
    """The lock files under stacks/ by name."""
    return {path.stem: path for path in sorted(STACKS.glob("*.txt"))}


def side(name: str) -> Side:
    """The side called `name`: a stack, a commit, or `.`, the working tree as it is.

    Raises UnknownNameError for what is none of them, SideError where it cannot be installed.
    """
    if name == WORKING_TREE:
        return Side("working tree", ROOT, Path(sys.executable))
    if name in stacks():
        return Side(name, ROOT, stack_python(name), name)
    revision = _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if revision is None:
        raise nearest("stack, commit or run", name, [*stacks(), *_names()])
    checkout = _checkout(revision)
    return Side(f"{name} ({revision[:10]})", checkout, _python(checkout))


def _names() -> list[str]:
    return (_git("for-each-ref", "--format=%(refname:short)") or "").split()


def _checkout(revision: str) -> Path:
    folder = CACHE / "checkouts" / revision[:12]
    if not folder.exists():
        _run(["git", "worktree", "add", "--detach", str(folder), revision], ROOT)
    return folder


def _python(checkout: Path) -> Path:
    """Of an environment as that commit makes it: this one where both make the same."""
    same = all(
        (checkout / name).exists() and (checkout / name).read_bytes() == (ROOT / name).read_bytes()
        for name in INSTALLATION
    )
    if same:
        return Path(sys.executable)
    _run(["make", "venv", f"PYTHON={sys.executable}"], checkout)
    return checkout / ".venv" / "bin" / "python"


def stack_python(name: str) -> Path:
    """The interpreter of a stack's environment, made if it is not there, its versions verified."""
    lock = stacks()[name]
    folder = CACHE / "stacks" / name
    python = folder / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(folder)], ROOT)
    if wrong(lock, python):
        quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([str(python), *quiet, "--requirement", str(lock)], ROOT)
    faults = wrong(lock, python)
    if faults:
        raise SideError(f"stack {name} is not what {lock.name} says: {'; '.join(faults)}")
    return python


def pins(lock: Path) -> dict[str, str]:
    """Exact versions by package name; raises SideError for a line that is none."""
    found = {}
    for line in lock.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text:
            name, equals, version = text.partition("==")
            if not equals:
                raise SideError(f"{lock}: '{text}' is no exact version; write NAME==VERSION")
            found[name] = version
    return found


def wrong(lock: Path, python: Path) -> list[str]:
    """What is installed otherwise than a lock file says, in words."""
    script = (
        "import json, sys\nfrom importlib import metadata\nfound = {}\n"
        "for name in json.load(sys.stdin):\n"
        "    try: found[name] = metadata.version(name)\n"
        "    except metadata.PackageNotFoundError: found[name] = None\n"
        "json.dump(found, sys.stdout)"
    )
    wanted = pins(lock)
    done = subprocess.run(
        [python, "-c", script], input=json.dumps(list(wanted)), capture_output=True, text=True
    )
    if done.returncode:
        raise SideError(f"{python} does not run: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    return [
        f"{name} {found[name] or 'missing'}, not {version}"
        for name, version in wanted.items()
        # a local version label, as PyTorch's builds carry, is the same release
        if (found[name] or "").partition("+")[0] != version
    ]


def environment(side: Side) -> dict[str, str]:
    """Variables under which the side's own code is what Python imports."""
    stack = {} if side.stack is None else {STACK_VARIABLE: side.stack}
    return {
        **os.environ,
        **stack,
        "PYTHONPATH": str(side.checkout),
        "STIFFGRAD_COMPILE_CACHE": str(CACHE / "compile" / side.label.replace(" ", "-")),
    }


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SideError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        lines = [*done.stderr.splitlines(), *done.stdout.splitlines()]
        raise SideError(f"{' '.join(command)} failed: {' / '.join(lines[-3:])}")
