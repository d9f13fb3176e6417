"""Read thousands of damaged files of every kind, and count what should never happen: tracebacks, hangs, memory.

    python scripts/fuzz.py [KIND ...] [--files 2000] [--seed 0] [--patience 10]

Files that Ganvas writes itself are mutated (bytes flipped, cut, doubled, zeroed; values of JSON exchanged) and read by
the functions that training and inference read them with. Each either comes back or is one UserError. Readers run in
forked processes: one that crashes or hangs is counted and replaced. Prints the table of docs/measured/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas import cli, launch
from ganvas.data.classes import ClassPictures
from ganvas.data.decoding import decode
from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.io import runs
from ganvas.io.cameras import cameras
from ganvas.io.labels.legends import read_legend
from ganvas.io.labels.maps import read_label_map
from ganvas.io.pictures import images
from ganvas.io.video.reader import VideoReader
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.protocol import Card

VALUES = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1.5,
    float("nan"),
    "",
    "x",
    [],
    {},
    [1],
    {"x": 1},
    "../../etc/passwd",
    "\x1b[2J",
)


def flipped(content: bytes, chance: random.Random) -> bytes:
    """Return bytes damaged in one of several ways."""
    data = bytearray(content)
    place = chance.randrange(max(1, len(data)))
    how = chance.randrange(6)
    if how == 0:
        return bytes(data[:place])
    if how == 1:
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    if how == 2:
        data[place : place + chance.randint(1, 64)] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 64)))
    if how == 3:
        data[place : place + 256] = bytes(len(data[place : place + 256]))
    if how == 4:
        data[place:place] = data[place : place + 512]
    if how == 5:
        # Headers are where sizes stand.
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(min(len(data), 64))] = chance.choice((0, 1, 127, 128, 255))
    return bytes(data)


def exchanged(content: bytes, chance: random.Random) -> bytes:
    """Return JSON with one to three of its values exchanged, or damaged bytes now and then."""
    if chance.random() < 0.2:
        return flipped(content, chance)
    value = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        place: Any = value
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], (dict, list)) and place[key] and chance.random() < 0.8:
                place = place[key]
                continue
            if isinstance(place, dict) and chance.random() < 0.2:
                del place[key]
            else:
                place[key] = copy.deepcopy(chance.choice(VALUES))
            break
    return json.dumps(value).encode()


def with_card(content: bytes, chance: random.Random) -> bytes:
    """Return a weight file whose card is damaged."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"]["ganvas"] = exchanged(header["__metadata__"]["ganvas"].encode(), chance).decode("latin-1")
    new = json.dumps(header).encode()
    return len(new).to_bytes(8, "little") + new + content[8 + size :]


def read_clip(path: Path) -> None:
    """Decode a clip."""
    with VideoReader(path) as reader:
        for _ in reader:
            pass


def read_run(path: Path) -> None:
    """Read what a run says of itself as resuming and upscaling do."""
    with contextlib.suppress(UserError):
        launch.check(launch.reorder(path.parent))
    weights.read(path.parent)


def read_labels(path: Path) -> None:
    """Read a label map, a legend or a list of classes."""
    if path.name == "legend.json":
        read_legend(path)
    elif path.name == "dataset.json":
        ClassPictures(path.parent, 8).examine()
    else:
        read_label_map(path)


Read = Callable[[Path], object]
KINDS: dict[str, tuple[Read, Callable[[bytes, random.Random], bytes]]] = {
    "weights": (lambda path: open_model(path).network(), flipped),
    "cards": (lambda path: open_model(path).network(), with_card),
    "settings": (read_run, exchanged),
    "pictures": (decode, flipped),
    "labels": (read_labels, flipped),
    "cameras": (cameras.read, flipped),
    "clips": (read_clip, flipped),
}


