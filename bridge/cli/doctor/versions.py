"""The versions of what Lanebridge is built on, against the ranges that it was tested with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, requires, version

import confluent_kafka
from packaging.requirements import Requirement

from bridge.cli.doctor.findings import Finding, ok, problem


def look_at_versions() -> list[Finding]:
    """One line with all versions, and one for each that does not fit."""
    needed = [need for text in requires("lanebridge") or () if not (need := Requirement(text)).marker]
    found = {need.name: _installed(need.name) for need in needed}
    listed = ", ".join(f"{name} {found[name] or 'missing'}" for name in sorted(found))
    python = f"Python {platform.python_version()}, librdkafka {confluent_kafka.libversion()[0]}"
    findings = [ok(f"lanebridge {version('lanebridge')}, {python}, {listed}")]
    for need in needed:
        installed = found[need.name]
        if installed is None or not need.specifier.contains(installed, prereleases=True):
            text = f"{need.name} {installed or 'is missing'} does not fit {need.name}{need.specifier}"
            findings.append(problem(text, f"pip install '{need.name}{need.specifier}'"))
    return findings


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
