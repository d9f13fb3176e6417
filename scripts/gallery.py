"""Train the models of the gallery, pack them, and write their pictures and scores.

    python scripts/gallery.py                        # what there is
    python scripts/gallery.py street-painter         # data, training, weight file, scores; goes on where it was
    python scripts/gallery.py street-painter --run RUN

Data is drawn by Ganvas or taken from Debian packages by name. Everything lies below `runs/gallery`; the weight
files go to `src/ganvas/weights` in 16 or 8 bits.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from ganvas import cli, launch
from ganvas.errors import UserError, need
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.io.weights.packing import packed

PLACE = Path("runs/gallery")
WEIGHTS = Path(__file__).parents[1] / "src/ganvas/weights"
LARGEST_MB = 8.0
DRAWN = "MIT", "drawn by Ganvas"
FASHION_CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]

MATERIALS = {
    "bark": ("yo_frankie/trees_bark_001_col.jpg", 160),
    "boulders": ("gk/fantasy/rock_formation_gk_v01/rock_formation_gk_v01_cc.jpg", 640),
    "bricks": ("gk/fantasy/castell_wall_gk_v02/castell_wall_gk_v02_cc.jpg", 320),
    "cobbles": ("gk/fantasy/stone_ground_tiles_gk_v01/stone_ground_tiles_gk_v01_cc.jpg", 320),
    "granite": ("yo_frankie/generic_grayrock1_col.jpg", 160),
    "grass": ("yo_frankie/generic_grass1_col.jpg", 128),
    "sandstone": ("yo_frankie/generic_redrock_col.jpg", 160),
    "shingles": ("gk/fantasy/wooden_roof_tiles_gk_v01/wooden_roof_tiles_gk_v01_cc.jpg", 320),
    "tread-plate": ("gk/future/diamond_plate_big_gk/diamond_plate_big_gk_cc.png", 128),
    "wall": ("gk/fantasy/castell_wall_gk_v01/castell_wall_gk_v01_cc.jpg", 320),
}
"""Classes of materials: the texture, and the side of the squares that are cut out of it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of the gallery: how its data comes about, how it is trained, and what its card says."""

    recipe: str
    purpose: str
    data: Callable[[Path], str]
    """Prepares the data in a folder, unless that has been done, and returns what to train on."""
    source: str
    """What the data is, for the card."""
    licence: str = "MIT"
    data_licence: str = "MIT"
    legs: Sequence[Mapping[str, Any]] = ({},)
    """What is changed of the recipe's preset `show`, for each leg; a leg starts from the weights of the one before."""
    gathers_styles: bool = False
    bits: Literal[8, 16] = 16
    """Of the large tensors in the file."""


# Data


def drawn(command: str) -> Callable[[Path], str]:
    """Return what runs a `ganvas` command that draws data, unless that has been done."""

    def prepare(folder: Path) -> str:
        target = folder / "data"
        if not target.exists():
            verb, *rest = command.split()
            cli.run(verb, ["--out", str(target), *rest])
        return str(target)

    return prepare


def unpacked(package: str, folder: Path) -> Path:
    """Fetch a Debian package by `apt-get download` and unpack it; return the folder that holds its files."""
    place = folder / package
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", package], cwd=folder, check=True)
        subprocess.run(["dpkg-deb", "-x", next(folder.glob(f"{package}_*.deb")), place], check=True)
    return place


def fashion(folder: Path) -> str:
    """Write Fashion-MNIST as zip files with a folder for each class, padded to 32 px."""
    image = need("PIL.Image", "dev")
    target = folder / "train.zip"
    if not target.exists():
        files = unpacked("dataset-fashion-mnist", folder) / "usr/share/datasets/fashion-mnist"
        for part, prefix in (("held", "t10k"), ("train", "train")):
            read = [gzip.decompress((files / f"{prefix}-{kind}.gz").read_bytes()) for kind in
                    ("images-idx3-ubyte", "labels-idx1-ubyte")]  # fmt: skip
            pictures = np.frombuffer(read[0], np.uint8, offset=16).reshape(-1, 28, 28)
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
                for number, (picture, label) in enumerate(zip(pictures, read[1][8:])):
                    stream = BytesIO()
                    image.fromarray(np.pad(picture, 2)).convert("RGB").save(stream, "PNG")
                    archive.writestr(f"{FASHION_CLASSES[label]}/{number:05d}.png", stream.getvalue())
    return str(target)


