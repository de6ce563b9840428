"""The source of the paper in one archive, ready to upload."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

from lensvit.io.files import PUBLICATION_DATE, atomic, read_bytes


def archive(tex: Path, figures: list[Path], output: Path, references: Path | None = None) -> None:
    """Pack the source of the paper for an upload, so that it compiles by itself.

    The same inputs give the same bytes.

    Parameters
    ----------
    tex
        The document, with its bibliography inside.
    figures
        The PDF files that it includes.
    output
        The .tar.gz file.
    references
        references.bib, for the reader; LaTeX does not need it.

    Raises
    ------
    LensvitError
        If an input is absent.
    """
    members = {"paper.tex": tex} | {Path(figure).name: figure for figure in figures}
    if references is not None:
        members["references.bib"] = references
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, path in sorted(members.items()):
            data = read_bytes(path)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(data), PUBLICATION_DATE, 0o644
            tar.addfile(entry, io.BytesIO(data))
    with atomic(output) as temporary:
        temporary.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
