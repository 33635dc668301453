"""From the files of a project to one `Project`, or to everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from remit.config.bundle import collect
from remit.config.files import PINS
from remit.config.reading import Loaded, in_order, read_files
from remit.config.references import check_references
from remit.domain.connections import ToolPins
from remit.domain.project import Project
from remit.errors import ProjectInvalid


def load_project(folder: Path) -> Project:
    """Read, validate and cross-check the project in a folder.

    Raises ProjectInvalid with every problem that its files have. Policies are checked by the policy engine.
    """
    files, problems = collect(folder)
    return _consistent(read_files(files, problems))


def load_for_pinning(folder: Path) -> Project:
    """The same, but nothing is said of tools that are not pinned or no longer fit their pins.

    For the command that writes `tools.lock.json`: a missing, stale or broken one must not keep it from its work.
    `pins` holds what could be read of the old file. Raises ProjectInvalid for everything else.
    """
    files, problems = collect(folder)
    loaded = read_files(files, problems)
    pins = loaded.project.pins
    loaded.problems = [p for p in loaded.problems if p.file != PINS]
    loaded.project = replace(loaded.project, pins=ToolPins())
    loaded.pins_matter = False
    return replace(_consistent(loaded), pins=pins)


def parse_project(files: Mapping[str, bytes]) -> Project:
    """The same from the files of a bundle, by their paths. Raises ProjectInvalid."""
    return _consistent(read_files(files))


def _consistent(loaded: Loaded) -> Project:
    problems = [*loaded.problems, *check_references(loaded)]
    if any(p.severity == "error" for p in problems):
        raise ProjectInvalid(in_order(problems))
    return loaded.project
