"""How long a training run of pix2pixHD waits for its data, and how much longer it would without reading ahead.

    ganvas world street --frames 40 --size 512x256
    python benchmarks/pix2pixhd_data.py --data street [--preset laptop] [--stage joint] [--steps 30]

Takes whole steps of one stage, every scene being read from its files for the first time as long as there are as many
as steps, and prints the seconds that the step waited for its batch, beside those that making the batches took.
"""

from __future__ import annotations

import argparse
import statistics
import time

from ganvas import launch
from ganvas.training import step
from ganvas.training.trainer import Trainer


def main() -> None:
    """Take the steps and print what they waited for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--stage", default="joint")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    settings = {"data": options.data, "threads": options.threads, "sentinel": "off"}
    trainer = Trainer(launch.plan(launch.order("pix2pixhd", options.preset, settings)))
    names = [stage.name for stage in trainer.stages]
    trainer.skip_to(names.index(options.stage))
    draw, sample, waited, made = trainer.feed.draw, trainer.feed.source.sample, [], []

    def timed_draw(batch_size: int):
        began = time.perf_counter()
        raw = draw(batch_size)
        waited.append(time.perf_counter() - began)
        return raw

    def timed_sample(index, random):
        began = time.thread_time()
        found = sample(index, random)
        made.append(time.thread_time() - began)
        return found

    trainer.feed.draw, trainer.feed.source.sample = timed_draw, timed_sample  # pyright: ignore[reportAttributeAccessIssue]
    spent = []
    for _ in range(options.steps):
        began = time.perf_counter()
        step.advance(trainer)
        spent.append(time.perf_counter() - began)
    trainer.feed.close()
    scenes = min(len(trainer.feed.source), options.steps * trainer.batch_size)
    typical, longest = 1000 * statistics.median(waited[1:]), 1000 * max(waited[1:])
    print(f"{options.stage}: {len(spent)} steps over {scenes} scenes, {statistics.median(spent):.3f} s a step (median)")
    print(f"waited for data: {typical:.2f} ms a step in the median, {longest:.1f} ms at most")
    # The first batch has nothing to hide behind.
    print(f"that is {sum(waited[1:]) / sum(spent[1:]):.2%} of all steps but the first ({1000 * waited[0]:.0f} ms)")
    print(f"making a sample: {1000 * statistics.median(made):.1f} ms of processor time in the median")


if __name__ == "__main__":
    main()
