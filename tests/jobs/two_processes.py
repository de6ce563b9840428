"""Pairs of processes as Fabric starts them, but forked from this one, which has imported all that they need.

The program runs cases at the same time, given as lists of words in JSON, and prints what each has said, and in how many
seconds after both of its processes had begun both had ended (None for never, and for a training):

- ``raise`` or ``kill``, and the process that does so, while the other waits for what never comes, as NCCL does;
- ``train`` and the options of ``lensvit train``.
"""

import json
import os
import select
import signal
import sys
import time
import traceback
from types import SimpleNamespace

import torch
from lightning_fabric.strategies.launchers import subprocess_script

from lensvit.jobs.fabric import launch
from lensvit.learning.train import train
from lensvit.learning.trainer import Trainer

LONG = 200.0  # seconds


class Forked:
    """What Fabric needs of a process that it starts."""

    returncode = None

    def __init__(self, command, env, cwd):
        self.pid = os.fork()
        if self.pid == 0:
            os.environ.update(env)
            run()

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)


def run():
    """Do the case in this process, and end it."""
    code = 0
    try:
        train_(*case[1:]) if case[0] == "train" else break_off(case[0], int(case[1]))
    except BaseException:
        traceback.print_exc()
        code = 1
    os._exit(code)


def say(*words):
    os.write(told, (" ".join(map(str, words)) + "\n").encode())


def break_off(how, rank):
    with launch("cpu", 2) as fabric:
        fabric.barrier()
        say("begun", fabric.global_rank)
        if fabric.global_rank == rank:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("broken")
        time.sleep(2 * LONG)


def train_(settings, catalog, scaler, images, output, state):
    torch.set_num_threads(1)
    train(settings, catalog, scaler, images, output, state, processes=2)
    say("trained")


def end_epoch(self, loss, mse):
    say(self.fabric.global_rank, self.progress.epoch, self.progress.loss_sum / self.progress.images, loss, mse)
    end_of_trainers(self, loss, mse)


end_of_trainers, Trainer.end_epoch = Trainer.end_epoch, end_epoch
subprocess_script.subprocess = SimpleNamespace(Popen=Forked)
readers, found = {}, []
for case in json.loads(sys.argv[1]):
    heard, told = os.pipe()
    if os.fork() == 0:
        run()
    os.close(told)  # the case's processes alone have this end
    readers[heard] = {"case": case, "said": "", "seconds": None}
    found.append(readers[heard])
deadline, begun = time.monotonic() + LONG, {}
while readers and (left := deadline - time.monotonic()) > 0:
    for heard in select.select(list(readers), [], [], left)[0]:
        content, one = os.read(heard, 65536).decode(), readers[heard]
        one["said"] += content
        if one["said"].count("begun") == 2:
            begun.setdefault(heard, time.monotonic())
        if not content:
            one["seconds"] = time.monotonic() - begun[heard] if heard in begun else None
            del readers[heard]
print(json.dumps(found))
