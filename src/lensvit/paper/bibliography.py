"""BibTeX entries as a numbered bibliography, without BibTeX: a small parser, one format."""

from __future__ import annotations

import re
from pathlib import Path

from lensvit.errors import LensvitError
from lensvit.io.files import read_text

Entry = dict[str, str]
MAX_AUTHORS = 4  # a longer list is cut to its first three names and "et al."

_START = re.compile(r"@(\w+)\s*\{\s*([^\s,{}]+)\s*,")
_FIELD = re.compile(r"\s*(\w+)\s*=\s*")
_COMMA = re.compile(r"\s*,")
_CLOSING = re.compile(r"\s*\}")


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
        For an unfinished entry, a key given twice, or an entry without author, title or year.
    """
    text = read_text(path, remedy="copy it again")
    entries: dict[str, Entry] = {}
    position = 0
    while start := _START.search(text, position):
        key = start.group(2)
        if key in entries:
            raise LensvitError(f"{path}: the key {key!r} stands there twice: remove or rename one")
        fields, position = _fields(text, start.end(), f"{path}: entry {key!r}")
        absent = [name for name in ("author", "title", "year") if name not in fields]
        if absent:
            raise LensvitError(f"{path}: entry {key!r} has no {' and no '.join(absent)}")
        entries[key] = fields
    return Bibliography(entries)


def _fields(text: str, position: int, where: str) -> tuple[Entry, int]:
    """The fields of one entry and the position behind its closing brace."""
    fields: Entry = {}
    while match := _FIELD.match(text, position):
        value, position = _value(text, match.end(), where)
        fields[match.group(1).lower()] = " ".join(value.split())
        separator = _COMMA.match(text, position)
        position = separator.end() if separator else position
    closing = _CLOSING.match(text, position)
    if closing is None:
        near = text[position : position + 30].strip() or "the end of the file"
        raise LensvitError(f"{where} is not well formed near {near!r}: each field is name = {{value}}, in the braces")
    return fields, closing.end()


def _value(text: str, position: int, where: str) -> tuple[str, int]:
    """A braced, quoted or bare value and the position behind it."""
    bare = re.compile(r"\w+").match(text, position)
    if bare:
        return bare.group(), bare.end()
    opening = text[position : position + 1]
    depth = 0
    for index in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        closed = depth == 0 if opening == "{" else index > position and depth == 0 and text[index] == '"'
        if closed and opening in ("{", '"'):
            return text[position + 1 : index], index + 1
    raise LensvitError(f"{where}: a brace or a quotation mark is not closed")


# ---------------------------------------------------------------- format


def reference(entry: Entry) -> str:
    """One entry as LaTeX prints it: names, title, journal or book, year, link."""
    published = ", ".join(filter(None, (_place(entry), entry["year"])))
    parts = [f"{authors(entry['author'])}: {entry['title']}", published, _link(entry)]
    return " ".join(part if part.endswith(("?", "!", ".")) else f"{part}." for part in parts if part)


def authors(names: str) -> str:
    """``First Middle Last and Other, Name`` as ``F. M. Last and N. Other``."""
    people = [_person(name) for name in re.split(r"\s+and\s+", names)]
    if people[-1] == "others" or len(people) > MAX_AUTHORS:
        return ", ".join(people[: min(3, len(people) - 1)]) + " et al."
    return people[0] if len(people) == 1 else f"{', '.join(people[:-1])} and {people[-1]}"


def _person(name: str) -> str:
    if name.startswith("{") and name.endswith("}"):  # a collaboration
        return name[1:-1]
    if "," in name:
        last, first = (part.strip() for part in name.split(",", 1))
    else:
        first, _, last = name.strip().rpartition(" ")
    return "~".join([*(_initials(given) for given in first.split()), last])


def _initials(name: str) -> str:
    """``Yao-Yu`` as ``Y.-Y.``; an accented letter in braces counts as one letter."""
    return "-".join(re.findall(r"\{[^}]*\}|.", part)[0] + "." for part in name.split("-") if part)


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
