"""codemeta.json and .zenodo.json, from CITATION.cff and pyproject.toml.

``make metadata`` (``python -m lensvit.release.citation``) writes both; a test holds them against these two files.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lensvit.io.files import read_text, read_yaml, write_text

CITATION, PROJECT = "CITATION.cff", "pyproject.toml"


def metadata(root: Path = Path()) -> dict[str, str]:
    """Name to text of each file.

    Parameters
    ----------
    root
        The clone.
    """
    citation = read_yaml(root / CITATION)
    project = tomllib.loads(read_text(root / PROJECT))["project"]
    return {"codemeta.json": _dump(_codemeta(citation, project)), ".zenodo.json": _dump(_zenodo(citation))}


def _codemeta(citation: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """https://codemeta.github.io/terms."""
    return {
        "@context": "https://w3id.org/codemeta/3.0",
        "@type": "SoftwareSourceCode",
        "name": project["name"],
        "description": citation["abstract"].strip(),
        "version": project["version"],
        "license": f"https://spdx.org/licenses/{citation['license']}",
        "author": [{"@type": "Organization", "name": author["name"]} for author in citation["authors"]],
        "keywords": citation["keywords"],
        "programmingLanguage": ["Python", "Snakemake"],
        "runtimePlatform": f"Python {project['requires-python']}",
        "operatingSystem": ["Linux"],
        "softwareRequirements": project["dependencies"],
        "developmentStatus": "active",
        "referencePublication": {
            "@type": "ScholarlyArticle",
            "name": citation["preferred-citation"]["title"],
            "identifier": _preprint(citation),
            "author": [
                {"@type": "Person", "givenName": author["given-names"], "familyName": author["family-names"]}
                for author in citation["preferred-citation"]["authors"]
            ],
        },
    }


def _zenodo(citation: Mapping[str, Any]) -> dict[str, Any]:
    """What Zenodo reads from a repository, in place of CITATION.cff where both are there."""
    related = [{"identifier": _preprint(citation), "relation": "references", "resource_type": "publication"}]
    related += [
        {"identifier": entry["repository-code"], "relation": "references", "resource_type": "software"}
        for entry in citation["references"]
    ]
    return {
        "title": citation["title"],
        "description": citation["abstract"].strip(),
        "upload_type": "software",
        "version": citation["version"],
        "license": citation["license"],
        "access_right": "open",
        "creators": [{"name": author["name"]} for author in citation["authors"]],
        "keywords": citation["keywords"],
        "related_identifiers": related,
    }


def _preprint(citation: Mapping[str, Any]) -> str:
    return next(entry["value"] for entry in citation["preferred-citation"]["identifiers"])


def _dump(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, text in metadata().items():
        write_text(Path(name), text)
        print(name)
