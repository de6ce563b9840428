"""Configs for the tests: those of the project, and changes of them."""

from pathlib import Path

import yaml

from lensvit.config.run import _merge, load, validate

ROOT = Path(__file__).parents[2]


def content(name="config.yaml"):
    return yaml.safe_load((ROOT / name).read_text())


def changed(changes, base="config.yaml"):
    merged = content(base)
    _merge(merged, changes)
    return merged


def ablation(**changes):
    part = {"train": True, "seeds": 2, "models": {"resnet": ["raw", "paper"]}, **changes}
    return validate(changed({"seed": 5, "ablation": part, "models": {"resnet": {"changes": {"epochs": 7}}}}))


RUNS = sorted(path.stem for path in (ROOT / "runs").glob("*.yaml"))
# names of overlays on config.yaml, from none of them to several
OVERLAYS = [
    (),
    *((run,) for run in RUNS),
    ("demo", "everything"),
    ("demo", "dropout"),
    ("demo", "scale"),
    ("night", "night_first"),
]


def overlaid(names):
    """The run of config.yaml with these overlays on it."""
    return load(ROOT / "config.yaml", *(ROOT / "runs" / f"{name}.yaml" for name in names))
