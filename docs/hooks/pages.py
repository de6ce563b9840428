"""What ``make docs`` does beside what mkdocs does: pages from files of the repository, and formulas.

Three pages stand in the top folder, where readers of the repository look for them: README.md is the site's first page.
Pages also link to files of the repository, such as a run's settings. Each such file becomes a page of the site, outside
of the navigation, so that the links hold wherever the site lies, on a disk or on a server, and name no host.

Formulas become MathML while the site is built. Browsers draw it by themselves: no script, no font and no network.
"""

from __future__ import annotations

import html
import logging
import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files, InclusionLevel

LOG = logging.getLogger("mkdocs.hooks.pages")
ROOT = Path(__file__).resolve().parents[2]
TOP = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
FOLDER = "repository"  # of the pages that show other files
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".toml": "toml", ".smk": "python"}
OPENING = "(?:<mrow>|>(?:&#x00028;|&#x0005B;|&#x0007B;|&#x0003D;|[\\[{])</mo>)"
SPACING = [  # of operators, which have that of sums and fractions everywhere else
    (re.compile(r"<mi>&#x0007E;</mi>"), "<mo>&#x0223C;</mo>"),
    (
        re.compile(r"<mo(?![^>]*fence)[^>]*>(&#x0007C;|&#x0002F;)</mo>"),
        r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>',
    ),
    (re.compile(f"({OPENING})<mo>&#x02212;</mo>"), r'\1<mo form="prefix">&#x02212;</mo>'),
]


def source_of(page: str) -> str:
    """The file of the repository that a page is made from."""
    for source, name in TOP.items():
        if page == name:
            return source
    path = page.removeprefix(f"{FOLDER}/")
    if path == page:
        return f"docs/{page}"
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def page_of(source: str) -> str:
    """The page that a file of the repository becomes; inverse of :func:`source_of`."""
    if source in TOP:
        return TOP[source]
    if source.startswith("docs/"):
        return source.removeprefix("docs/")
    return f"{FOLDER}/{source}" if source.endswith(".md") else f"{FOLDER}/{source}.md"


def target(source: str, link: str) -> str | None:
    """The file of the repository that a relative link means, from the file that has it; None if there is none."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def relinked(markdown: str, source: str) -> str:
    """The text of a file with its links to other files of the repository as links between pages."""
    start = posixpath.dirname(page_of(source)) or "."

    def link(match: re.Match[str]) -> str:
        opening, path, anchor, closing = match.groups()
        file = target(source, path)
        if file is None:
            return match[0]
        return f"{opening}{posixpath.relpath(page_of(file), start)}{anchor or ''}{closing}"

    return LINK.sub(link, markdown)


def shown(source: str) -> str:
    """The Markdown of a page that shows a file."""
    text = (ROOT / source).read_text(encoding="utf-8")
    if source.endswith(".md"):
        return text
    language = LANGUAGES.get(Path(source).suffix, "text")
    return f"# {source}\n\n~~~~ {language}\n{text.rstrip()}\n~~~~\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand outside of docs/, and those of all files that pages link to."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, content=shown(source)))
    waiting = [file.src_uri for file in files.documentation_pages()]
    while waiting:
        source = source_of(waiting.pop())
        for _, link, _, _ in LINK.findall((ROOT / source).read_text(encoding="utf-8")):
            file = target(source, link)
            if file is None or file.startswith("docs/") or files.get_file_from_path(page_of(file)):
                continue
            own = File.generated(config, page_of(file), content=shown(file), inclusion=InclusionLevel.NOT_IN_NAV)
            files.append(own)
            if file.endswith(".md"):
                waiting.append(own.src_uri)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links between pages."""
    source = source_of(page.file.src_uri)
    return relinked(markdown, source) if source.endswith(".md") else markdown


def mathml(latex: str, display: bool) -> str:
    r"""A formula as MathML.

    Parameters
    ----------
    latex
        LaTeX, without its delimiters.
    display
        Whether it stands on lines of its own.
    """
    latex = re.sub(r"\\mathrm\s*\{([A-Za-z]+)\}", r"\\text{\1}", latex)  # else single letters are italic
    latex = re.sub(r"\\(ln|exp|cos|sin)\b\s*(?=[A-Za-z|\d\\])(?!\\left)", r"\\\1\\,", latex)
    result = convert(latex, display="block" if display else "inline")
    for pattern, better in SPACING:
        result = pattern.sub(better, result)
    if "\\" in html.unescape(result):
        LOG.warning("a formula with a command that MathML does not know: %s", latex)
    return result


def on_page_content(text: str, page: Any, config: Any, files: Files) -> str:
    """Turn formulas into MathML."""

    def formula(match: re.Match[str]) -> str:
        latex = html.unescape(match[2]).strip()
        return mathml(latex[2:-2].strip(), display=match[1] == "div")

    return FORMULA.sub(formula, text)
