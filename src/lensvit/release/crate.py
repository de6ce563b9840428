"""What a release says of itself to programs of others: ro-crate-metadata.json, after Workflow Run RO-Crate.

https://www.researchobject.org/workflow-run-crate/profiles/workflow_run_crate has what each entry means. All of it
follows from the run's files, Snakemake's records and the rules, so that the same results give the same bytes: times are
those of the jobs, and names are numbered in the order of the jobs. It is written without a library for that reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lensvit.errors import LensvitError
from lensvit.io.files import PUBLICATION_DATE, read_bytes

NAME = "ro-crate-metadata.json"
WORKFLOW = "workflow"  # folder of the Snakefile and the rules in a release
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
LANGUAGE = {
    "@id": "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
    "@type": "ComputerLanguage",
    "name": "Snakemake",
    "identifier": {"@id": "https://doi.org/10.1093/bioinformatics/bts480"},
    "url": {"@id": "https://snakemake.readthedocs.io"},
}
LICENSE = {
    "@id": "https://spdx.org/licenses/MIT",
    "@type": "CreativeWork",
    "name": "MIT License",
    "description": "of the program and of what it computes",
}
ORIGINAL = {
    "@id": "https://arxiv.org/abs/2210.04143",
    "@type": "ScholarlyArticle",
    "name": "Strong Gravitational Lensing Parameter Estimation with Vision Transformer",
}
AUTHOR = {"@id": "#authors", "@type": "Organization", "name": "lensvit developers"}  # as CITATION.cff
FORMATS = {
    ".csv": "text/csv",
    ".h5": "application/x-hdf5",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".smk": "text/plain",
    ".tex": "application/x-tex",
    ".tsv": "text/tab-separated-values",
    ".yaml": "application/yaml",
    ".fits": "application/fits",
    ".gz": "application/gzip",
}
# what goes in and what comes out, as a reader of the paper would say
INPUTS = {"config": ("settings/numbers.yaml", "the config of the run, as resolved")}
OUTPUTS = {
    "table1": ("tables/table1.csv", "Table 1: the error of each method for each target"),
    "numbers": ("numbers.json", "every number that the paper prints"),
    "paper": ("paper/paper.pdf", "the paper"),
}


def workflow_files(root: Path = Path()) -> dict[str, bytes]:
    """The workflow as it lies in the clone: path in the crate to text.

    Parameters
    ----------
    root
        The clone.

    Raises
    ------
    LensvitError
        If there is none.
    """
    if not (root / "Snakefile").is_file():
        raise LensvitError("there is no Snakefile: start in the clone, whose rules a release describes")
    paths = [root / "Snakefile", *sorted(root.glob("rules/*.smk"))]
    return {f"{WORKFLOW}/{path.relative_to(root).as_posix()}": read_bytes(path) for path in paths}


def describe(
    run: str,
    scale: str,
    files: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
    versions: Iterable[Mapping[str, str]],
) -> bytes:
    """The text of the file.

    Parameters
    ----------
    run
        The run's name.
    scale
        How large it is, by the word of its config.
    files
        Path in the run's folder to the ``sha256`` and the ``size`` of each file, the workflow's included.
    known
        Snakemake's records: path of the output to record.
    left_out
        Path in the run's folder to the SHA-256, of files that the archive does not have.
    versions
        Package to version, as each model's training wrote them down.
    """
    jobs = _jobs(run, known)
    software = sorted({pair for found in versions for pair in found.items()})
    program = [version for name, version in software if name == "lensvit"]
    ends = [job["end"] for job in jobs if job["end"]]
    ended = _time(max(ends)) if ends else _time(PUBLICATION_DATE)
    absent: dict[str, dict[str, Any]] = {}

    def referred(paths: Iterable[str]) -> Any:
        """References to files of the run; one that is not in the archive is described as such."""
        found = []
        for path in paths:
            if path in files:
                found.append({"@id": path})
            else:
                name = f"#left-out/{path}"
                digest = {"sha256": left_out[path]} if path in left_out else {}
                absent[name] = {"@id": name, "@type": "CreativeWork", "name": path, **digest}
                found.append({"@id": name})
        return _one(found)

    actions = [
        {
            "@id": f"#job-{number:04d}-{job['rule']}",
            "@type": "CreateAction",
            "name": f"{job['rule']}: {job['outputs'][0]}",
            "description": job["command"] or f"a job of the rule {job['rule']}",
            "instrument": {"@id": "#lensvit"},
            "object": referred(job["inputs"]),
            "result": referred(job["outputs"]),
            **({"startTime": _time(job["start"]), "endTime": _time(job["end"])} if job["end"] else {}),
        }
        for number, job in enumerate(jobs, 1)
    ]
    main = f"{WORKFLOW}/Snakefile"
    inputs = {name: said for name, said in INPUTS.items() if said[0] in files}
    outputs = {name: said for name, said in OUTPUTS.items() if said[0] in files}
    starts = [job["start"] for job in jobs if job["start"]]
    whole = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"the run {run}",
        "description": f"snakemake, until results/{run}/paper/paper.pdf was there; the jobs are actions of their own",
        "instrument": {"@id": main},
        "object": _one([{"@id": path} for path in sorted(files) if path.startswith("settings/")]),
        "result": _one([{"@id": path} for path in sorted(files) if _is_result(path)]),
        **({"startTime": _time(min(starts))} if starts else {}),
        "endTime": ended,
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }
    return _dump(
        [
            {
                "@id": NAME,
                "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": [{"@id": CRATE}, {"@id": WORKFLOW_CRATE}],
            },
            {
                "@id": "./",
                "@type": "Dataset",
                "name": f"lensvit: results of the run {run}",
                "description": (
                    f"Results of one run ({scale} scale) of a workflow that makes anew the paper of Huang et al. 2022: "
                    "table, figures, predictions, numbers, and the paper around them. Images and weights are not here."
                ),
                "datePublished": ended[:10],
                "license": {"@id": LICENSE["@id"]},
                "author": {"@id": AUTHOR["@id"]},
                "citation": {"@id": ORIGINAL["@id"]},
                "conformsTo": [{"@id": profile} for profile in PROFILES],
                "mainEntity": {"@id": main},
                "hasPart": [{"@id": path} for path in sorted(files)],
                "mentions": [{"@id": action["@id"]} for action in (whole, *actions)],
            },
            *(
                {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
                for profile, (name, version) in PROFILES.items()
            ),
            *(_file(path, files[path], main, program, inputs, outputs) for path in sorted(files)),
            *_parameters("input", inputs),
            *_parameters("output", outputs),
            whole,
            *actions,
            *(absent[name] for name in sorted(absent)),
            {
                "@id": "#lensvit",
                "@type": "SoftwareApplication",
                "name": "lensvit",
                "description": "each job is a command `lensvit STAGE`",
                **({"softwareVersion": program[-1]} if program else {}),
                "softwareRequirements": [{"@id": _software(*pair)} for pair in software if pair[0] != "lensvit"],
            },
            *(
                {"@id": _software(*pair), "@type": "SoftwareApplication", "name": pair[0], "softwareVersion": pair[1]}
                for pair in software
                if pair[0] != "lensvit"
            ),
            LANGUAGE,
            LICENSE,
            ORIGINAL,
            AUTHOR,
        ]
    )


def _dump(graph: list[dict[str, Any]]) -> bytes:
    context = [f"{CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]
    return (json.dumps({"@context": context, "@graph": graph}, indent=1, ensure_ascii=False) + "\n").encode()


def _one(values: list[dict[str, str]]) -> Any:
    """A list, or the only one of it, as the specification asks for."""
    return values[0] if len(values) == 1 else values


def _is_result(path: str) -> bool:
    """Whether a file is one for readers, and neither what a job read nor a note about another file."""
    folder = path.partition("/")[0]
    return folder not in ("settings", "benchmarks", WORKFLOW) and not path.endswith(".sha256")


def _file(
    path: str,
    known: Mapping[str, Any],
    main: str,
    program: list[str],
    inputs: Mapping[str, tuple[str, str]],
    outputs: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """The entry of a file; that of the Snakefile is the workflow's too."""
    entry: dict[str, Any] = {
        "@id": path,
        "@type": "File",
        "name": path,
        "contentSize": str(known["size"]),
        "encodingFormat": FORMATS.get(Path(path).suffix, "text/plain"),
        "sha256": known["sha256"],
    }
    for kind, parameters in (("input", inputs), ("output", outputs)):
        for name, (of, said) in parameters.items():
            if of == path:
                entry |= {"description": said, "exampleOfWork": {"@id": _parameter(kind, name)}}
    if path == main:
        entry |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "lensvit",
            "description": "from settings to the paper; it includes the rules beside it, and needs the clone's package",
            "programmingLanguage": {"@id": LANGUAGE["@id"]},
            "license": {"@id": LICENSE["@id"]},
            "creator": {"@id": AUTHOR["@id"]},
            "conformsTo": {"@id": "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"},
            "input": _one([{"@id": _parameter("input", name)} for name in inputs]),
            "output": _one([{"@id": _parameter("output", name)} for name in outputs]),
            "softwareRequirements": {"@id": "#lensvit"},
            **({"version": program[-1]} if program else {}),
        }
    return entry


