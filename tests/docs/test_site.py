"""The pages of the documentation: navigation, links, anchors, reference, pictures; and the site as it is built."""

import importlib.util
import os
import posixpath
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOP = {"index.md": "README.md", "changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}
CODE = re.compile(r"^(```|~~~).*?^\1[`~]*$|^(?: {4}|\t).*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"\[[^\]]*\]\[(lensvit[\w.]*)\]")
NEEDED = ("mkdocs", "material", "mkdocstrings", "latex2mathml")
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in TOP.values())]


def name(path):
    return path.relative_to(ROOT).as_posix()


def navigation(entries):
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else (entry,):
            yield from navigation(value) if isinstance(value, list) else (value,)


def settings():
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def text_of(path):
    """A page without its code, in which brackets are no links."""
    return CODE.sub("", path.read_text(encoding="utf-8"))


def anchors(path):
    """The ids of a page's headings, as mkdocs and forges make them of plain headings."""
    text = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}


def test_every_page_is_in_the_navigation_once():
    listed = sorted(navigation(settings()["nav"]))
    assert listed == sorted([*(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")), *TOP])


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_page_has_one_title(page):
    assert len(re.findall(r"^# .+$", text_of(page), re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    wrong = []
    for link in LINK.findall(text_of(page)):
        parts = urlsplit(link)
        if parts.scheme:
            continue
        target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
        there = target.is_file() and target.is_relative_to(ROOT)
        if not there or (parts.fragment and parts.fragment not in anchors(target)):
            wrong.append(link)
    assert wrong == []


# ---------------------------------------------------------------- reference


def shown():
    """Page to the names that it shows the docstrings of."""
    return {
        page.stem: re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        for page in (DOCS / "reference").glob("*.md")
    }


def source(module):
    """The file of a module, or None."""
    path = ROOT / "src" / module.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def has(full):
    """Whether a module, or a function or class of one, exists."""
    module, _, own = full.rpartition(".")
    if source(full):
        return True
    file = source(module)
    return bool(file and re.search(rf"^(?:def|class) {own}\b", file.read_text(encoding="utf-8"), re.MULTILINE))


def test_what_the_reference_shows_exists():
    named = [full for names in shown().values() for full in names]
    named += [full for page in PAGES for full in REFERENCE.findall(page.read_text(encoding="utf-8"))]
    assert [full for full in named if not has(full)] == []
    assert len(named) > 50


def test_the_reference_has_every_module_of_its_packages():
    pages = shown()
    assert pages.pop("index") == ["lensvit.observations.api.fit"]
    listed = sorted(full for names in pages.values() for full in names)
    packages = {full.rsplit(".", 1)[0] for full in listed} - {"lensvit"}
    modules = [
        f"{package}.{file.stem}"
        for package in packages
        for file in (ROOT / "src" / package.replace(".", "/")).glob("[!_]*.py")
    ]
    assert listed == sorted([*modules, "lensvit.errors", "lensvit.parameters"])


# ---------------------------------------------------------------- README, pictures, tools


def test_the_first_screen_has_both_commands_and_what_comes_out():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    screen, _, rest = text.partition("## Where to go")
    assert rest and len(text.splitlines()) < 80
    assert "\n    make paper " in screen and "\n    make test " in screen
    assert re.findall(r"docs/pictures/(\w+)\.png", screen) == ["lenses", "page1", "figure2"]


def test_commands_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    said = {
        command
        for page in PAGES
        for code in CODE.finditer(page.read_text(encoding="utf-8"))
        for command in re.findall(r"(?:^|`) *make ([a-z-]+)", code[0], re.MULTILINE)
    }
    assert {"paper", "test", "docs"} <= said
    assert said - targets == set()


def test_pictures_are_small_and_shown():
    pictures = list((DOCS / "pictures").iterdir())
    assert pictures and max(path.stat().st_size for path in pictures) < 200_000
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [path.name for path in pictures if f"pictures/{path.name}" not in text] == []


def test_the_tools_of_the_site_are_pinned():
    lines = (DOCS / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[\[<>=]", one)[0] for one in project["optional-dependencies"]["docs"]}
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert asked <= pinned


# ---------------------------------------------------------------- the site


class Page(HTMLParser):
    """What a page of the site fetches by itself, its text, and its formulas."""

    def __init__(self, path):
        super().__init__()
        self.fetched, self.links, self.text, self.formulas, self.code = [], [], [], 0, 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.formulas += tag == "math"
        self.code += tag in ("code", "script", "style")
        if tag in ("script", "img", "iframe") and "src" in values:
            self.fetched.append(values["src"])
        if tag == "link" and values.get("rel") != "canonical":
            self.fetched.append(values["href"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])

    def handle_endtag(self, tag):
        self.code -= tag in ("code", "script", "style")

    def handle_data(self, data):
        if not self.code:
            self.text.append(data)


def python():
    """A Python with the site's tools: this one, or that of `make docs`; None if there is none."""
    if all(importlib.util.find_spec(module) for module in NEEDED):
        return Path(sys.executable)
    own = ROOT / ".venv-docs/bin/python"
    return own if (ROOT / ".venv-docs/installed").is_file() else None


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if python() is None:
        pytest.skip("needs mkdocs, mkdocs-material, mkdocstrings and latex2mathml: make docs installs them")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [python(), "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return {path.relative_to(folder).as_posix(): Page(path) for path in folder.rglob("*.html")}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(site):
    listed = [path.replace(".md", ".html") for path in navigation(settings()["nav"])]
    assert [page for page in listed if page not in site] == []
    assert {"repository/runs/night.yaml.html", "repository/CITATION.cff.html"} <= set(site)


@pytest.mark.slow
def test_the_site_fetches_nothing_from_elsewhere(site):
    assert {one for page in site.values() for one in page.fetched if urlsplit(one).scheme not in ("", "data")} == set()


@pytest.mark.slow
def test_links_of_the_site_lead_to_its_pages(site):
    wrong = {
        link
        for path, page in site.items()
        if path != "404.html"
        for link in page.links
        if not urlsplit(link).scheme and urlsplit(link).path not in ("", ".")
        if posixpath.normpath(posixpath.join(posixpath.dirname(path), urlsplit(link).path)) not in site
    }
    assert wrong == set()


@pytest.mark.slow
def test_formulas_are_drawn_by_the_browser(site):
    assert site["science.html"].formulas > 80 and site["reference/inference.html"].formulas > 40
    left = re.compile(
        r":(?:math|mod|func|class|meth|data|attr):|\$\$|\\(?:frac|tfrac|sum|alpha|beta|mathrm)\b|\.\. math"
    )
    found = {path: left.search("".join(page.text)) for path, page in site.items()}
    assert {path: match[0] for path, match in found.items() if match} == {}
