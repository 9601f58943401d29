"""The files of results in a folder, by what was measured, the newest first.

Every number that is told comes through here. One that is not there is an error that names the command which makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.bench.harness import Param, Result
from quire.bench.results import Report
from quire.errors import ConfigError


class MissingResultError(ConfigError):
    """A number was asked for that nobody measured."""


@dataclass(frozen=True, slots=True)
class Evidence:
    folder: Path
    reports: dict[str, list[Report]]
    """By benchmark, the newest first."""

    @classmethod
    def load(cls, folder: Path) -> "Evidence":
        """Every result file in the folder; other files are left alone."""
        found: dict[str, list[Report]] = {}
        for path in sorted(folder.glob("*.json")):
            try:
                report = Report.load(path)
            except (ValueError, OSError) as error:
                raise ConfigError(f"{error}. Remove it, or measure again.") from error
            found.setdefault(report.title, []).append(report)
        for reports in found.values():
            reports.sort(key=lambda report: report.date, reverse=True)
        return cls(folder, found)

    def report(self, benchmark: str) -> Report:
        """The newest."""
        if benchmark not in self.reports:
            raise MissingResultError(
                f"There is no result of {benchmark} in {self.folder}; make it with: {self._command(benchmark)}"
            )
        return self.reports[benchmark][0]

    def result(self, benchmark: str, case: str, side: str = "quire", **params: Param) -> Result:
        """The case of that side whose params are these, whatever else it has, in the newest report that has it."""
        self.report(benchmark)
        for result in (result for report in self.reports[benchmark] for result in report.results):
            if (result.name, result.side) == (case, side) and params.items() <= result.params.items():
                return result
        asked = " ".join(f"{name}={value}" for name, value in params.items())
        raise MissingResultError(
            f"The result of {benchmark} in {self.folder} has no case {case} {asked} of {side}; "
            f"make it with: {self._command(benchmark)}"
        )

    def median(self, benchmark: str, case: str, metric: str, side: str = "quire", **params: Param) -> float:
        return self.result(benchmark, case, side, **params).summary(metric).median

    def percentile(
        self, benchmark: str, case: str, metric: str, point: str, side: str = "quire", **params: Param
    ) -> float:
        """`point` is p50, p95 or p99."""
        return self.result(benchmark, case, side, **params).percentiles(metric)[point]

    def machine(self) -> str:
        """`AMD EPYC with avx2 kernels, 2 cores, …` of the newest reports; all of them, where they are of several."""
        if not self.reports:
            raise MissingResultError(f"There are no results in {self.folder}; make them with: make bench")
        return "; and on ".join(sorted({_machine(reports[0].environment) for reports in self.reports.values()}))

    def _command(self, benchmark: str) -> str:
        return f"quire bench {benchmark} --json {self.folder / benchmark}.json"


def _machine(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['cpu']} with {facts.get('kernels', 'unknown')} kernels, {facts['physical_cores']} cores, "
        f"{facts['memory_gib']} GiB of memory, {facts['system']}, Python {facts['python']}"
    )