def _parameters(kind: str, parameters: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "@id": _parameter(kind, name),
            "@type": "FormalParameter",
            "name": name,
            "description": said,
            "additionalType": "File",
            "workExample": {"@id": path},
        }
        for name, (path, said) in parameters.items()
    ]


def _parameter(kind: str, name: str) -> str:
    return f"#{kind}-{name}"


def _software(name: str, version: str) -> str:
    """The name of a package of Python as a package URL."""
    return f"pkg:pypi/{name}@{quote(version)}"


def _jobs(run: str, known: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The jobs, in their order in time: Snakemake has a record for each output, and a job may have several."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for output, record in sorted(known.items()):
        start, end = float(record.get("starttime") or 0), float(record.get("endtime") or 0)
        rule, command = str(record.get("rule") or "job"), " ".join(str(record.get("shellcmd") or "").split())
        new = {"rule": rule, "command": command, "start": start, "end": end, "outputs": []}
        job = found.setdefault((rule, command or output), new)
        job |= {"start": min(start, job["start"]), "end": max(end, job["end"])}
        job["outputs"] += _inside(run, [output])
        job["inputs"] = _inside(run, record.get("input") or ())
    jobs = [job for job in found.values() if job["outputs"]]
    return sorted(jobs, key=lambda job: (job["start"], job["rule"], job["outputs"]))


def _inside(run: str, paths: Iterable[str]) -> list[str]:
    """Paths in the run's folder, without notes of a file's hash."""
    start = f"results/{run}/"
    inside = [path.removeprefix(start) for path in paths if path.startswith(start)]
    return [path for path in inside if not path.endswith(".sha256")]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
