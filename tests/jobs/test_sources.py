"""The code of a stage is what it imports, and what that means; nothing of other stages."""

import ast
import json
import subprocess
import sys

import pytest

from lensvit import cli
from lensvit.jobs import sources
from lensvit.jobs.sources import BY_NAME, SOURCE, Memory, closure, code

# ---------------------------------------------------------------- which files


def names(*modules):
    return {path.relative_to(SOURCE).as_posix() for path in closure(*modules)}


def test_training_depends_on_the_network_and_not_on_the_figures():
    found = names("lensvit.learning.train")
    expected = {
        "train.py",
        "architectures.py",
        "from_transformers.py",
        "preprocessing.py",
        "gaussian.py",
        "__init__.py",
    }
    assert {f"learning/{name}" for name in expected} | {
        "__init__.py",
        "learning/__init__.py",
        "lensing/noise.py",
    } <= found
    assert not any("figures" in name or "psf" in name for name in found)
    assert not {"config/run.py", "cli.py", "learning/evaluate.py", "simulation/simulate.py"} & found


STAGES = [
    "lensvit.psf.build",
    "lensvit.simulation.simulate",
    "lensvit.learning.train",
    "lensvit.learning.evaluate",
    "lensvit.chapters.limit.compute",
    "lensvit.chapters.refine.compute",
    "lensvit.chapters.calibration.table",
    "lensvit.chapters.accuracy.table",
    "lensvit.paper.numbers",
    "lensvit.paper.render",
]
IMPORTED = """
import importlib, json, sys

def of_lensvit():
    return [name for name in sys.modules if name.partition(".")[0] == "lensvit"]

found = {}
for stage in sys.argv[1:]:
    for name in of_lensvit():
        del sys.modules[name]
    importlib.import_module(stage)
    found[stage] = of_lensvit()
print(json.dumps(found | {"libraries": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.fixture(scope="module")
def imported():
    """Stage to the modules of lensvit that Python has when it is imported; libraries are imported once for all."""
    command = [sys.executable, "-c", IMPORTED, *STAGES]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout)


@pytest.mark.parametrize("stage", STAGES)
def test_the_closure_is_what_python_really_imports(imported, stage):
    files = {name.replace(".", "/").removeprefix("lensvit").lstrip("/") for name in imported[stage]}
    found = {name.removesuffix(".py").removesuffix("__init__").rstrip("/") for name in names(stage)}
    assert files <= found and len(files) > 5


def test_a_stage_starts_without_what_it_seldom_needs(imported):
    """lenstronomy with numba takes two seconds to import, which only its engine and its solver do."""
    assert {"torch", "numpy"} <= set(imported["libraries"])
    assert not {"lenstronomy", "numba", "scoringrules"} & set(imported["libraries"])


def test_every_stage_but_settings_and_config_leaves_the_schema_alone():
    for target in cli.STAGES.values():
        module = target.split(":")[0]
        if module not in ("lensvit.bench.run", "lensvit.doctor.run") and not module.startswith("lensvit.config."):
            assert not any(name.startswith("config/") for name in names(module)), module


def test_what_is_imported_by_name_is_followed_or_given():
    """A module that imports others by name is in BY_NAME, or the rule of its stage names the others."""
    found = {
        path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py") if "import_module(" in path.read_text()
    }
    followed = {f"{name.removeprefix('lensvit.').replace('.', '/')}.py" for name in BY_NAME}
    # the topmost package imports what is asked of it by name, which no stage of the workflow does
    no_stages = {"__init__.py", "cli.py", "config/run.py", "bench/run.py", "doctor/run.py"}
    assert found == followed | no_stages | {"paper/numbers.py"}
    assert {"chapters/limit/chapter.py", "chapters/limit/numbers.py"} <= names("lensvit.paper.numbers")
    assert "chapters/limit/claims.py" not in names("lensvit.paper.numbers")


@pytest.fixture
def package(tmp_path):
    """Writes files of a package, and says the digest of its module ``a``."""

    def digest(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        return code("lensvit.a", source=tmp_path)

    return digest


def test_a_module_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"no module lensvit\.nothing"):
        code("lensvit.nothing", source=tmp_path)


def test_a_relative_import_is_an_error_that_names_the_file(package):
    with pytest.raises(ValueError, match=r"a\.py: relative imports are not followed"):
        package(a="from . import b\n")


def test_code_says_what_it_is_of(package, tmp_path):
    module, digest = package(a="x = 1\n").split()
    assert module == "lensvit.a" and len(digest) == 16 and int(digest, 16) >= 0
    package(b="y = 1\n")
    assert code("lensvit.b", "lensvit.a", source=tmp_path).startswith("lensvit.b lensvit.a ")


def test_what_is_imported_counts_wherever_the_import_stands(package):
    before = package(
        a="def f():\n    from lensvit.b import g\n    return g()\n", b="def g():\n    return 1\n", c="z = 1\n"
    )
    assert package(c="z = 2\n") == before
    assert package(b="def g():\n    return 2\n") != before


# ---------------------------------------------------------------- what they mean

WRITTEN = '''"""What the module is."""

from __future__ import annotations


class A:
    """What a class is."""

    x: int = 1


def f(a, *, b=(1, 2)):
    """What a function does."""
    return f"{a:.3f} and {b}" "c"


async def g():
    """Nothing but a docstring."""


if __name__ == "__main__":
    "no docstring"
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x: int = 1", "x: int = 1  # a comment"),
        ('"""What the module is."""', '"""What the module is, said otherwise."""'),
        ('"""What the module is."""', ""),
        ('"""What a class is."""', "'''What a class is, otherwise.'''"),
        ('    """What a function does."""\n', ""),
        ('"""Nothing but a docstring."""', "pass"),
        ("def f(a, *, b=(1, 2)):", "def f(\n    a,\n    *,\n    b=(\n        1,\n        2,\n    ),\n):"),
        ('f"{a:.3f} and {b}" "c"', "f'{a:.3f}' f' and {b}c'"),
        ('"no docstring"', 'u"no docstring"'),
        ("x: int = 1", "x: int = 0x1"),
    ],
)
def test_comments_docstrings_and_formatting_mean_nothing(package, before, after):
    first = package(a=WRITTEN)
    assert WRITTEN.count(before) == 1
    assert package(a=WRITTEN.replace(before, after)) == first


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x: int = 1", "x: int = 2"),
        ("x: int = 1", "x: int = True"),
        ("x: int = 1", "x: float = 1"),
        ("from __future__ import annotations", ""),
        ("b=(1, 2)", "b=(2, 1)"),
        ("*, b", "b"),
        (".3f", ".4f"),
        ("async def", "def"),
        ('"no docstring"', '"another text"'),
        ("def f", "def h"),
    ],
)
def test_all_else_does(package, before, after):
    first = package(a=WRITTEN)
    assert WRITTEN.count(before) == 1
    assert package(a=WRITTEN.replace(before, after)) != first


def test_fields_that_versions_of_python_add_mean_nothing(package, monkeypatch):
    """Python 3.12 has ``type_params``, empty, on each class and function; ``kind`` and ``ctx`` say nothing either."""
    before = package(a=WRITTEN)
    monkeypatch.setattr(ast.ClassDef, "_fields", (*ast.ClassDef._fields, "type_params", "future"))
    monkeypatch.setattr(ast.ClassDef, "type_params", [], raising=False)
    monkeypatch.setattr(ast.ClassDef, "future", None, raising=False)
    assert package(a=WRITTEN + "# so that it is read anew\n") == before


def test_the_digest_is_that_of_every_version_of_python(package):
    """Written down here, it is compared by whatever version runs the tests."""
    assert package(a=WRITTEN) == "lensvit.a 1658c4c9eca747b9"


# ---------------------------------------------------------------- what is known of the last start


@pytest.fixture
def start(package, tmp_path, monkeypatch):
    """The digest of module ``a``, as a start with a memory finds it, and how many files it parsed."""
    parsed = []
    plain = sources._meaning
    monkeypatch.setattr(sources, "_meaning", lambda text: parsed.append(text) or plain(text))

    def digest(**files):
        expected = package(**files)
        parsed.clear()
        memory = Memory(tmp_path / "known.json")
        found = code("lensvit.a", source=tmp_path, memory=memory)
        assert found == expected == code("lensvit.a", source=tmp_path, memory=memory)
        memory.save()
        return found, len(parsed)

    return digest


def test_a_start_parses_only_what_was_edited(start):
    first, parsed = start(a="from lensvit import b\n", b="y = 1\n")
    assert parsed == 2 and start() == (first, 0)
    other, parsed = start(b="y = 2\n")
    assert other != first and parsed == 1
    assert start(b="y = 1\n") == (first, 0)  # what was known before still is
    assert start(b="from lensvit import c\n", c="")[1] == 2


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"sources": "other", "meanings": {}}', '{"sources": "OWN", "meanings": {"x": 1}}']
)
def test_a_memory_that_is_broken_or_of_another_version_says_nothing(start, tmp_path, content):
    first, _ = start(a="x = 1\n")
    own = Memory(tmp_path / "known.json").own
    (tmp_path / "known.json").write_text(content.replace("OWN", own))
    assert start() == (first, 1) and start() == (first, 0)


def test_a_memory_that_cannot_be_written_is_done_without(package, tmp_path):
    expected = package(a="x = 1\n")
    memory = Memory(tmp_path / "a.py" / "known.json")
    assert code("lensvit.a", source=tmp_path, memory=memory) == expected
    memory.save()


def test_a_memory_forgets_old_texts(start, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MOST_KEPT", 3)
    for number in range(9):
        start(a=f"x = {number}\n")
        assert len(Memory(tmp_path / "known.json").kept) <= 4


# ---------------------------------------------------------------- what reaches no result


def digests():
    return {sources._read_meaning(path).digest for path in SOURCE.rglob("*.py")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_new_version_makes_nothing_anew(stage):
    assert "version.py" not in names(stage)


def test_files_that_reach_no_result_count_as_they_were(package, monkeypatch):
    assert all((SOURCE / name).is_file() for name in sources.NO_RESULT)
    before = package(a="import lensvit.b", b="x = 1")
    monkeypatch.setitem(sources.NO_RESULT, "b.py", "0" * 64)
    first = package(b="x = 1")
    assert before != first == package(b="x = 2") != package(a="import lensvit.b\ny = 1")


def test_an_edit_that_reaches_no_result_counts_as_what_was_before(package, monkeypatch):
    before = package(a="x = 1")
    monkeypatch.setitem(sources.SAME_RESULTS, sources._meaning("x = 3").digest, sources._meaning("x = 1").digest)
    assert package(a="x = 3") == before != package(a="x = 2")


def test_an_edit_that_is_said_to_change_no_result_is_still_the_present_one():
    """An entry of a file that was edited again is of no use: take it out."""
    assert sources.SAME_RESULTS.keys() <= digests()
