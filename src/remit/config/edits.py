"""Changes of a project's YAML files that leave their comments and everything else as it was."""

from __future__ import annotations

import io
import os
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from remit.errors import ConfigurationError


def add_entries(text: str, section: str, entries: str) -> str:
    """Add entries, themselves YAML with their comments, to a section of a file; those that are there stay.

    Raises ConfigurationError if the text is not YAML of that form.
    """
    yaml = _yaml()
    document = _document(yaml, text)
    there = document.setdefault(section, CommentedMap())
    if there is None or (isinstance(there, CommentedMap) and not there):
        there = document[section] = CommentedMap()
    if not isinstance(there, CommentedMap):
        raise ConfigurationError(f"`{section}` is not a mapping", advice="Mend the file first: `remit check`.")
    # Read as deep as they will stand, so that their comments stand where they belong.
    for name, value in _document(yaml, f"entries:\n{textwrap.indent(entries, '  ')}")["entries"].items():
        there.setdefault(name, value)
    return _dumped(yaml, document)


def set_values(text: str, section: str, key: str, values: Mapping[str, Any]) -> str:
    """Give the entries of a section another value under `key`: `parameters: days: {value: 30}`."""
    yaml = _yaml()
    document = _document(yaml, text)
    for name, value in values.items():
        document[section][name][key] = value
    return _dumped(yaml, document)


def write_all(files: Mapping[Path, str]) -> None:
    """Write files, each replaced at once, the folders made if need be. Raises ConfigurationError.

    If one cannot be written, those that were written before are put back.
    """
    before = {path: path.read_text(encoding="utf-8") if path.exists() else None for path in files}
    done: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text)
            done.append(path)
    except OSError as error:
        for path in done:
            with suppress(OSError):
                _put_back(path, before[path])
        raise ConfigurationError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror or error}",
            advice="Nothing was changed. Look whether you may write there, and whether the disk is full.",
        ) from None


def flow(value: Any) -> str:
    """A value on one line, as YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.width = 10_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its own stubs leave out the type
    out = io.StringIO()
    yaml.dump(value, out)
    return "".join(_without_end(out.getvalue())).strip()


def _without_end(text: str) -> Iterator[str]:
    return (line for line in text.splitlines(keepends=True) if line.strip() != "...")


def _put_back(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        _replace(path, text)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _document(yaml: YAML, text: str) -> CommentedMap:
    try:
        found = yaml.load(text)
    except YAMLError as error:
        raise ConfigurationError(
            f"the file is not YAML: {str(error).splitlines()[0]}", advice="Mend the file first: `remit check`."
        ) from None
    if found is None:
        return CommentedMap()
    if not isinstance(found, CommentedMap):
        raise ConfigurationError("the file is not a mapping", advice="Mend the file first: `remit check`.")
    return found


def _dumped(yaml: YAML, document: CommentedMap) -> str:
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()
