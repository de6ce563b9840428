"""A block in which nobody asks the network for anything."""

import socket
from contextlib import contextmanager

import pytest


@contextmanager
def offline():
    """Refuse every connection. At the end, fail if one was tried, also where that error was caught."""
    asked = []

    def refuse(function):
        def call(*args, **options):
            if isinstance(args[0], socket.socket) and args[0].family == socket.AF_UNIX:
                return function(*args, **options)  # of processes on this machine
            asked.append(args[-1] if isinstance(args[0], socket.socket) else args[0])
            raise OSError("a test that works without a network")

        return call

    with pytest.MonkeyPatch.context() as patches:
        for holder, name in ((socket.socket, "connect"), (socket.socket, "connect_ex"), (socket, "getaddrinfo")):
            patches.setattr(holder, name, refuse(getattr(holder, name)))
        yield
    assert not asked, f"connections were tried: {asked}"
