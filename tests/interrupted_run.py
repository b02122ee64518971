"""A program for `test_run.py`: do a run in child processes that are killed, over and over, until one gets through.

    python interrupted_run.py CLIP CHECKPOINT OUT DIRECTION KILLS

KILLS is a list such as 1,5,0.05: whole numbers kill the child itself, with SIGKILL, when that many frames are done;
others kill it after so many seconds, wherever it is. Children are forked, so the imports are paid for once.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch

from vidseg.job import Job
from vidseg.run import run_job
from vidseg.types import Click, Prompt
from vidseg.video import open_video
from vidseg.weights import load_model

PROMPTS = (Prompt(1, 6, (Click(40.0, 40.0),)), Prompt(2, 9, (Click(90.0, 30.0),)), Prompt(1, 14, (Click(50.0, 45.0),)))


def attempt(model, clip: str, job: Job, kill: str | None) -> None:
    """Go on with the run; die when `kill` says so."""

    def progress(done, total):
        if kill is not None and "." not in kill and done >= int(kill):
            os.kill(os.getpid(), signal.SIGKILL)

    with open_video(clip) as video:
        run_job(model, video, job, resume=True, checkpoint_seconds=0.0, progress=progress)


def main(clip: str, checkpoint: str, out: str, direction: str, kills: str) -> None:
    """Run it; prints how many children were killed."""
    torch.set_num_threads(1)
    model = load_model(checkpoint, device="cpu")
    job = Job(Path(out), PROMPTS, start=2, direction=direction)
    killed = 0
    for kill in [*filter(None, kills.split(",")), None]:
        child = os.fork()
        if child == 0:
            attempt(model, clip, job, kill)
            os._exit(0)
        if kill is not None and "." in kill:
            time.sleep(float(kill))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        killed += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status) and status:
            sys.exit(f"a child failed when it was to be killed at {kill}")
    print(killed)


if __name__ == "__main__":
    main(*sys.argv[1:])
