"""Docstrings as Markdown, for the API reference: they are written in the terms of Sphinx."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*(.*)\n?((?:(?:\1[ ]+.*)?(?:\n|\Z))*)", re.MULTILINE)
INLINE = re.compile(r":math:`([^`]+)`")
PARAMETERS = re.compile(r"^Parameters\n-+$", re.MULTILINE)
ROLE = re.compile(r":(?:mod|class|func|meth|data|attr):`~?([^`]+)`")


def markdown_of(text: str, resolve: Any = None) -> str:
    """The same text in Markdown.

    Parameters
    ----------
    text
        A docstring.
    resolve
        Function from a name in it to the full name; None: names are full.
    """

    def block(match: re.Match[str]) -> str:
        indent, first, rest = match.groups()
        lines = [line for line in (first, *textwrap.dedent(rest).splitlines()) if line.strip()]
        return "\n".join([f"{indent}{line}" for line in ("", "$$", *lines, "$$", "")]) + "\n"

    def role(match: re.Match[str]) -> str:
        name = match[1].removeprefix(".")
        full = resolve(name) if resolve else name
        return f'<autoref optional identifier="{full}"><code>{name}</code></autoref>'

    text = BLOCK.sub(block, text)
    text = INLINE.sub(lambda match: f"${' '.join(match[1].split())}$", text)
    return ROLE.sub(role, text).replace("\\|", "|")


class Markdown(griffe.Extension):
    """Turns every docstring into Markdown as it is read."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Turn the docstring of an object that has been read."""

        def resolve(name: str) -> str:
            if name.startswith("lensvit"):
                return name
            try:
                return obj.resolve(name)
            except griffe.NameResolutionError:
                return f"{obj.path}.{name}"

        if obj.docstring is None:
            return
        text = markdown_of(obj.docstring.value, resolve)
        if isinstance(obj, griffe.Class) and any(str(base) == "NamedTuple" for base in obj.bases):
            text = PARAMETERS.sub("Attributes\n----------", text)  # fields, for which no constructor is seen
        obj.docstring.value = text
