"""The import rule of the house: packages import downwards only, and chapters know nothing of each other."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src/lensvit"
FLOORS = [
    ("errors", "parameters", "version"), ("io", "jobs", "statistics"), ("psf",), ("lensing",),
    ("simulation", "inference"), ("learning", "figures"), ("observations",), ("chapters", "prediction"),
    ("paper", "release", "workflow"), ("page",), ("config",), ("bench",), ("doctor", "cli"), ("__main__",),
]  # fmt: skip
FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
SHOWN = ("table", "claims", "figure", "scatter_figure", "error_figure", "covariance_claims")
MODELS = ("torch", "torchvision", "transformers", "lightning_fabric")  # packages that take seconds to import


def broken_rules(source):
    """One line for each import under ``source`` that breaks a rule."""
    found = []
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if (
            path.name == "__init__.py"
            and path.parent != source
            and (len(tree.body) != 1 or not ast.get_docstring(tree))
        ):
            found.append(f"{name} is more than a docstring")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                continue
            found += [f"{name} imports {module}" for module in wanted if forbidden(name.split("."), module.split("."))]
    return found


def forbidden(importer, module):
    """Whether the rule forbids a module, by the parts of its name below ``lensvit``, to import another one."""
    if module[0] != "lensvit":
        return module[0] in MODELS and (importer[0] == "config" or importer[-1] in ("settings", "section", "chapter"))
    module = module[1:]
    if not module or module[0] not in FLOOR or importer[0] not in FLOOR:
        return bool(module) and module[0] != "__version__"
    section = importer[0] == "chapters" and importer[-1] == "section"  # a chapter's part of the config
    if section and module[:2] == ["config", "schema"]:
        return False
    if importer[0] == "chapters" == module[0] and len(importer) == 3:
        other = len(module) > 2 and (SOURCE / "chapters" / module[1]).is_dir() and module[1] != importer[1]
        shown = importer[2] == "compute" and module[1] == importer[1] and set(SHOWN) & set(module[2:])
        return bool(other or shown or "section" in module)
    return FLOOR[module[0]] > FLOOR[importer[0]] or (
        FLOOR[module[0]] == FLOOR[importer[0]] and module[0] != importer[0]
    )


def test_the_house_keeps_its_rules():
    assert broken_rules(SOURCE) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("lensing/noise.py", "from lensvit.learning import trainer"),  # upwards
        ("lensing/noise.py", "def f():\n    import lensvit.paper.latex"),  # also inside of a function
        ("io/files.py", "from lensvit.jobs.seeds import derive"),  # sideways
        ("chapters/limit/claims.py", "from lensvit.chapters.refine.table import ALL"),  # from chapter to chapter
        ("chapters/limit/claims.py", "from lensvit.chapters.refine import table"),
        ("chapters/limit/compute.py", "from lensvit.chapters.limit import table"),
        ("chapters/limit/compute.py", "from lensvit.chapters.limit.claims import numbers"),
        ("chapters/limit/table.py", "from lensvit.chapters.limit.section import Limit"),
        ("chapters/limit/table.py", "from lensvit.config.schema import Run"),
        ("chapters/limit/section.py", "from lensvit.config.run import load"),
        ("learning/train.py", "from lensvit.config.schema import Run"),  # the schema is for those above
        ("config/schema.py", "import torch"),  # seconds at every parse of the Snakefile
        ("learning/settings.py", "from torch import Tensor"),
        ("io/__init__.py", '"""Reading."""\nfrom lensvit.io.files import atomic'),
        ("io/__init__.py", ""),
        ("new_floor/module.py", "from lensvit.errors import LensvitError"),  # a package without a floor
    ],
)
def test_a_broken_rule_is_found(tmp_path, path, text):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert len(broken_rules(tmp_path)) == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("chapters/limit/table.py", "from lensvit.chapters.quoting import heading\nimport lensvit.io.files"),
        ("chapters/limit/section.py", "from lensvit.config.schema import Section"),
        ("learning/trainer.py", "import torch\nfrom lensvit.simulation.sampler import Sampler"),
        ("cli.py", "from lensvit.config.run import main"),
    ],
)
def test_what_the_rule_allows(tmp_path, path, text):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert broken_rules(tmp_path) == []


def test_snakemakes_view_finds_lensvit_where_the_snakefile_lies():
    """Snakemake imports the view before the Snakefile names the source, so that nothing of it may be imported yet."""
    view = SOURCE.parent / "snakemake_logger_plugin_lensvit/__init__.py"
    imported = [node for node in ast.parse(view.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert len(imported) > 5 and not [node for node in imported if "lensvit" in ast.unparse(node)]
