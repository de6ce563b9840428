"""Snakemake's report: what it shows has a caption, and every caption belongs to something."""

import re
from pathlib import Path

from lensvit.chapters.registry import CHAPTERS

ROOT = Path(__file__).parents[2]
CAPTIONS = {path.stem for path in (ROOT / "paper/captions").glob("*.rst")}
RULES = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))


def test_what_is_reported_has_a_caption_and_each_caption_is_used():
    named = re.findall(r'reported_(?:table|figure)\("(\w+)"\)', RULES)
    assert len(named) == len(set(named)) and {*named, "paper"} == CAPTIONS
    assert 'reported(f"{RUN}/paper/paper.pdf", "paper"' in RULES


def test_all_figures_of_the_paper_are_reported():
    figures = [figure for chapter in CHAPTERS.values() for figure in chapter.figures]
    assert [figure for figure in figures if f'reported_figure("{figure}")' not in RULES] == []


def test_captions_are_plain_sentences():
    for name in CAPTIONS:
        text = (ROOT / f"paper/captions/{name}.rst").read_text(encoding="utf-8")
        assert text.endswith(".\n") and len(text.split()) > 9, name
        assert not re.search(r"[{}*|`]", text.replace("``", "")), f"{name}: no templates, no markup beside ``code``"
