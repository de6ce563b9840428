from __future__ import annotations

from pathlib import Path

import pytest

from lensvit.errors import LensvitError
from lensvit.paper import bibliography

ENTRY = """A comment.
@article{doe2020,
  author = "Jane Q. Doe and Roe, Ann-Marie",
  title = {A {Nested {Title}}, with a comma},
  journal = {MNRAS}, volume = 12, pages = {1-9},
  year = 2020,
  doi = {10.1/a_b}
}
@misc{web, author = {{The Team}}, title = {Why?}, year = {2021}, url = {https://example.org}}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "references.bib"
    path.write_text(text, encoding="utf-8")
    return path


def test_read_and_format(tmp_path: Path) -> None:
    library = bibliography.read_bibliography(write(tmp_path, ENTRY))
    assert library.cite("web") == r"\cite{web}"
    assert library.cite("doe2020", "web") == r"\cite{doe2020,web}"
    assert library.cited() == [
        ("web", r"The Team: Why? 2021. \url{https://example.org}."),
        (
            "doe2020",
            r"J.~Q.~Doe and A.-M.~Roe: A {Nested {Title}}, with a comma. \emph{MNRAS} \textbf{12}, 1--9, 2020. "
            r"\href{https://doi.org/10.1/a\_b}{doi:\linkname{10.1/a_b}}.",
        ),
    ]


def test_unknown_key(tmp_path: Path) -> None:
    library = bibliography.read_bibliography(write(tmp_path, ENTRY))
    with pytest.raises(LensvitError, match=r"'nobody', which references.bib does not have"):
        library.cite("nobody")


def test_no_new_citation_behind_the_list(tmp_path: Path) -> None:
    library = bibliography.read_bibliography(write(tmp_path, ENTRY))
    library.cite("web")
    library.cited()
    library.cite("web")
    with pytest.raises(LensvitError, match="behind the list"):
        library.cite("doe2020")


@pytest.mark.parametrize(
    "text, message",
    [
        (ENTRY + ENTRY, "twice"),
        ("@misc{a, author = {A}, title = {open, year = 1", "not closed"),
        ("@misc{a, author = {A}, title = {T}, year = 1", "well formed near 'the end of the file'"),
        ("@misc{a, author = {A}, year = 1}", "has no title"),
        ("@misc{a, author = A B, title = {T}, year = 1}", "well formed near 'B"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LensvitError, match=message):
        bibliography.read_bibliography(write(tmp_path, text))


@pytest.mark.parametrize(
    "names, expected",
    [
        ("Simon Birrer", "S.~Birrer"),
        (r"Jos{\'e} Luis S{\'e}rsic", r"J.~L.~S{\'e}rsic"),
        (r"{\'E}mile Zola", r"{\'E}.~Zola"),
        ("A B and C D and E F and G H and I J", "A.~B, C.~D, E.~F et al."),
        ("A B and C D and E F", "A.~B, C.~D and E.~F"),
        ("A B and others", "A.~B et al."),
    ],
)
def test_authors(names: str, expected: str) -> None:
    assert bibliography.authors(names) == expected


def test_the_papers_own_entries_are_whole() -> None:
    library = bibliography.read_bibliography(Path(__file__).parents[2] / "paper" / "references.bib")
    assert len(library.entries) > 20
    for key, entry in library.entries.items():
        assert {"doi", "eprint", "url", "journal"} & set(entry), key
