"""Memory is told in bytes on every system."""

import resource
import sys
from types import SimpleNamespace

import pytest

from lensvit.jobs.memory import most_memory


def test_this_process_has_some_memory():
    assert 10e6 < most_memory() < 1e12


@pytest.mark.parametrize(("system", "counted"), [("linux", 2_000), ("darwin", 2_048_000)])
def test_the_unit_is_that_of_the_system(monkeypatch, system, counted):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda whose: SimpleNamespace(ru_maxrss=counted))
    assert most_memory() == 2_048_000
