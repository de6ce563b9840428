"""Try every classifier of torchvision and every image classification type of transformers, as built by default.

``python -m tests.learning.every_network docs/networks.md`` takes some minutes, prints a row for each and writes into
docs/networks.md what is refused. A number behind it has networks of up to so many million weights tried to the end
(7000: all, with 12 GB of memory); larger ones are built, and passed forward and backward, without numbers. It ends with
1 where a network does anything but work or be refused in one line.
"""

import contextlib
import io
import re
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from torchvision import models
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES as TYPES

from lensvit.errors import LensvitError
from lensvit.learning.architectures import trainable_parameters
from lensvit.learning.rehearsal import rehearse
from tests.learning.trial import trial
from tests.networks import network

MARK = "<!-- from here on written by: python -m tests.learning.every_network docs/networks.md -->\n"
WAYS = [  # from what is asked for to what is left
    ("", {"image_size": 64, "dropout": 0.1}),
    ("`dropout: 0`", {"image_size": 64, "dropout": 0.0}),
    ("`image_size: 224`", {"image_size": 224, "dropout": 0.1}),
    ("`image_size: 224` and `dropout: 0`", {"image_size": 224, "dropout": 0.0}),
]


def refusal(attempt, *arguments):
    """What an attempt says, by its line, where it is refused; None where it works. Any other error is raised."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            attempt(*arguments)
    except LensvitError as error:
        assert "\n" not in str(error), f"more than a line: {error}"
        return str(error)
    return None


def to_the_end(choice, most):
    """A whole trial of a network of up to ``most`` million weights, a rehearsal of a larger one."""
    if trainable_parameters(rehearse(choice)) <= most * 1e6:
        with tempfile.TemporaryDirectory() as folder:
            trial(choice, Path(folder))


def tried(library, name, most):
    """The line by which a network is refused, and what works instead; None and "" if nothing is refused."""
    first = None
    for way, settings in WAYS:
        line = refusal(to_the_end, network(name, library, **settings), most)
        if line is None:
            return first, way
        first = first or line
    return first, "nothing that was tried"


def document(rows, most):
    """The part of docs/networks.md that says what is refused, from (library, name, line, way) of every network."""
    groups = {}
    for library, name, line, way in rows:
        if line is not None:
            absent = re.search(r"requires the (\w+) library", line)  # of Python, which this environment lacks
            if absent:
                line, way = f"needs the package {absent[1]}", f"with {absent[1]}: not tried"
            groups.setdefault((library, line.replace(name, "…").replace("|", "\\|"), way), []).append(name)
    counts = {library: sum(row[0] == library for row in rows) for library in ("torchvision", "transformers")}
    text = f"""{MARK}
All {counts["torchvision"]} classifiers of torchvision {version("torchvision").split("+")[0]} and all
{counts["transformers"]} image classification types of transformers {version("transformers")} were tried, as the
libraries build them by default, of random weights, at 64 pixels and `dropout: 0.1`: up to {most:,} million weights
trained for a step, saved, loaded and sampled, more built and passed forward and backward without numbers.
{sum(row[2] is None for row in rows)} work so. The others are refused by these lines:

| library | networks | line | what works |
|---|---|---|---|
"""
    for (library, line, way), names in groups.items():
        text += f"| {library} | {', '.join(names)} | {line} | {way} |\n"
    return text


def main(path, most="30"):
    """Try all, print a table, and write what is refused into a file behind its mark."""
    most = int(most)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows, broken = [], 0
    print("| library | network | works with | line | CPU time [s] |\n|---|---|---|---|---|")
    names = [("torchvision", name) for name in models.list_models(models)] + [("transformers", name) for name in TYPES]
    for library, name in names:
        started = time.process_time()
        try:
            line, way = tried(library, name, most)
            rows.append((library, name, line, way))
        except Exception as error:  # what this is here to find
            line, way, broken = f"{type(error).__name__}: {error}", "BROKEN", broken + 1
        print(f"| {library} | {name} | {way} | {line or ''} | {time.process_time() - started:.0f} |", flush=True)
    if not broken:
        text = Path(path).read_text(encoding="utf-8").partition(MARK)[0]
        Path(path).write_text(text + document(rows, most), encoding="utf-8")
    return broken > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
