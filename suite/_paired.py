"""Measure two sides case by case in turn, each measurement a process of its own.

A side is asked through its own command line, so that any commit with `stiffgrad run` can be one.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from suite import records
from suite._sides import Side, SideError, environment
from suite.cases import Case
from suite.gate import Pair, settled
from suite.records import Record

# Exit codes of `stiffgrad run`: 2 says that the side does not know the problem or the method.
UNKNOWN = 2
LIMIT_SECONDS = 900.0


@dataclass
class Pairing:
    """Two sides and where the records of their measurements are kept.

    `rounds`: at most so many of every case.
    """

    base: Side
    head: Side
    tier: str
    rounds: int
    folder: Path
    announce: Callable[[str], None] = lambda text: None

    def measure(self, cases: Sequence[Case]) -> Iterator[list[Pair]]:
        """The pairs of every case; rounds go over all cases that are not settled yet.

        Which side is first alternates, so that a drift within a pair favours neither.
        """
        pairs: dict[Case, list[Pair]] = {case: [] for case in cases}
        for number in range(self.rounds):
            for case in cases:
                if not (pairs[case] and settled(pairs[case])):
                    self.announce(f"round {number + 1}: {case.problem} {case.method}")
                    pairs[case].append(self._pair(case, number))
        yield from pairs.values()

    def _pair(self, case: Case, number: int) -> Pair:
        if number % 2 == 0:
            base = self._measure(self.base, "base", case)
            return base, self._measure(self.head, "head", case)
        head = self._measure(self.head, "head", case)
        return self._measure(self.base, "base", case), head

    def _measure(self, side: Side, role: str, case: Case) -> Record:
        """The record of a case on a side, status `not-available` where it knows no such case."""
        command = [str(side.python), "-m", "suite.cli", "run", "--fresh", "--tier", self.tier]
        command += ["--problem", case.problem, "--method", case.method]
        command += ["--rtol", repr(case.rtol), "--atol", repr(case.atol)]
        variables = environment(side) | {"STIFFGRAD_RECORDS": str(self.folder / role)}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            try:
                done = subprocess.run(
                    [*command, "--json", str(path)],
                    cwd=side.checkout,
                    env=variables,
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_SECONDS,
                )
            except subprocess.TimeoutExpired:
                reason = f"the side's own command did not end within {LIMIT_SECONDS:g} s"
                return asdict(case) | {"status": "timeout", "reason": reason}
            if done.returncode == UNKNOWN:
                failed = {"status": "not-available", "reason": done.stderr.strip()}
                return asdict(case) | failed
            if done.returncode or not path.exists():
                raise SideError(f"{side.label} cannot measure: {done.stderr.strip()[-500:]}")
            (record,) = records.read(path)
        return record