def whole(folder: Path) -> dict[str, list[Path]]:
    """Write whole files of every kind."""
    with contextlib.redirect_stdout(sys.stderr):
        cli.main(["world", "--out", str(folder / "street"), "--frames", "3", "--size", "64x32"])
    card = Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2)
    net = weights.save(folder / "net.safetensors", build(card).state_dict(), card)
    torch.save({"params": build(card).state_dict()}, folder / "net.pth")
    street = folder / "street"
    options = {
        "steps": 1,
        "batch_size": 2,
        "width": 4,
        "latent": 4,
        "size_px": 32,
        "threads": 1,
        "precision": "float32",
    }
    order = launch.order("relativistic", "preview", {**options, "data": str(street / "frames")})
    run = launch.loop.train(launch.plan(order), folder / "run", quiet=True)
    picture = images.read(street / "frames" / "000000.png")[0]
    pictures = [street / "frames" / "000000.png", street / "depth" / "000000.exr"]
    for suffix in (".jpg", ".tif", ".webp", ".bmp", ".tga", ".jxl", ".dpx", ".hdr", ".ppm"):
        with contextlib.suppress(UserError):
            shown = picture.astype(np.float32) / 255 if suffix == ".hdr" else picture
            pictures.append(images.write(folder / f"picture{suffix}", shown))
    classes = folder / "classes"
    classes.mkdir()
    for number in range(2):
        shutil.copy(street / "frames" / f"00000{number}.png", classes / f"{number}.png")
    (classes / "dataset.json").write_text(json.dumps({"labels": [["0.png", 0], ["1.png", 1]]}))
    labels = [street / "labels" / "000000.png", street / "legend.json", classes / "dataset.json"]
    solved = [street / "cameras.csv", street / "transforms.json"]
    clips = sorted(folder.glob("*.mp4"))
    if not clips:
        import av

        with av.open(str(folder / "clip.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=25, width=64, height=32, pix_fmt="yuv420p")
            for _ in range(3):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
            file.mux(stream.encode(None))
        clips = [folder / "clip.mp4"]
    return {
        "weights": [net, folder / "net.pth"], "cards": [net], "settings": [run / runs.SETTINGS], "pictures": pictures,
        "labels": labels, "cameras": solved, "clips": clips,
    }  # fmt: skip


def one(kind: str, sources: list[Path], number: int, seed: int) -> str:
    """Read the n-th damaged file of a kind; return `whole`, `refused` or what was raised."""
    read, damage = KINDS[kind]
    chance = random.Random(f"{seed} {kind} {number}")
    source = sources[number % len(sources)]
    content = source.read_bytes()
    changed = exchanged(content, chance) if source.suffix == ".json" else damage(content, chance)
    with tempfile.TemporaryDirectory() as place:
        # Whatever lies beside a file may belong to it: a run, pictures, frames.
        path = Path(place) / source.name
        if kind == "settings" or source.name in ("dataset.json", "transforms.json"):
            shutil.copytree(source.parent, place, dirs_exist_ok=True)
        path.write_bytes(changed)
        try:
            read(path)
        except UserError:
            # The command line prints it in one line, whatever breaks it holds.
            return "refused"
        except Exception as error:
            return f"{type(error).__name__}: {error} ({source.name}, file {number})"
        return "whole"


def serve(kind: str, sources: list[Path], numbers: range, seed: int, told: int) -> None:
    """Read files one after another, telling before each which one, and after each what became of it."""
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    torch.set_num_threads(1)
    for number in numbers:
        os.write(told, f"{number}\t\n".encode())
        said = one(kind, sources, number, seed).replace("\t", " ").replace("\n", " ")[:300]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        os.write(told, f"{number}\t{said}\t{peak}\n".encode())


def fuzz(kind: str, sources: list[Path], files: int, seed: int, patience: float) -> tuple[str, list[str]]:
    """Read so many damaged files of a kind; return the row of the table and what went wrong."""
    counts = {"whole": 0, "refused": 0}
    wrong: list[str] = []
    hangs = peak = begin = 0
    while begin < files:
        receive, told = os.pipe()
        child = os.fork()
        if not child:
            os.close(receive)
            try:
                serve(kind, sources, range(begin, files), seed, told)
            finally:
                os._exit(0)
        os.close(told)
        last, text = begin, b""
        while True:
            ready = select.select([receive], [], [], patience)[0]
            part = os.read(receive, 1 << 16) if ready else b""
            if not part:
                break
            text += part
            *lines, text = text.split(b"\n")
            for line in lines:
                number, said, *more = line.decode(errors="replace").split("\t")
                last = int(number)
                if said in counts:
                    counts[said] += 1
                elif said:
                    wrong.append(said)
                peak = max([peak, *map(int, more)])
                begin = last + bool(said)
        hung = not ready
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(receive)
        if hung:
            hangs += 1
            wrong.append(f"hang: file {last}")
            begin = last + 1
        elif begin < files:
            wrong.append(f"crash of the process: file {last}, status {status}")
            begin = last + 1
    tracebacks = len(wrong) - hangs
    row = f"| {kind} | {files} | {counts['refused']} | {counts['whole']} | {tracebacks} | {hangs} | {peak} |"
    return row, wrong


def main() -> int:
    """Read the command line, fuzz, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=[], help=f"default: all of {', '.join(KINDS)}")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patience", type=float, default=10.0, help="seconds after which reading a file is a hang")
    options = parser.parse_args()
    failed: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        sources = whole(Path(temporary))
        print("| kind | files | refused in one line | read all the same | tracebacks | hangs | peak memory, MB |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for kind in options.kinds or KINDS:
            row, wrong = fuzz(kind, sources[kind], options.files, options.seed, options.patience)
            print(row, flush=True)
            failed += [f"{kind}: {each}" for each in wrong]
    for each in failed:
        print(each, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
