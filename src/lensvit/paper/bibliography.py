"""BibTeX entries as a numbered bibliography: read by pybtex, printed in one format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pybtex.bibtex.names import format_name
from pybtex.bibtex.utils import split_name_list, split_tex_string
from pybtex.database.input.bibtex import LowLevelParser, month_names
from pybtex.exceptions import PybtexError
from pybtex.utils import CaseInsensitiveDict

from lensvit.errors import LensvitError
from lensvit.io.files import first_line, read_text

Entry = dict[str, str]
MAX_AUTHORS = 4  # a longer list is cut to its first three names and "et al."
NAME = "{f.~}{vv~}{ll}{, jj}"  # BibTeX's pattern of a name: initials, particle, family name, suffix
PEOPLE = ("author", "editor")
PRINTED = (*PEOPLE, "title", "journal", "booktitle", "series", "howpublished", "volume", "pages", "year")  # as LaTeX
LINKS = ("doi", "eprint", "url")  # as they stand
_ESCAPED = re.compile(r"\\.")
_MATH = re.compile(r"\$[^$]*\$")
_BARE = re.compile(r"[&%#]")  # what LaTeX prints nowhere without a backslash
_BARE_TEXT = re.compile(r"[_^$]")  # and what it does not print outside of mathematics
_ACCENT = re.compile(r"""\\(?:[`'"^~=.]|[A-Za-z]+)""")  # the command of an accented letter


class Bibliography:
    """The entries of a .bib file and the keys cited so far, in order of citation.

    Parameters
    ----------
    entries
        Key to the fields of its entry.
    """

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries
        self.keys: list[str] = []
        self._printed = False

    def cite(self, *keys: str) -> str:
        r"""``\cite{...}`` for one or more keys, each of which joins the bibliography.

        Parameters
        ----------
        *keys
            Keys of the .bib file.

        Raises
        ------
        LensvitError
            If the .bib file has no such key, or the list of references has been printed without it.
        """
        for key in keys:
            if key not in self.entries:
                raise LensvitError(
                    f"the paper cites {key!r}, which references.bib does not have: add the entry or mend the key"
                )
            if key not in self.keys:
                if self._printed:
                    raise LensvitError(f"{key!r} is cited for the first time behind the list of references")
                self.keys.append(key)
        return rf"\cite{{{','.join(keys)}}}"

    def cited(self) -> list[tuple[str, str]]:
        """(key, LaTeX) of each entry cited so far, for the list of references."""
        self._printed = True
        return [(key, reference(self.entries[key])) for key in self.keys]


def read_bibliography(path: Path) -> Bibliography:
    """Parse a .bib file.

    Parameters
    ----------
    path
        The file, in UTF-8.

    Raises
    ------
    LensvitError
        For a file that is not well formed, a key or a field given twice, an entry without author or editor, title or
        year, one that takes fields from another entry (``crossref``), or text that LaTeX would not print. The message
        names the line.
    """
    text = read_text(path, remedy="copy it again")
    entries, lines = _parse(text, path)
    for key, entry in entries.items():
        _check(entry, f"{path}, line {lines[key]}: entry {key!r}")
    return Bibliography(entries)


def _parse(text: str, path: Path) -> tuple[dict[str, Entry], dict[str, int]]:
    """The entries by key, and the line in which each of them starts."""
    parser = LowLevelParser(text, macros=CaseInsensitiveDict(month_names))
    entries: dict[str, Entry] = {}
    lines: dict[str, int] = {}
    try:
        for kind, content in parser:
            if kind.lower() in ("string", "preamble"):
                continue
            key, fields = content
            lines.setdefault(key, line := text.count("\n", 0, parser.command_start) + 1)
            where = f"{path}, line {line}: "
            if key.lower() in (other.lower() for other in entries):
                raise LensvitError(f"{where}the key {key!r} stands there twice: remove or rename one")
            entries[key] = _fields(fields, f"{where}entry {key!r}")
    except PybtexError as error:
        line = text.count("\n", 0, parser.command_start or 0) + 1
        entry = parser.current_entry_key or "without a key"
        raise LensvitError(
            f"{path}, line {line}: entry {entry} is not well formed ({first_line(error)}): each field is "
            "name = {value}, with a comma behind it and each brace closed"
        ) from error
    return entries, lines


def _fields(pairs: Sequence[tuple[str, Sequence[str]]], where: str) -> Entry:
    """The fields of an entry by their names in lower case, each in one line."""
    fields: Entry = {}
    for name, parts in pairs:
        if name.lower() in fields:
            raise LensvitError(f"{where} has the field {name} twice: remove one")
        fields[name.lower()] = " ".join("".join(parts).split())
    return fields


def _check(entry: Entry, where: str) -> None:
    """Refuse what could not be printed."""
    absent = [name for name in ("title", "year") if not entry.get(name)]
    if not any(entry.get(role) for role in PEOPLE):
        absent.insert(0, "author")
    if absent:
        raise LensvitError(f"{where} has no {' and no '.join(absent)}")
    if "crossref" in entry:
        raise LensvitError(
            f"{where} has a crossref, which is not followed: write the fields of that entry into this one"
        )
    for name in PRINTED:
        text = _ESCAPED.sub("", entry.get(name, ""))
        found = _BARE.search(text) or _BARE_TEXT.search(_MATH.sub("", text))
        if found and found.group() == "$":
            raise LensvitError(f"{where}: a $ has no second one in the field {name}: close it, or write \\$")
        if found:
            raise LensvitError(f"{where}: LaTeX wants a backslash before {found.group()} in the field {name}")
    for name in LINKS:
        found = re.search(r"[\\{}$^]", entry.get(name, ""))
        if found:
            raise LensvitError(f"{where}: a link has no {found.group()}: mend the field {name}")
    for role in PEOPLE:
        names = split_name_list(entry.get(role, ""))
        if names == ["others"]:
            raise LensvitError(f"{where}: 'others' needs a name before it in the field {role}")
        for name in names:
            _check_name(name, where)


def _check_name(name: str, where: str) -> None:
    """Refuse a name that BibTeX would read in another way than it is meant."""
    parts = split_tex_string(name, ",")
    loose = any(word.lower() == "and" for word in split_tex_string(name))  # a name is absent beside it
    if loose or len(parts) > 3 or not all(parts):
        raise LensvitError(
            f"{where}: {name!r} is no name: write First von Last, or von Last, First, or von Last, Jr, First, with "
            '" and " between names'
        )
    given = split_tex_string(parts[-1]) if len(parts) > 1 else split_tex_string(name)[:-1]
    accent = next((word for word in given for part in word.split("-") if _ACCENT.match(part)), None)
    if accent is not None:
        raise LensvitError(f"{where}: put the accent of {accent!r} in braces, as in {{\\'E}}mile, for its initial")


# ---------------------------------------------------------------- format


def reference(entry: Entry) -> str:
    """One entry as LaTeX prints it: names, title, journal or book, year, link."""
    published = ", ".join(filter(None, (_place(entry), entry["year"])))
    parts = [f"{_people(entry)}: {entry['title']}", published, _link(entry)]
    return " ".join(part if part.endswith(("?", "!", ".")) else f"{part}." for part in parts if part)


def _people(entry: Entry) -> str:
    """The authors, or else the editors."""
    if entry.get("author"):
        return authors(entry["author"])
    several = len(split_name_list(entry["editor"])) > 1
    return f"{authors(entry['editor'])} ({'eds' if several else 'ed.'})"


def authors(names: str) -> str:
    """``First Middle Last and Other, Name`` as ``F. M. Last and N. Other``, by BibTeX's rules.

    Parameters
    ----------
    names
        Names with " and " between them; a name in braces is printed as it stands.
    """
    everyone = split_name_list(names)
    people = [format_name(name, NAME) for name in everyone if name != "others"]
    if len(people) < len(everyone) or len(people) > MAX_AUTHORS:
        return ", ".join(people[: min(3, len(everyone) - 1)]) + " et al."
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"


def _place(entry: Entry) -> str:
    place = entry.get("journal") or entry.get("booktitle") or entry.get("howpublished") or ""
    place = rf"\emph{{{place}}}" if place and "howpublished" not in entry else place
    volume = rf"\textbf{{{entry['volume']}}}" if "volume" in entry else ""
    series = entry.get("series", "")
    pages = re.sub(r"(?<=\d)-+(?=\d)", "--", entry.get("pages", ""))
    if series:
        return ", ".join(filter(None, (place, f"{series} {volume}".strip(), pages)))
    return ", ".join(filter(None, (f"{place} {volume}".strip(), pages)))


def _link(entry: Entry) -> str:
    if "doi" in entry:
        plain = entry["doi"].replace("_", r"\_")
        return rf"\href{{https://doi.org/{plain}}}{{doi:\linkname{{{entry['doi']}}}}}"
    if "eprint" in entry:
        return rf"\href{{https://arxiv.org/abs/{entry['eprint']}}}{{arXiv:{entry['eprint']}}}"
    return rf"\url{{{entry['url']}}}" if "url" in entry else ""
