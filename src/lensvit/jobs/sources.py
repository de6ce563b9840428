"""What the code of a stage is: the package's files that its module imports, and what they mean.

A comment, a docstring and the formatting mean nothing: an edit of them leaves :func:`code` as it is. All else counts,
so that a rule or a checkpoint that names the code of its stage is made again when, and only when, that code changes;
but for the few files and edits that reach no result, which stand in ``NO_RESULT`` and ``SAME_RESULTS``.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).parents[1]
DIGITS = 16  # of a digest
MOST_KEPT = 1000  # texts in a memory, after which it forgets those of old versions

# modules that import others by names that they find: pattern of the files of these
BY_NAME = {"lensvit.chapters.registry": "chapters/*/chapter.py", "lensvit.paper.schema": "chapters/*/numbers.py"}

# files that every training imports and that reach no result: each counts as what it was once, whatever it says now
NO_RESULT = {
    "__init__.py": "f36d1b187bcb2275a30f00f5aaa2964863b0f94c160a3e619b340b61d127e97e",  # names of what is imported late
    "jobs/sources.py": "2d02f367c4dbf4b62cb3984e1bbadcc591ce3bb6758f8448e6f740a1c6b059ad",  # this file
}
# edits of a file after which all results are the same bytes: digest of its code now -> the one that it counts as
SAME_RESULTS: dict[str, str] = {
    # psf/kernel.py, whose files name the version that first wrote them, and have a map only where one was asked for
    "4a4faf7242728b111e2779fa62037c225db6799122c43080f2ed9168c33bb6e5":
        "fe49062fa7e4c77b659c3d2a9475a8734f93114dd2ee027dcfa5daf0d8242556",
}  # fmt: skip

# fields of the syntax tree that follow from the others, or of which the code has nothing at run time
MEANINGLESS = frozenset({"ctx", "kind", "type_comment"})


class Meaning(NamedTuple):
    """What one file says: the digest of its code, and what it imports of the package, parents included."""

    digest: str
    imports: tuple[str, ...]


class Memory:
    """What files of code mean, kept from one start of a program to the next: to parse them all takes a second.

    A file is read once in a program, and parsed once as long as its text is the same.

    Parameters
    ----------
    path
        The file that keeps it. One that is absent, broken or of another version of this module says nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.own = path, _digest(_text(Path(__file__)))
        self.read: dict[Path, Meaning] = {}
        self.used: dict[str, Meaning] = {}
        self.kept: dict[str, Meaning] = {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["sources"] == self.own:
                self.kept = {
                    str(text): Meaning(str(said[0]), tuple(map(str, said[1])))
                    for text, said in content["meanings"].items()
                }
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            pass

    def meaning(self, path: Path) -> Meaning:
        """What a file means."""
        if path not in self.read:
            text = _text(path)
            name = _digest(text)
            self.read[path] = self.used[name] = self.kept.get(name) or _meaning(text)
        return self.read[path]

    def save(self) -> None:
        """Keep what was asked for; a disk that does not let it costs the next start a second."""
        if self.used.keys() <= self.kept.keys():
            return
        known = self.used if len(self.kept) > MOST_KEPT else self.kept | self.used
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            temporary.write_text(json.dumps({"sources": self.own, "meanings": known}), encoding="utf-8")
            temporary.replace(self.path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()


def code(*modules: str, source: Path = SOURCE, memory: Memory | None = None) -> str:
    """The names of ``modules`` and a digest of the code of all that they import inside the package.

    Two versions of the package have the same digest if their syntax trees are the same without docstrings. It does
    not depend on the version of Python.

    Parameters
    ----------
    modules
        Full names, such as ``lensvit.learning.train``.
    source
        The folder of the package ``lensvit``.
    memory
        What files mean, as far as it is known already.

    Returns
    -------
    str
        For example ``lensvit.learning.train 0123456789abcdef``.

    Raises
    ------
    ModuleNotFoundError
        If a module has no file.
    """
    meaning = memory.meaning if memory else _read_meaning
    files = closure(*modules, source=source, meaning=meaning)
    names = {path.relative_to(source).as_posix(): path for path in files}
    lines = [f"{name} {NO_RESULT.get(name) or _counted(meaning(path).digest)}\n" for name, path in names.items()]
    return f"{' '.join(modules)} {_digest(''.join(lines))[:DIGITS]}"


def _counted(digest: str) -> str:
    return SAME_RESULTS.get(digest, digest)


# ---------------------------------------------------------------- which files


def closure(*modules: str, source: Path = SOURCE, meaning: Callable[[Path], Meaning] | None = None) -> list[Path]:
    """The files of ``modules`` and of all that they import inside the package, sorted.

    Imports inside of functions count.

    Parameters
    ----------
    modules
        Full names, such as ``lensvit.learning.train``.
    source
        The folder of the package ``lensvit``.
    meaning
        From a file to what it means; None: as the file says now.

    Raises
    ------
    ModuleNotFoundError
        If one of ``modules`` has no file.
    ValueError
        If a file has a relative import.
    """
    meaning = meaning or _read_meaning
    for name in modules:
        if _file(name, source) is None:
            raise ModuleNotFoundError(f"no module {name} in {source}")
    found: set[Path] = set()
    seen: set[str] = set()
    waiting = [part for name in modules for part in _with_parents(name)]
    while waiting:
        name = waiting.pop()
        path = None if name in seen else _file(name, source)
        seen.add(name)
        if path is not None:
            found.add(path)
            waiting.extend(_imported_by_name(name, source))
            try:
                waiting.extend(meaning(path).imports)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
    return sorted(found)


def _with_parents(name: str) -> list[str]:
    """``a.b.c`` to ``a``, ``a.b`` and ``a.b.c``: Python runs the packages around a module too."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _file(name: str, source: Path) -> Path | None:
    """The file of a module or of a package; None for what is neither or lies elsewhere."""
    package, *parts = name.split(".")
    if package != "lensvit":
        return None
    base = source.joinpath(*parts)
    candidates = [base / "__init__.py", *([base.with_suffix(".py")] if parts else [])]
    return next((path for path in candidates if path.is_file()), None)


def _imported_by_name(name: str, source: Path) -> Iterator[str]:
    for path in source.glob(BY_NAME[name]) if name in BY_NAME else ():
        yield from _with_parents(".".join(("lensvit", *path.relative_to(source).with_suffix("").parts)))


# ---------------------------------------------------------------- what they mean


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _meaning(text: str) -> Meaning:
    tree = ast.parse(text)
    imports = {part for name in _imports(tree) if name.startswith("lensvit") for part in _with_parents(name)}
    return Meaning(_digest(_said(tree)), tuple(sorted(imports)))


def _read_meaning(path: Path) -> Meaning:
    return _meaning(_text(path))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all that may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError("relative imports are not followed; write the full name, lensvit.…")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _said(value: object) -> str:
    """A syntax tree, or a part of it, in a form that is the same in all versions of Python.

    Empty fields are left out, since new versions add some; ``ast.dump`` has them in some versions and not in others.
    """
    if isinstance(value, list):
        return f"[{','.join(map(_said, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    parts = []
    for name in sorted(value._fields):
        part = getattr(value, name, None)
        if name == "body" and isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            part = _without_docstring(value.body)
        elif isinstance(value, ast.JoinedStr):
            part = _joined(value.values)
        if name not in MEANINGLESS and part is not None and part != []:
            parts.append(f"{name}={_said(part)}")
    return f"{type(value).__name__}({','.join(parts)})"


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of a module, class or function; ``pass`` where the docstring is the only one."""
    if body and isinstance(body[0], ast.Expr) and _text_of(body[0].value) is not None:
        return body[1:] or [ast.Pass()]
    return body


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring texts as one: versions of Python cut them differently."""
    found: list[ast.expr] = []
    for part in parts:
        text, before = _text_of(part), _text_of(found[-1]) if found else None
        if text is not None and before is not None:
            found[-1] = ast.Constant(before + text)
        elif text != "":
            found.append(part)
    return found


def _text_of(node: ast.expr) -> str | None:
    """The text of a string constant; None for another expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
