"""What is said at the end of a run or of a job, and how Snakemake's messages are shown."""

import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from lensvit.parameters import TARGET_NAMES
from lensvit.workflow.ending import finished, useful_line
from snakemake_logger_plugin_lensvit import LogHandler, Run, duration


def test_the_useful_line_of_a_log_is_lensvit_s_own(tmp_path):
    log = tmp_path / "job.log"
    log.write_text("epoch 1\nlensvit train: the loss is NaN: lower the learning rate\nsnakemake's own\n")
    assert useful_line(log) == "lensvit train: the loss is NaN: lower the learning rate"
    log.write_text("Traceback\n  File\nZeroDivisionError: division by zero\n\n")
    assert useful_line(log) == "ZeroDivisionError: division by zero"
    log.write_text("x" * 3000)
    assert len(useful_line(log)) <= 300
    log.write_text("")
    assert "killed" in useful_line(log) and "no log" in useful_line(tmp_path / "absent.log")


def test_the_end_names_the_pdf_and_shows_table_1(tmp_path):
    pdf, table = tmp_path / "paper.pdf", tmp_path / "table1.csv"
    rows = "".join(f"{name},0.09,\n" for name in TARGET_NAMES)
    table.write_text(f"target,vit,prior\noverall,0.051,0.12\n{rows}")
    assert finished([pdf], table) == []  # the run was for something else
    pdf.write_bytes(b"%PDF")
    lines = finished([pdf], table)
    assert lines[-1] == f"done: {pdf}" and "overall" in "\n".join(lines) and "0.051" in "\n".join(lines)


@pytest.fixture
def shown(capsys):
    """Send records to the handler, and return what it prints."""
    switches = ("printshellcmds", "nocolor", "debug_dag", "verbose", "show_failed_logs", "stdout", "dryrun")

    def show(*records, **changes):
        settings = SimpleNamespace(**{**dict.fromkeys(switches, False), "quiet": set(), **changes})
        handler = LogHandler(settings, None)
        for message, level, extra in records:
            record = logging.LogRecord("snakemake", level, "", 1, message, (), None)
            record.__dict__.update(extra)
            handler.emit(record)
        handler.close()
        return capsys.readouterr().err

    return show


def test_a_job_has_two_short_lines_and_one_of_its_log_if_it_fails(tmp_path, shown):
    log = tmp_path / "train.log"
    log.write_text("epoch 1\nlensvit train: the disk is full\n")
    info = {"rule_name": "train", "log": [str(log)], "reason": "r" * 3000, "input": ["i" * 3000]}
    text = shown(
        ("Building DAG of jobs...", logging.INFO, {}),
        ("stats", logging.INFO, {"event": LogEvent.RUN_INFO, "stats": {"train": 2, "total": 2}}),
        ("", logging.INFO, {"event": LogEvent.JOB_INFO, "jobid": 1, "rule_msg": "training vit", **info}),
        ("", logging.INFO, {"event": LogEvent.JOB_INFO, "jobid": 2, "rule_msg": "training resnet", **info}),
        ("", logging.INFO, {"event": LogEvent.JOB_FINISHED, "job_id": 2}),
        ("", logging.ERROR, {"event": LogEvent.JOB_ERROR, "jobid": 1, "shellcmd": "c" * 3000, **info}),
        ("WorkflowError: no", logging.ERROR, {}),
    )
    lines = text.splitlines()
    assert lines[0] == "2 jobs: 2 train" and lines[-1] == "WorkflowError: no" and len(lines) == 7
    assert "[1 of 2] done: training resnet" in text and "failed: training vit" in text
    assert "lensvit train: the disk is full" in text and max(map(len, lines)) < 400


def test_a_dry_run_is_shown_as_snakemake_shows_it(shown):
    stats = ("job      count\ntrain        2", logging.INFO, {"event": LogEvent.RUN_INFO, "stats": {"train": 2}})
    assert "job      count\ntrain        2" in shown(stats, dryrun=True)


def test_the_time_that_is_left_follows_from_the_costs():
    run = Run({"train": 100.0, "psf": 1.0})
    run.plan({"train": 1, "psf": 2, "total": 3})
    assert run.total == 3 and run.work == 102 and run.left() is None
    run.start(1, "train", "training", None)
    run.end(1)
    run.started -= 51
    assert run.done == 1 and run.share() == pytest.approx(100 / 102) and run.left() == pytest.approx(1.02, abs=0.1)
    assert [duration(seconds) for seconds in (5, 65, 3725)] == ["5 s", "1 min 05 s", "1 h 02 min"]
