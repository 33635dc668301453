"""Imports from memory: the program's own files, and the standard library as the zygote loaded it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

UNAVAILABLE = ("ctypes", "_ctypes", "site", "readline", "tkinter", "_tkinter", "idlelib", "turtle", "pip")


class ProgramFiles(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finder and loader of the modules in the agent's folder. No file is opened: the files came over the pipe."""

    def __init__(self, root: str, files: dict[str, bytes]) -> None:
        self._root = root
        self._files = files

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's place among the program's files. Raises ModuleNotFoundError with a plain reason."""
        stem = name.replace(".", "/")
        for file, package in ((f"{stem}/__init__.py", True), (f"{stem}.py", False)):
            if file in self._files:
                spec = importlib.util.spec_from_loader(name, self, origin=f"{self._root}/{file}", is_package=package)
                if spec is not None:
                    spec.has_location = True  # so that the module gets a `__file__`
                return spec
        raise ModuleNotFoundError(
            f"there is no module {name!r} here: a program imports the files of its own folder and the standard library",
            name=name,
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Let the import system make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in it."""
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - this is what a loader does

    def get_code(self, name: str) -> CodeType:
        """Compile the module."""
        origin, source = self._source(name)
        # Tracebacks take their lines from here: there is no file to read them from.
        text = source.decode("utf-8", "replace")
        linecache.cache[origin] = (len(source), None, text.splitlines(keepends=True), origin)
        code: CodeType = compile(source, origin, "exec", dont_inherit=True)
        return code

    def get_source(self, name: str) -> str:
        """The module's text."""
        return self._source(name)[1].decode("utf-8", "replace")

    def get_data(self, path: str) -> bytes:
        """A file of the agent's folder, for `pkgutil.get_data`."""
        try:
            return self._files[path.removeprefix(f"{self._root}/")]
        except KeyError:
            raise FileNotFoundError(f"the agent has no file {path!r}") from None

    def owns(self, filename: str) -> bool:
        """True if a frame of a traceback lies in the program's files."""
        return filename.startswith(f"{self._root}/")

    def _source(self, name: str) -> tuple[str, bytes]:
        spec = self.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        return spec.origin, self._files[spec.origin.removeprefix(f"{self._root}/")]


def cut_off() -> None:
    """In the zygote, once: no more imports from files, and Remit's own modules out of reach by name."""
    ours = __name__.rpartition(".")[0]
    for name in list(sys.modules):
        top = name.partition(".")[0]
        if top in {"remit", ours} or top in UNAVAILABLE:
            del sys.modules[name]
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.path.clear()
    sys.dont_write_bytecode = True


def take_over(files: ProgramFiles) -> None:
    """In the child: from here on imports come from the program's files."""
    sys.modules["__main__"] = ModuleType("__main__")
    sys.meta_path[:] = [files]
    sys.argv[:] = ["program.py"]
