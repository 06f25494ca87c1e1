"""Which records the report is made of: for every case on every machine, one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

from report import ReportError
from suite import records, tables
from suite.records import Record

CASE = ("platform", "problem", "method", "rtol", "atol")
# Statuses of cases that could not even be tried.
ABSENT = ("not-installed", "not-available")
OLDEST = Version("0")


@dataclass(frozen=True)
class Platform:
    """What may stand in one ranking: a machine and a device, with the records measured there.

    `slug` is its name as part of a file name or an anchor, unlike that of any other. `batches` are
    the records of many problems at once: no problems of their own, they are compared by their size.
    """

    name: str
    slug: str
    data: pd.DataFrame
    batches: pd.DataFrame

    def of(self, problem: str) -> pd.DataFrame:
        """The records of one problem."""
        return self.data[self.data["problem"] == problem]

    @property
    def size(self) -> int:
        """How many cases."""
        return len(self.data) + len(self.batches)

    @property
    def absent(self) -> bool:
        """Whether nothing could be measured here, for want of the device or of all packages."""
        return all(frame["status"].isin(ABSENT).all() for frame in (self.data, self.batches))

    @property
    def ranked(self) -> bool:
        """Whether there is something to be ranked."""
        return not (self.absent or self.data.empty)

    @cached_property
    def problems(self) -> list[str]:
        """Their names; those of most methods first."""
        sizes = self.data.groupby("problem")["method"].nunique()
        return sorted(sizes.index, key=lambda name: (-sizes[name], name))

    @cached_property
    def problem_slugs(self) -> dict[str, str]:
        return distinct_slugs(sorted(self.problems))

    def place(self, problem: str, what: str) -> str:
        """The path of a file about one problem, without its ending."""
        return f"{self.slug}/{self.problem_slugs[problem]}-{what}"


def read(names: Sequence[str]) -> list[Record]:
    """The records of the runs called so (file, name, or start or end of it); of all for none.

    Raises ReportError where there is nothing; UnknownNameError for an unknown run.
    """
    paths = [records.find_run(name) for name in names] or records.runs(records.RECORDS)
    found = [record for path in paths for record in records.read(path)]
    if not found:
        where = ", ".join(map(str, paths)) or str(records.RECORDS)
        raise ReportError(f"there are no records in {where}; stiffgrad run makes some")
    return found


def platforms(found: Iterable[Record]) -> list[Platform]:
    """The chosen records by machine and device, the platform with most cases first."""
    data = tables.frame([{"batch": None} | record for record in chosen(found)])
    groups = sorted(data.groupby("platform"), key=lambda group: -len(group[1]))
    slugs = distinct_slugs([str(name) for name, _ in groups])
    return [
        Platform(str(name), slugs[str(name)], group[single], group[~single])
        for name, group in groups
        for single in [group["batch"].isna()]
    ]


def chosen(found: Iterable[Record]) -> list[Record]:
    """One record a case and platform: that of the newest version of its framework, then the latest.

    A record of what could not be tried stands only where there is no other; one from the present
    environment goes before one of the same version from a stack.
    """
    best: dict[tuple[Any, ...], Record] = {}
    for record in found:
        placed = record | {"platform": platform_name(record)}
        key = tuple(placed[name] for name in CASE)
        if key not in best or _age(placed) >= _age(best[key]):
            best[key] = placed
    return list(best.values())


def platform_name(record: Record) -> str:
    """The machine's name, and the device where it is not the CPU."""
    name, device = record["machine"]["name"], record["device"]
    return name if device in (None, "cpu") else f"{name}, {device}"


def _age(record: Record) -> tuple[bool, Version, bool, str]:
    present = record.get("stack") is None
    tried = record["status"] not in ABSENT
    return tried, parsed(framework_version(record)), present, record["date"]


def framework_version(record: Record) -> str | None:
    """Of the distribution called like the framework, or like its first word."""
    name, versions = record["framework"], record["versions"] or {}
    return versions.get(name) or versions.get(name.split("-")[0])


def parsed(version: str | None) -> Version:
    """To be compared; none, or what is no version, is older than any."""
    try:
        return Version(version) if version else OLDEST
    except InvalidVersion:
        return OLDEST


def distinct_slugs(names: Sequence[str]) -> dict[str, str]:
    """A short ASCII name for each, fit for files and anchors, no two alike in any letter case."""
    slugs: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        plain = re.sub(r"[^A-Za-z0-9.=+-]+", "-", name).strip("-.")[:80] or "unnamed"
        slug, count = plain, 1
        while slug.lower() in taken:
            count += 1
            slug = f"{plain}-{count}"
        taken.add(slug.lower())
        slugs[name] = slug
    return slugs
