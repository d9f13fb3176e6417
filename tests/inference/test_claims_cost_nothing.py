"""What a file claims costs nothing: whole commands on hostile weight files, in a process that is measured."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import torch
from safetensors.torch import save_file

from ganvas.io.pictures import images
from ganvas.io.weights import cards
from ganvas.networks import build
from ganvas.protocol import Card

MEASURED = """
import contextlib, importlib, io, json, sys, time
import torch, tyro
from ganvas import cli
for name in ("ganvas.inference.open", "ganvas.cli.upscale", "ganvas.cli.generate", "ganvas.cli.inspect",
             "ganvas.inference.picture.suite", "ganvas.inference.seeds.suite", "ganvas.inference.labels.suite"):
    importlib.import_module(name)
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    cli.main(["upscale", sys.argv[2], "--model", sys.argv[3], "--out", sys.argv[2] + ".warm.png"])
for command in json.loads(sys.argv[1]):
    said, began = io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = cli.main(command)
    # Of this program alone: ru_maxrss remembers the process that forked, which may be large.
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(json.dumps([command, code, said.getvalue(), time.process_time() - began, peak]), flush=True)
"""
"""Runs commands one after another, once all is imported, and tells of each how it ended and what it cost."""

COMPACT = Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2)
DCGAN = Card(
    network="dcgan_generator", settings={"latent": 4, "size_px": 32, "width": 2}, input="seeds", range=(-1.0, 1.0)
)
CLAIMS = [
    (COMPACT, {"settings": {"width": 10**6, "convs": 1, "scale": 2}}),
    (COMPACT, {"settings": {"width": 4, "convs": 10**5, "scale": 2}}),
    (COMPACT, {"settings": {"width": 10**6, "convs": 10**5, "scale": 2}}),
    (COMPACT, {"settings": {"width": 4, "convs": 1, "scale": 10**6}, "scale": 10**6}),
    (COMPACT, {"minimum_px": 20_000}),
    (COMPACT, {"multiple_of": 50_000}),
    (COMPACT, {"channels_in": 10**8}),
    (COMPACT, {"network": "rrdbnet", "settings": {"width": 10**6, "blocks": 10**5, "growth": 32, "scale": 4}}),
    (COMPACT, {"network": "jnet", "settings": {"channels_in": 10**6, "width": 10**6, "scale": 4}}),
    (COMPACT, {"network": "super_resolving_unet", "settings": {"width": 10**5, "downs": 10**5}}),
    (DCGAN, {"settings": {"latent": 10**6, "size_px": 1 << 20, "width": 10**6}}),
    (
        DCGAN,
        {
            "network": "biggan_generator",
            "settings": {"size_px": 512, "width": 10**6, "num_classes": 10**7, "latent": 8},
        },
    ),
    (DCGAN, {"input": "labels", "network": "pix2pixhd_global", "settings": {"channels_in": 10**7, "width": 10**6}}),
    (
        DCGAN,
        {"input": "clip", "network": "vid2vid", "settings": {"channels_label": 10**7, "width": 10**6, "blocks": 10**5}},
    ),
]


def test_a_command_on_a_file_that_claims_the_absurd_is_one_line_in_little_time_and_memory(tmp_path):
    images.write(tmp_path / "in.png", np.zeros((8, 8, 3), np.uint8))
    commands = []
    for number, (card, claim) in enumerate(CLAIMS):
        path = tmp_path / f"{number}.safetensors"
        values = {**json.loads(cards.write(card))["card"], **claim}
        tensors = {key: value.clone() for key, value in build(card).state_dict().items()}
        save_file(tensors, path, {"format": "pt", "ganvas": json.dumps({"version": 1, "card": values})})
        out = ["--out", str(tmp_path / f"out{number}.png")]
        if card is COMPACT:
            commands.append(["upscale", str(tmp_path / "in.png"), "--model", str(path), *out])
        elif values["input"] == "seeds":
            commands.append(["generate", str(path), "--seeds", "0", *out])
        else:
            commands.append(["generate", str(path), "--labels", str(tmp_path), *out])
        commands.append(["inspect", str(path)])
    whole = tmp_path / "whole.safetensors"
    save_file(build(COMPACT).state_dict(), whole, {"format": "pt", "ganvas": cards.write(COMPACT)})
    arguments = [json.dumps(commands), str(tmp_path / "in.png"), str(whole)]
    ended = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True, timeout=300
    )
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert len(told) == len(commands) and torch.get_num_threads()
    for command, code, said, seconds, peak in told:
        # `inspect` may say what a file claims; nothing that runs it may believe it.
        assert code == 1 or command[0] == "inspect", command
        assert said.count("\n") == (code == 1) and "defect" not in said, (command, said)
        # Well below 1 s on a quiet machine; processor time grows by half and more on a busy one.
        assert seconds < 3 and peak < 500, (command, seconds, peak)
    assert not list(tmp_path.glob("out*"))
