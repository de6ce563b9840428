"""A network in an archive of its own, for those who want its predictions and not its run."""

from __future__ import annotations

import os
from pathlib import Path

from lensvit.errors import LensvitError
from lensvit.io.files import read_json, read_text
from lensvit.release.archive import FORMAT, MANIFEST, dump, hashes, pack, short

# what `lensvit predict` reads, the model card, and how the network came about
SHARED = ("weights.safetensors", "config.json", "reference.json", "features.safetensors", "README.md", "history.csv",
          "provenance.json")  # fmt: skip


def share(model: Path, output: Path = Path("releases")) -> None:
    """Pack a network with its model card: ``{run}-{model}-{hash}.tar.gz``, which ``lensvit adopt`` installs.

    Parameters
    ----------
    model
        The network's folder, results/RUN/models/MODEL, described by `snakemake networks`.
    output
        The folder for the archive.

    Raises
    ------
    LensvitError
        If a file of the network is absent.
    """
    folder = Path(model)
    missing = [name for name in SHARED if not (folder / name).is_file()]
    if missing:
        raise LensvitError(
            f"{folder} lacks {', '.join(missing)}: `snakemake networks` makes what networks need that are passed on"
        )
    run = str(read_json(folder / "reference.json", "run")["run"])
    name = f"{run}-{folder.name}"
    # the card says how the network is loaded from where it is installed
    card = read_text(folder / "README.md").replace(str(folder), f"networks/{name}").encode()
    parts = {f"{name}/{file}": folder / file for file in SHARED if file != "README.md"}
    texts = {f"{name}/README.md": card}
    content = {"format": FORMAT, "run": name, "kind": "network", "files": hashes(parts, texts)}
    manifest = dump(content)
    archive = Path(output) / f"{name}-{short(manifest)}.tar.gz"
    pack(archive, {MANIFEST: manifest, **texts}, parts, level=9)
    print(f"{archive}: {archive.stat().st_size / 1e6:.1f} MB")


def install_network(name: str, staging: Path, networks: Path) -> None:
    """Put an unpacked network to its place, ``networks/{name}``.

    Raises
    ------
    LensvitError
        If there is a network of this name.
    """
    target = Path(networks) / name
    if target.exists():
        raise LensvitError(f"{target} is there already: move it away first")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(staging / name, target)
    print(f"adopted {target}, every hash right: lensvit predict --model {target} --image my.fits --output predictions")
