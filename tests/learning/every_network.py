"""Try every classifier of torchvision and every image classification type of transformers, as built by default.

``make networks``, some twenty minutes and 10 GB of memory, prints a row for each and writes into docs/networks.md what
is refused. It ends with 1 where a network does anything but work or be refused in one line.
"""

import contextlib
import io
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
from tests.learning.trial import network, trial

MARK = "<!-- from here on written by: python -m tests.learning.every_network docs/networks.md -->\n"
WAYS = [  # from what is asked for to what is left
    ("", {"size": 64, "dropout": 0.1}),
    ("`dropout: 0`", {"size": 64, "dropout": 0.0}),
    ("`image_size: 224`", {"size": 224, "dropout": 0.1}),
    ("`image_size: 224` and `dropout: 0`", {"size": 224, "dropout": 0.0}),
]


def refusal(library, name, settings):
    """The line by which a network is refused, None if it works; any other error is raised."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        try:
            trial(network(name, library, **settings), Path(folder))
        except LensvitError as error:
            assert "\n" not in str(error), f"more than a line: {error}"
            return str(error)
    return None


def tried(library, name):
    """The line by which a network is refused, and what works instead; both None if nothing is refused."""
    line = None
    for way, settings in WAYS:
        found = refusal(library, name, settings)
        if found is None:
            return line, way
        line = line or found
    return line, "nothing that was tried"


def document(rows):
    """The part of docs/networks.md that says what is refused, from (library, name, line, way) of every network."""
    groups = {}
    for library, name, line, way in rows:
        if line is not None:
            groups.setdefault((library, line.replace(name, "…"), way), []).append(name)
    counts = {library: sum(row[0] == library for row in rows) for library in ("torchvision", "transformers")}
    text = [
        MARK,
        f"All {counts['torchvision']} classifiers of torchvision {version('torchvision').split('+')[0]} and all "
        f"{counts['transformers']} image classification types of\ntransformers {version('transformers')} were trained "
        "for a step, saved, loaded and sampled, as the libraries build them by\ndefault, of random weights, at 64 pixels and "
        f"`dropout: 0.1`. {sum(row[2] is None for row in rows)} work so. The others are refused by these lines:\n",
        "| library | networks | line | what works |",
        "|---|---|---|---|",
    ]
    for (library, line, way), names in groups.items():
        text.append(f"| {library} | {', '.join(names)} | {line.replace('|', chr(92) + '|')} | {way} |")
    return "\n".join(text) + "\n"


def main(path=None):
    """Try all, print a table, and write what is refused into a file behind its mark."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows, broken = [], 0
    print("| library | network | works with | line | CPU time [s] |\n|---|---|---|---|---|")
    names = [("torchvision", name) for name in models.list_models(models)] + [("transformers", name) for name in TYPES]
    for library, name in names:
        started = time.process_time()
        try:
            line, way = tried(library, name)
            rows.append((library, name, line, way))
        except Exception as error:  # what this is here to find
            line, way, broken = f"{type(error).__name__}: {error}", "BROKEN", broken + 1
        print(f"| {library} | {name} | {way} | {line or ''} | {time.process_time() - started:.0f} |", flush=True)
    if path is not None and not broken:
        text = Path(path).read_text(encoding="utf-8").partition(MARK)[0]
        Path(path).write_text(text + document(rows), encoding="utf-8")
    return broken > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