def materials(folder: Path) -> str:
    """Cut squares of 64 px out of ten textures, to a zip file with a folder for each class.

    Those of `held.zip` come from the right third of each texture, of which `train.zip` has nothing.
    """
    image = need("PIL.Image", "dev")
    target = folder / "train.zip"
    if not target.exists():
        textures = unpacked("cube2-data", folder) / "usr/share/games/cube2/packages"
        draw = np.random.default_rng(0)
        for part, left, right, number in (("held", 0.65, 1.0, 100), ("train", 0.0, 0.65, 400)):
            with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
                for name, (file, side) in MATERIALS.items():
                    texture = image.open(textures / file).convert("RGB")
                    for index in range(number):
                        x = int(draw.integers(round(texture.width * left), round(texture.width * right) - side + 1))
                        y = int(draw.integers(texture.height - side + 1))
                        square = texture.crop((x, y, x + side, y + side)).resize((64, 64), image.Resampling.LANCZOS)
                        stream = BytesIO()
                        square.save(stream, "PNG")
                        archive.writestr(f"{name}/{index:05d}.png", stream.getvalue())
    return str(target)


def faces_and_photographs(folder: Path) -> str:
    """Draw faces of 512 px, and add those photographs of scripts/photographs.py that are at least as large.

    Raises:
        UserError: the photographs were not fetched.
    """
    image = need("PIL.Image", "dev")
    if not PHOTOGRAPHS.is_dir():
        raise UserError(f"{PHOTOGRAPHS} does not exist", do="Run python scripts/photographs.py first")
    target = drawn("faces --num 120 --size 512")(folder)
    for photograph in sorted(PHOTOGRAPHS.iterdir()):
        with image.open(photograph) as opened:
            is_large = min(opened.size) >= 512
        if is_large and not (Path(target) / photograph.name).exists():
            shutil.copy(photograph, target)
    return target


def cupola(folder: Path) -> str:
    """Take NASA's photograph of the space station's cupola and crop it to 3:2."""
    image = need("PIL.Image", "dev")
    target = folder / "cupola.png"
    if not target.exists():
        files = unpacked("endless-sky-high-dpi", folder)
        photograph = image.open(next(files.rglob("space3@2x.jpg"))).convert("RGB").crop((0, 0, 1080, 720))
        photograph.save(target)
    return str(target)


def detailed_street(folder: Path) -> str:
    """Draw 24 stretches of the street with detailed labels, and five with plain ones, which the painter takes, too."""
    target = drawn(DETAILED)(folder)
    plain = folder / "plain"
    if not plain.exists():
        cli.run("world", ["--out", str(plain), *PLAIN.split()])
    for clip in sorted(plain.glob("clip_*")):
        moved = Path(target) / f"plain_{clip.name}"
        if not moved.exists():
            shutil.copytree(clip, moved)
            # One legend for all: the first ten labels are the same.
            shutil.copy(Path(target) / "clip_000" / "legend.json", moved)
    return target


