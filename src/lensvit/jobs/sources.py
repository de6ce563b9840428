"""Which of the package's files a module needs, from the import statements alone."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1]


def closure(*names: str) -> list[Path]:
    """The files of the modules ``names`` and of all that they import inside the package, sorted.

    Imports inside functions count.
    """
    found: set[Path] = set()
    waiting = [name for module in names for name in _with_parents(module)]
    while waiting:
        path = _file(waiting.pop())
        if path is not None and path not in found:
            found.add(path)
            waiting.extend(_imports(path))
    return sorted(found)


def _with_parents(name: str) -> list[str]:
    """a.b.c -> a, a.b, a.b.c: Python runs the packages around a module too."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


@cache
def _file(name: str) -> Path | None:
    if name.split(".")[0] != "lensvit":
        return None
    base = SOURCE.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py") if base != SOURCE else base / "__init__.py", base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path}: relative imports are not followed; write lensvit.…")
            names += [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(part for name in names for part in _with_parents(name))
