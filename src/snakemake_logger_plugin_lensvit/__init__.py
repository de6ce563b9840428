"""What Snakemake says, as lensvit shows it: ``snakemake --logger lensvit``.

At most two lines a job: one where it starts and one where it ends, and the one useful line of the log of a job that
failed. On a terminal there is a view below them: a bar for the whole run with the time that is left, and the last
line that each running job has written. Dry runs and ``--verbose`` are shown as Snakemake shows them.

Snakemake imports this module before it reads the Snakefile, which says where lensvit lies. Therefore lensvit is
imported only when it is needed.

The time that is left follows from what the same stages took in the runs under ``results/``, else from the jobs of
this one.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from logging import WARNING, LogRecord
from pathlib import Path
from statistics import median
from threading import Lock
from typing import Any, TextIO

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter  # type: ignore[import-untyped]
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

TAIL = 400  # bytes at the end of a log in which its last line is looked for
CHATTER = (  # beginnings of lines that say nothing of this run
    "Building DAG", "Using shell", "Provided", "Rules claiming", "Select jobs", "Execute ", "Conda environments",
    "Singularity", "host:", "Assuming unrestricted", "Using profile", "Using workflow", "Complete log", "Creating ",
    "Removing output", "Removing temporary", "SNAKEMAKE", "Workflow runtime", "Shutting down", "Finished job",
    "Exiting because", "Local", "localrule",
)  # fmt: skip


def duration(seconds: float) -> str:
    """A duration as people write it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def last_line(log: Path) -> str:
    """The last line that a running job has written, or the empty string."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, stream.seek(0, 2) - TAIL))
            lines = stream.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def known_costs(results: Path) -> dict[str, float]:
    """Rule to the median seconds of its jobs in the runs under ``results``, by Snakemake's benchmarks."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in results.glob("*/benchmarks/**/*.tsv"):
        try:
            names = path.relative_to(results).with_suffix("").parts[2:]
            found[names[0]].append(float(path.read_text(encoding="utf-8").splitlines()[1].split("\t")[0]))
        except (OSError, ValueError, IndexError):
            continue
    return {name: median(seconds) for name, seconds in found.items()}


class Run:
    """The jobs of a run, and how far they are.

    Parameters
    ----------
    costs
        Rule to the seconds that one of its jobs takes.
    """

    def __init__(self, costs: dict[str, float]) -> None:
        self.costs, self.started = costs, time.monotonic()
        self.waiting: dict[str, int] = {}  # rule -> jobs that have not ended
        self.total = self.done = 0
        self.work = self.spent = 0.0  # [s] of all jobs, and of those that have ended
        self.jobs: dict[Any, dict[str, Any]] = {}  # the running ones, by their id

    def cost(self, rule: str) -> float:
        """The seconds of a job, a few where nothing is known."""
        return self.costs.get(rule, 3.0)

    def plan(self, stats: dict[str, int]) -> None:
        """Take in how many jobs of each rule there are."""
        self.waiting = {rule: int(count) for rule, count in stats.items() if rule != "total"}
        self.total = sum(self.waiting.values())
        self.work = sum(self.cost(rule) * count for rule, count in self.waiting.items())

    def start(self, number: Any, rule: str, name: str, log: Path | None) -> None:
        """A job has started."""
        self.jobs[number] = {"rule": rule, "name": name, "log": log, "since": time.monotonic()}

    def end(self, number: Any) -> dict[str, Any] | None:
        """A job has ended: what is known of it."""
        job = self.jobs.pop(number, None)
        if job is not None:
            job["seconds"] = time.monotonic() - job["since"]
            self.done += 1
            self.spent += self.cost(job["rule"])
        return job

    def share(self) -> float:
        """How much of the work is done, 0 to 1."""
        if not self.work:
            return 0.0
        now = time.monotonic()
        running = sum(min(now - job["since"], 0.95 * self.cost(job["rule"])) for job in self.jobs.values())
        return min((self.spent + running) / self.work, 1.0)

    def left(self) -> float | None:
        """The seconds that are left; None while too little is done to say."""
        share = self.share()
        return None if share < 0.02 else (time.monotonic() - self.started) * (1 - share) / share