PHOTOGRAPHS = Path(".photos/photographs")
DETAILED = "world --clips 24 --frames 8 --size 512x256 --seed 100 --details --quiet"
PLAIN = "--clips 5 --frames 8 --size 512x256 --seed 101 --quiet"
CLIPS = "world --clips 14 --frames 24 --size 256x128 --seed 100 --details --quiet"
R3GAN: dict[str, Any] = {
    "discriminator_norm": "none", "adversarial.base": "standard", "adversarial.pairing": "paired",
    "betas": (0.0, 0.99), "schedule": "cosine",
}  # fmt: skip
"""A paired loss under R1 and R2, and no norm in D (Huang et al. 2024, "The GAN is dead; long live the GAN!")."""
MATERIALS_RUN: dict[str, Any] = {
    **R3GAN, "num_classes": 10, "size_px": 64, "latent": 80, "width": 16, "multipliers": (8, 8, 4, 4, 2),
    "mirror": True, "batch_size": 16, "r1_weight": 1.0, "r2_weight": 1.0, "r1_every": 4, "generator_rate": 3e-4,
    "discriminator_rate": 3e-4, "average_half_life": 5000.0,
}  # fmt: skip
UPRES_RUN: dict[str, Any] = {
    "upsampling": "smooth", "base": "bicubic", "width": 16, "detail": 2.0, "discriminator_width": 24,
    "discriminator_norm": "instance", "adversarial.pairing": "paired", "perceptual": "vgg16", "perceptual_weight": 5.0,
    "batch_size": 2, "generator_rate": 5e-4, "discriminator_rate": 1e-4, "average_half_life": 300.0,
}  # fmt: skip
GALLERY: dict[str, Entry] = {
    "street-painter": Entry(
        recipe="pix2pixhd", purpose="a street from label maps, with a style for each instance, at 512 x 256 px",
        data=detailed_street, gathers_styles=True, bits=8,
        source="232 frames of the street that Ganvas draws, five sixths of them with labels for windows and wheels",
        legs=[
            {"global_steps": 1200, "joint_steps": 4700},
            {"width_px": 512, "height_px": 256, "perceptual_crop_px": 160, "global_steps": 0, "joint_steps": 2700,
             "joint_hold": 0.25},
            {"width_px": 512, "height_px": 256, "perceptual_crop_px": 160, "upsampling": "smooth", "global_steps": 0,
             "joint_steps": 4500, "joint_hold": 0.4},
            {"width_px": 512, "height_px": 256, "perceptual_crop_px": 160, "upsampling": "smooth", "global_steps": 0,
             "joint_steps": 2400, "joint_hold": 0.3, "perceptual": "vgg16+efficientnet-lite0"},
        ],
    ),
    "street-clip": Entry(
        recipe="vid2vid", purpose="video of a street from label maps, with a style for each instance, at 256 x 128 px",
        data=drawn(CLIPS), gathers_styles=True, bits=8,
        source="14 clips of 24 frames of the street that Ganvas draws, with labels for windows and wheels",
        legs=[
            {"shrink": 1, "width": 24, "discriminator_width": 24, "instance_features": 3, "picture_rounds": 1000,
             "rounds": (24,)},
        ],
    ),
    "fashion": Entry(
        recipe="biggan", purpose="clothes of ten classes from noise, 32 px",
        data=fashion, source="Fashion-MNIST, 60,000 pictures (Debian package dataset-fashion-mnist)",
        legs=[{
            **R3GAN, "num_classes": 10, "upsampling": "smooth", "r1_weight": 0.3, "r2_weight": 0.3, "r1_every": 4,
            "generator_rate": 5e-4, "discriminator_rate": 5e-4, "steps": 5000,
        }],
    ),
    "materials": Entry(
        recipe="biggan", purpose="ten materials from noise, 64 px",
        data=materials,
        source="4,000 squares of ten textures (Debian package cube2-data: Gregor Koch, Yo Frankie project)",
        licence="CC-BY-3.0", data_licence="CC-BY-3.0", bits=8,
        # As shipped, the first leg was stopped at step 2350 of 4000: repeated pixels were woven.
        legs=[
            {**MATERIALS_RUN, "upsampling": "resize", "steps": 4000},
            {**MATERIALS_RUN, "upsampling": "smooth", "steps": 2500},
        ],
    ),
    "faces-relativistic": Entry(
        recipe="relativistic", purpose="drawn faces of 128 px from noise",
        data=drawn("faces --num 5000 --size 128"), source="5000 faces that Ganvas draws", bits=8,
        # As shipped, the cosine was set for 14,000 steps and shortened twice as it went on.
        legs=[{"size_px": 128, "steps": 7800}],
    ),
    "place": Entry(
        recipe="reverse_matchmove", purpose="views of 256 px of a drawn place, with parallax, from cameras",
        data=drawn("world --path survey --frames 400 --size 256x256 --quiet"), source="400 views that Ganvas draws",
        legs=[
            {"val": "0.15", "rays_table": 512, "steps": 2300},
            {"val": "0.15", "rays_table": 512, "upsampling": "smooth", "pixel_steps": 0, "steps": 4300, "rate": 2e-3,
             "halvings": 3},
        ],
        bits=8,
    ),
    "panorama": Entry(
        recipe="reverse_matchmove", purpose="views of 512 px into the space station's cupola, from cameras",
        data=cupola, source="a NASA photograph (space3 of the Debian package endless-sky-high-dpi)",
        data_licence="public domain (NASA)",
        legs=[{"val": "0.2", "run": 6, "size_px": 512, "rays_table": 880, "upsampling": "smooth", "pixel_steps": 700,
               "steps": 1100}],
        bits=8,
    ),
    "faces-768": Entry(
        recipe="tiled_upres", purpose="upres x8 of drawn faces to 768 px in tiles, under a guide of edges",
        data=drawn("faces --num 96 --size 768"), source="96 faces that Ganvas draws",
        # As shipped, the GAN had a weight of 1 for its first 560 steps. It drew worms and halos, which the second leg
        # takes back: hardly a GAN any more, and L1 pixel by pixel.
        legs=[
            {**UPRES_RUN, "pixel_steps": 600, "pixel_schedule": "cosine", "steps": 1200, "gan_weight": 0.25},
            {**UPRES_RUN, "pixel_steps": 0, "steps": 700, "gan_weight": 0.01, "l1_at": "full", "l1_weight": 60.0},
        ],
    ),
    "unet": Entry(
        recipe="superres_unet", purpose="x2 for drawn faces, once or again and again: 64, 128, 256, 512 px",
        data=faces_and_photographs,
        source="120 faces that Ganvas draws and 49 photographs (Debian packages endless-sky-high-dpi, krank, "
        "lomiri-wallpapers-16.04 and -20.04)",
        licence="CC-BY-SA-4.0",
        data_licence="faces MIT; photographs public domain, CC0-1.0, CC-BY-4.0, CC-BY-SA-3.0 and 4.0, by picture",
        # As shipped, the first leg saw 160 drawn faces of 256 px alone.
        legs=[
            {},
            {"upsampling": "smooth", "framing": "squares", "low_px": 64, "iterations": 3, "batch_size": 4,
             "content_steps": 450, "generator_rate": 7e-4, "average_half_life": 150.0},
        ],
    ),
}  # fmt: skip


