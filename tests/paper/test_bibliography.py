from __future__ import annotations

from pathlib import Path

import pytest

from lensvit.errors import LensvitError
from lensvit.paper import bibliography

ENTRY = r"""A comment.
@string{mn = "MNRAS"}
@article{doe2020,
  author = "Jane Q. Doe and Roe, Ann-Marie",
  title = {A {Nested {Title}}, with a comma},
  journal = mn # { Letters}, volume = 12, pages = {1-9},
  Year = 2020,
  doi = {10.1/a_b}
}
@comment{doe2020, author = {Nobody}}
@misc(web, author = {{The Team and Friends}}, title = {Why?}, year = {2021}, url = {https://example.org})
@inproceedings{part, author = {Emil von Berg}, title = {A part}, booktitle = {The whole}, series = {LN},
  volume = 3, pages = {e$_1$--e\_2}, year = 1999}
@proceedings{whole, editor = {Otto Klein and Ada Gross}, title = {The whole}, year = 1999, series = {LN}, volume = 3,
  author = {}}
"""
DOE = (
    r"J.~Q. Doe and A.-M. Roe: A {Nested {Title}}, with a comma. \emph{MNRAS Letters} \textbf{12}, 1--9, 2020. "
    r"\href{https://doi.org/10.1/a\_b}{doi:\linkname{10.1/a_b}}."
)


def write(folder: Path, text: str) -> Path:
    path = folder / "references.bib"
    path.write_text(text, encoding="utf-8")
    return path


def test_read_and_format(tmp_path: Path) -> None:
    library = bibliography.read_bibliography(write(tmp_path, ENTRY))
    assert library.cite("web") == r"\cite{web}"
    assert library.cite("doe2020", "web") == r"\cite{doe2020,web}"
    assert library.cited() == [
        ("web", r"{The Team and Friends}: Why? 2021. \url{https://example.org}."),
        ("doe2020", DOE),
    ]


def test_a_part_of_a_book_and_a_book_of_editors(tmp_path: Path) -> None:
    library = bibliography.read_bibliography(write(tmp_path, ENTRY))
    library.cite("part", "whole")
    assert [text for _, text in library.cited()] == [
        r"E.~von Berg: A part. \emph{The whole}, LN \textbf{3}, e$_1$--e\_2, 1999.",
        r"O.~Klein and A.~Gross (eds): The whole. LN \textbf{3}, 1999.",
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
    "text, line, message",
    [
        (ENTRY + ENTRY, 18, "the key 'doe2020' stands there twice"),
        (ENTRY + "@misc{Web, author = {A}, title = {T}, year = 1}", 16, "the key 'Web' stands there twice"),
        (
            "\n@misc{a, author = {A}, title = {open, year = 1",
            2,
            r"entry a is not well formed \(.*premature end of file",
        ),
        ('@misc{a, author = "A}", title = {T}, year = 1}', 1, r"entry a is not well formed \(.*unbalanced braces"),
        ("@misc{a, author = {A}, title = {T}, year = 1", 1, "entry a is not well formed"),
        ("@misc{a, author = {A} title = {T}, year = 1}", 1, "entry a is not well formed"),
        ("\n\n@misc{a, author = {A}, year = 1}", 3, "entry 'a' has no title"),
        ("@misc{a, title = {}}", 1, "entry 'a' has no author and no title and no year"),
        ("@misc{a, author = {A}, author = {B}, title = {T}, year = 1}", 1, "entry 'a' has the field author twice"),
        ("@misc{a, author = A B, title = {T}, year = 1}", 1, r"entry a is not well formed \(undefined string .*: A\)"),
        ("@misc{a, author = {A}, title = {T}, year = 1, crossref = {b}}", 1, "has a crossref, which is not followed"),
        ("@misc{a, author = {A}, title = {R & D}, year = 1}", 1, "a backslash before & in the field title"),
        ("@misc{a, author = {A}, title = {T}, year = 1, pages = {1_2}}", 1, "a backslash before _ in the field pages"),
        ("@misc{a, author = {A}, title = {T}, year = 1, volume = {1#}}", 1, "a backslash before # in the field volume"),
        ("@misc{a, author = {A}, title = {T}, year = 1, journal = {$a^2$ ^}}", 1, r"a backslash before \^ in"),
        (
            "@misc{a, author = {A}, title = {costs $5 or more}, year = 1}",
            1,
            r"a \$ has no second one in the field title",
        ),
        (
            r"@misc{a, author = {A}, title = {T}, year = 1, doi = {10.1/a\_b}}",
            1,
            r"a link has no \\: mend the field doi",
        ),
        (
            "@misc{a, author = {others}, title = {T}, year = 1}",
            1,
            "'others' needs a name before it in the field author",
        ),
        ("@misc{a, author = {}, editor = {}, title = {T}, year = 1}", 1, "entry 'a' has no author"),
        ("@misc{a, author = {A, B, C, D}, title = {T}, year = 1}", 1, "'A, B, C, D' is no name"),
        ("@misc{a, author = {A and and B}, title = {T}, year = 1}", 1, "is no name"),
        (r"@misc{a, author = {\'Emile Zola}, title = {T}, year = 1}", 1, "put the accent of .* in braces"),
        (r"@misc{a, author = {Zola, Jean-\'Emile}, title = {T}, year = 1}", 1, "put the accent of .* in braces"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(LensvitError, match=message) as error:
        bibliography.read_bibliography(write(tmp_path, text))
    assert str(error.value).startswith(f"{tmp_path / 'references.bib'}, line {line}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "names, expected",
    [
        ("Simon Birrer", "S.~Birrer"),
        ("Joshua Yao-Yu Lin", "J.~Y.-Y. Lin"),
        # particles, from either order
        ("Cajo J. F. ter Braak", "C.~J.~F. ter Braak"),
        ("Sjoert van Velzen", "S.~van Velzen"),
        ("van der Wel, Arjen", "A.~van~der Wel"),
        ("Del Moral, Pierre", "P.~Del~Moral"),
        ("Perreault Levasseur, Laurence", "L.~Perreault~Levasseur"),
        # suffixes
        ("King, Jr., Martin Luther", "M.~L. King, Jr."),
        # accents
        (r"Jos{\'e} Luis S{\'e}rsic", r"J.~L. S{\'e}rsic"),
        (r"{\'E}mile Zola", r"{\'E}.~Zola"),
        ("Émile Zola", "É.~Zola"),
        (r"{\O}yvind Lo\`eve", r"{\O}.~Lo\`eve"),
        (r"Petr \v{S}imon", r"P.~\v{S}imon"),
        # who is no person
        ("{Planck Collaboration and Friends}", "{Planck Collaboration and Friends}"),
        ("{The Team} and Jane Doe", "{The Team} and J.~Doe"),
        # how many
        ("A B and C D and E F and G H and I J", "A.~B, C.~D, E.~F et al."),
        ("A B and C D and E F", "A.~B, C.~D and E.~F"),
        ("A B and others", "A.~B et al."),
        ("A B and C D and others", "A.~B, C.~D et al."),
    ],
)
def test_authors(names: str, expected: str) -> None:
    assert bibliography.authors(names) == expected


def test_the_papers_own_entries_are_whole() -> None:
    library = bibliography.read_bibliography(Path(__file__).parents[2] / "paper" / "references.bib")
    assert len(library.entries) > 20
    for key, entry in library.entries.items():
        assert {"doi", "eprint", "url", "journal"} & set(entry), key
        printed = bibliography.reference(entry)
        assert entry["title"] in printed and entry["year"] in printed
        assert ". ." not in printed and ".." not in printed and "  " not in printed, key