class LogHandler(LogHandlerBase):
    """The handler that Snakemake looks for."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Begin the view, where there is a terminal."""
        settings = self.common_settings
        self.stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self.plain = bool(settings.dryrun or settings.verbose or settings.debug_dag or settings.printshellcmds)
        quiet: Any = settings.quiet or set()
        self.ordinary = ColorizingTextHandler(
            settings.nocolor, self.stream, DefaultFormatter(quiet, settings.show_failed_logs)
        )
        self.rules = DefaultFilter(
            quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
        )
        self.run, self.guard = Run({}), Lock()
        self.view: Any = None

    def emit(self, record: LogRecord) -> None:
        """Show what a record says; whatever goes wrong here, the run goes on."""
        try:
            if not self.rules.filter(record):
                return
            if self.plain:
                self.ordinary.emit(record)
                return
            with self.guard:
                self._show(record)
        except Exception:  # a view that fails must not end the run
            self.handleError(record)

    def close(self) -> None:
        """End the view."""
        if getattr(self, "view", None) is not None:
            self.view.stop()
            self.view = None
        super().close()

    def _show(self, record: Any) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO and getattr(record, "stats", None):
            self.run = Run(known_costs(Path("results")))
            self.run.plan(record.stats)
            self._begin()
            self._say(f"{self.run.total} jobs: {_counted(self.run.waiting)}")
        elif event == LogEvent.JOB_INFO:
            name = record.rule_msg or record.rule_name
            self.run.start(record.jobid, record.rule_name, name, Path(record.log[0]) if record.log else None)
            if record.rule_name != "settings":  # many, and done at once
                self._say(f"{time.strftime('%H:%M:%S')}  {name}")
        elif event == LogEvent.JOB_FINISHED:
            job = self.run.end(record.job_id)
            if job is not None and job["rule"] != "settings":
                self._say(f"{time.strftime('%H:%M:%S')}  {self._far()} done: {job['name']}, {duration(job['seconds'])}")
        elif event == LogEvent.JOB_ERROR:
            self._failed(record)
        elif event is None or event in (LogEvent.ERROR, LogEvent.GROUP_ERROR):
            text = str(record.getMessage())
            if record.levelno >= WARNING or not text.lstrip().startswith(CHATTER):
                from lensvit.workflow.ending import shortened

                self._say("\n".join(shortened(line) for line in text.splitlines()))

    def _failed(self, record: Any) -> None:
        from lensvit.workflow.ending import useful_line

        job = self.run.end(record.jobid) or {"name": record.rule_name}
        self._say(f"{time.strftime('%H:%M:%S')}  failed: {job['name']}")
        for log in record.log[:1]:
            self._say(f"          {useful_line(Path(log))} (all of it: {log})")

    def _far(self) -> str:
        return f"[{self.run.done} of {self.run.total}]"

    def _say(self, text: str) -> None:
        if not text.strip() or text == "None":
            return
        if self.view is not None:
            self.view.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream, flush=True)

    def _begin(self) -> None:
        """Show the view on a terminal that can, where rich is there."""
        if self.view is not None or self.common_settings.nocolor or not self.ordinary.can_color_tty():
            return
        try:
            from rich.console import Console
            from rich.live import Live
        except ImportError:
            return
        self.view = Live(
            get_renderable=self._render, console=Console(file=self.stream), refresh_per_second=2, transient=True
        )
        self.view.start()

    def _render(self) -> Any:
        """The view: the bar of the whole run, and a line for each running job."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        share, left = self.run.share(), self.run.left()
        bar = Table.grid(padding=(0, 1))
        ahead = "" if left is None else f", about {duration(left)} left"
        bar.add_row(ProgressBar(total=1.0, completed=share, width=30), Text(f"{100 * share:.0f}% {self._far()}{ahead}"))
        lines = []
        for job in list(self.run.jobs.values()):
            said = last_line(job["log"]) if job["log"] else ""
            text = f"  {job['name']}, {duration(time.monotonic() - job['since'])}" + (f": {said}" if said else "")
            lines.append(Text(text, no_wrap=True, overflow="ellipsis"))
        return Group(bar, *lines)


def _counted(stats: dict[str, int]) -> str:
    """How many jobs of each rule there are, the ten most frequent rules first."""
    ordered = sorted(stats.items(), key=lambda entry: -entry[1])
    text = ", ".join(f"{count} {rule}" for rule, count in ordered[:10])
    return text if len(ordered) <= 10 else f"{text} and others"