# Training and packing


def train(name: str, entry: Entry) -> Path:
    """Train what is missing of a model's legs, by its recipe's preset `show`, and return the last one's run."""
    run = Path()
    for number, leg in enumerate(entry.legs, 1):
        before, run = run, PLACE / name / ("run" if number == len(entry.legs) else f"leg-{number}")
        if runs.is_run(run):
            launch.train(resume=run)
        else:
            start = [f"{network}={before}" for network in runs.read_noted(before).cards or ()] if number > 1 else []
            launch.train(entry.recipe, entry.data(PLACE / name), run, preset="show", settings=leg, init=start)
    return run


def pack(name: str, entry: Entry, run: Path) -> Path:
    """Write a run's newest averaged generator in 16 or 8 bits, with its whole card, as the weight file of a name.

    Raises:
        UserError: the file would be larger than the gallery allows.
    """
    if entry.gathers_styles and not runs.read_attachments(run):
        cli.run("styles", [str(run)])
    trained = weights.read_run(run)
    extra = dict(trained.card.extra)
    if trained.card.input == "seeds":
        # The average's batch norms are measured anew: the stored statistics are those of the last weights.
        extra["standing_batches"] = 4
    if "told" in extra:
        extra["told"] = {**extra["told"], "data": ""}  # a folder of whoever trained it
    card = replace(
        trained.card, extra=extra, purpose=entry.purpose, data=entry.source, licence=entry.licence,
        scores=last_scores(run), data_licence=entry.data_licence,
        origin=f"scripts/gallery.py {name}; {trained.card.origin.split(', ')[-1]}",
    )  # fmt: skip
    path = weights.save(
        WEIGHTS / f"{name}.safetensors", packed(trained.tensors, entry.bits), card, thinned(trained.attachments), True
    )
    megabytes = path.stat().st_size / 1e6
    if megabytes > LARGEST_MB:
        raise UserError(f"{path} has {megabytes:.1f} MB", f"The gallery's files have at most {LARGEST_MB:g}")
    return path


def thinned(attachments: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return attachments with at most 10,000 of the instances that styles are drawn from, evenly taken."""
    step = -(-len(attachments.get("instances.features", ())) // 10_000)
    return {
        key: value[::step].contiguous() if key.startswith("instances.") else value for key, value in attachments.items()
    }


def last_scores(run: Path) -> dict[str, float]:
    """Return the scores of a run's last validation; a flyer reads off them how far a view is to be trusted."""
    lines = [json.loads(line) for line in (run / runs.LOG).read_text().splitlines()]
    return next((line["scores"] for line in reversed(lines) if "scores" in line), {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*GALLERY, []], help="which models; none lists them")
    parser.add_argument("--run", type=Path, help="pack this run, as it is, in place of the model's own")
    options = parser.parse_args()
    for name in options.names:
        entry = GALLERY[name]
        print(pack(name, entry, options.run or train(name, entry)))
    if not options.names:
        print("\n".join(f"{name.ljust(20)} {entry.purpose}" for name, entry in GALLERY.items()))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
