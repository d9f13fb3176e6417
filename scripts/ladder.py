"""Train the improvements of ESRGAN over SRGAN one by one at a small size, score each, and write its measured page.

    python scripts/photographs.py
    ganvas features fetch vgg16 lpips
    python scripts/ladder.py [--minutes 60] [--seeds 0 1 2] [--steps N] [--rungs 6] [--data FOLDER]

Every rung adds one change to the rung before it and gets the same number of steps, batches and crops, the last one
ten times as many before them; `--minutes` sets that number by a short rehearsal, `--steps` outright. A rung's result
goes to a JSON file as soon as it is there: the same command continues with what is missing, within a rung, too, and
makes the tables anew. Rungs for which no time is left say 'not run'. Scored on four photographs of scikit-image, none
of which is in the training data.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ganvas
from ganvas import launch
from ganvas.data import degrade
from ganvas.errors import UserError
from ganvas.evaluation.extractors import open_lpips_vgg16
from ganvas.inference import open as load
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.metrics import paired, sharpness
from ganvas.recipes.esrgan import ESRGAN
from ganvas.recipes.features import load_features
from ganvas.training import loop, rehearsal

ROOT = Path(__file__).parents[1]
PAGE, PICTURES = ROOT / "docs/measured/esrgan.md", ROOT / "docs/pictures"
SCALE = 4
ALPHAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

BASE: dict[str, Any] = {
    "network": "srresnet_bn", "width": 32, "blocks": 6, "discriminator_width": 8, "crop_px": 64, "pixel_crop_px": 64,
    "batch_size": 4, "perceptual": "vgg16:relu4_3", "perceptual_loss": "l1",
    "pixel_loss": "l1", "adversarial.pairing": "plain", "pixel_weight": 0.5, "perceptual_weight": 0.15,
    "gan_weight": 0.01, "gan_rate": 4e-4, "pixel_rate": 1e-3, "pixel_schedule": "cosine", "average_half_life": 400.0,
    "sentinel": "stop", "log_every": 10, "preview_every": 10**9, "keep_last": 10**6,
}  # fmt: skip
"""All rungs: one perceptual network and one set of weights, so that each rung changes one thing. The weights are not
the paper's: those balance VGG19's conv5_4, whose scale is another, and begin from a trained generator."""

RUNGS: dict[str, dict[str, Any]] = {
    "SRGAN": {},
    "without batch norm": {"network": "srresnet"},
    "dense blocks (RRDB)": {"network": "rrdb", "blocks": 2, "growth": 16},
    "relativistic average": {"adversarial.pairing": "average"},
    "features before activation": {"perceptual": "vgg16:conv4_3"},
    "PSNR pre-training (ESRGAN)": {},
    "that ten times as long, a weaker GAN": {
        "clip_gradient": 5.0,
        "gan_weight": 0.003,
        "perceptual_weight": 0.5,
        "gan_rate": 2e-4,
    },
}
"""What each rung changes in the one before it. The first five give all steps to the GAN stage, the sixth the first half
to the pixel stage. The last has ten times the steps before its GAN, as ESRGAN's authors give the pixels more steps than
the GAN, and the weights that so small a network can bear."""
STAGES = {"PSNR pre-training (ESRGAN)": (0.5, 0.5), "that ten times as long, a weaker GAN": (10, 1)}
"""Steps of the pixel stage and of the GAN stage, in those of a rung."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="for all rungs and seeds together")
    parser.add_argument("--steps", type=int, default=0, help="of each rung; overrules the rehearsal")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rungs", type=int, nargs="+", default=range(1, len(RUNGS) + 1), help="which, from 1")
    parser.add_argument("--data", default=".photos/photographs")
    parser.add_argument("--out", type=Path, default=Path("runs/ladder"))
    parser.add_argument("--no-page", action="store_true", help="leave docs/ alone")
    options = parser.parse_args()
    start = time.perf_counter()
    steps = decide_steps(options)
    print(f"{steps} steps a rung, seeds {options.seeds}", flush=True)
    pictures = [Scene.of(name) for name in CROPS]
    for seed in options.seeds:
        for rung in (list(RUNGS)[number - 1] for number in options.rungs):
            place = options.out / f"{slug(rung)}-seed{seed}"
            if place.with_suffix(".json").exists():
                continue
            if time.perf_counter() - start > 60 * options.minutes:
                print(f"{rung}, seed {seed}: not run", flush=True)
                continue
            train_rung(rung, steps, seed, options.data, place)
            result = score_rung(rung, steps, seed, place, pictures)
            runs.write_json(place.with_suffix(".json"), asdict(result))
            print(f"{rung}, seed {seed}: {result.line}", flush=True)
    if not options.no_page:
        write_page(options.out, steps, options.seeds, pictures)


# Training


def stages_of(rung: str, steps: int) -> tuple[int, int]:
    """Return the steps of the pixel stage and of the GAN stage."""
    pixel, gan = STAGES.get(rung, (0, 1))
    return int(pixel * steps), int(gan * steps)


def settings_of(rung: str, steps: int, seed: int, data: str) -> dict[str, Any]:
    """Return a rung's settings: the changes of all rungs up to it."""
    pixel, gan = stages_of(rung, steps)
    result = {**BASE, "pixel_steps": pixel, "gan_steps": gan, "seed": seed, "data": data}
    for name, changes in RUNGS.items():
        result.update(changes)
        if name == rung:
            break
    # A checkpoint falls on the end of the pixel stage, which the strip of alphas begins from.
    return {**result, "checkpoint_every": max(1, gan)}


def train_rung(rung: str, steps: int, seed: int, data: str, place: Path) -> None:
    """Train a rung, or resume it; a run that the collapse watch stopped is left as it is."""
    if divergence(place):
        return
    try:
        if runs.is_run(place):
            ganvas.train(resume=place, quiet=True)
        else:
            ganvas.train("esrgan", out=place, preset="srgan", settings=settings_of(rung, steps, seed, data), quiet=True)
    except UserError:
        if not divergence(place):
            raise


def divergence(place: Path) -> str:
    """Return why the collapse watch stopped a run; empty where it did not."""
    trips = [str(entry["sentinel"]["why"]) for entry in runs.read_log(place) if "sentinel" in entry]
    return trips[-1] if trips else ""


def decide_steps(options: argparse.Namespace) -> int:
    """Return the steps of each rung: those that the folder was begun with, those asked for, or what fits the time."""
    note = options.out / "ladder.json"
    begun = int(runs.read_json(note)["steps"]) if note.exists() else 0
    if begun and options.steps not in (0, begun):
        raise UserError(f"{options.out} was begun with {begun} steps a rung", do="Choose another --out")
    steps = begun or options.steps or fitting_steps(options)
    options.out.mkdir(parents=True, exist_ok=True)
    runs.write_json(note, {"steps": steps})
    return steps


def fitting_steps(options: argparse.Namespace) -> int:
    seconds = 0.0
    for rung in RUNGS:
        order = launch.order("esrgan", "srgan", settings_of(rung, 20, 0, options.data))
        stages = rehearsal.rehearse(launch.plan(order), steps=5)
        seconds += sum(stage.seconds_a_step * stage.steps for stage in stages) / 20
    # A tenth is left for checkpoints and scores.
    affordable = 0.9 * 60 * options.minutes / (seconds * len(options.seeds))
    return max(20, int(affordable) // 20 * 20)


# Scoring

CROPS = {"astronaut": (60, 150), "chelsea": (90, 130), "coffee": (150, 230), "rocket": (170, 250)}
"""The photographs of scikit-image that are scored, and where the crop that is shown begins (top, left)."""
CROP_PX = 128


@dataclass(frozen=True)
class Scene:
    """A photograph in [0, 1] (1, 3, H, W), its low version, and the bicubic enlargement of that."""

    name: str
    high: Tensor
    low: Tensor
    bicubic: Tensor

    @staticmethod
    def of(name: str) -> Scene:
        from skimage import data

        picture = torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)[None].float() / 255
        height, width = (side // SCALE * SCALE for side in picture.shape[-2:])
        high = picture[..., :height, :width]
        low = degrade.bicubic(high, SCALE)
        return Scene(name, high, low, degrade.resize_bicubic(low, size=(height, width)).clamp(0, 1))


@dataclass(frozen=True)
class Scores:
    """The means over the four photographs."""

    psnr_y: float
    lpips: float
    """Over Oxford's VGG16: it orders pictures, and VGG16 stands in the loss, too."""
    features_distance: float
    laplacian_ratio: float
    """Variance of the Laplacian divided by the truth's."""
    octave_ratios: tuple[float, float, float]
    correlation: float
    """High-pass correlation with the truth."""
    bar: float
    """The better correlation of bicubic + unsharp mask and bicubic + noise of the same variance."""
    sharp: bool
    brightness: float
    """How far the mean of Y lies off the truth's, in gray levels of 255, up or down."""


@dataclass(frozen=True)
class Result:
    """What became of one rung with one seed."""

    rung: str
    seed: int
    steps: int
    diverged: str
    """Why it was stopped; empty where all steps were done."""
    scores: Scores | None
    seconds_a_step: float
    parameters: int

    @property
    def line(self) -> str:
        if self.scores is None:
            return f"diverged: {self.diverged}"
        quality = f"{self.scores.psnr_y:.2f} dB, LPIPS {self.scores.lpips:.3f}"
        return f"{quality}, {self.seconds_a_step:.2f} s a step, {self.parameters:,} parameters"


def score_rung(rung: str, steps: int, seed: int, place: Path, pictures: Sequence[Scene]) -> Result:
    log = [entry["seconds_a_step"] for entry in runs.read_log(place) if "losses" in entry]
    seconds = statistics.fmean(log) if log else 0.0
    diverged = divergence(place)
    scores, parameters = None, 0
    if not diverged:
        net = load.build(weights_at(place, sum(stages_of(rung, steps))))
        parameters = sum(parameter.numel() for parameter in net.parameters())
        scores = score([upscale(net, scene) for scene in pictures], pictures)
    return Result(rung, seed, steps, diverged, scores, seconds, parameters)


def weights_at(place: Path, step: int) -> weights.Weights:
    """Return the averaged generator of a run's checkpoint."""
    saved = runs.read_checkpoint(place / "checkpoints" / runs.checkpoint_name(step))
    prefix = "generator/"
    tensors = {k.removeprefix(prefix): v for k, v in saved.groups["averages"].items() if k.startswith(prefix)}
    return weights.Weights(card=ESRGAN(launch.reorder(place).settings).card(), tensors=tensors)


@torch.no_grad()
def upscale(net: nn.Module, scene: Scene) -> Tensor:
    """Return the enlarged picture as an 8-bit file would hold it."""
    return degrade.round_to_8_bit(net(scene.low))


@torch.no_grad()
def score(results: Sequence[Tensor], pictures: Sequence[Scene]) -> Scores:
    """Return the scores of four enlarged photographs, without a border as wide as the scale."""
    inside = (..., slice(SCALE, -SCALE), slice(SCALE, -SCALE))
    lpips = open_lpips_vgg16()
    psnr, lpips_found, distances, brightness, reports = [], [], [], [], []
    for result, scene in zip(results, pictures):
        psnr.append(float(paired.psnr(paired.luma(result), paired.luma(scene.high), crop_px=SCALE)))
        lpips_found.append(float(lpips(result, scene.high)))
        distances.append(features_distance(result[inside], scene.high[inside]))
        brightness.append(abs(float(paired.brightness_error(result, scene.high, crop_px=SCALE))) * 255)
        ours, truth, bicubic = (paired.luma(p)[0, 0][inside] for p in (result, scene.high, scene.bicubic))
        reports.append(sharpness.compare_sharpness(ours, truth, bicubic))
    report = sharpness.mean_report(reports)
    return Scores(
        psnr_y=statistics.fmean(psnr),
        lpips=statistics.fmean(lpips_found),
        features_distance=statistics.fmean(distances),
        laplacian_ratio=report.result.laplacian_ratio,
        octave_ratios=report.result.octave_ratios,
        correlation=report.result.correlation,
        bar=max(report.unsharp.correlation, report.noise.correlation),
        sharp=report.sharp,
        brightness=statistics.fmean(brightness),
    )


SCORED_LAYERS = ("relu2_2", "relu3_2")
"""Layers of the small features, which no rung is trained on."""


@torch.no_grad()
def features_distance(result: Tensor, truth: Tensor) -> float:
    """Return the mean squared distance between the directions of small features: 0 for equal pictures, at most 4."""
    network = load_features("small", SCORED_LAYERS)
    assert network is not None
    ours, theirs = ({name: F.normalize(x, dim=1) for name, x in network(p).items()} for p in (result, truth))
    return statistics.fmean(float((ours[name] - theirs[name]).square().sum(1).mean()) for name in SCORED_LAYERS)


# The page


def write_page(out: Path, steps: int, seeds: Sequence[int], pictures: Sequence[Scene]) -> None:
    """Put the tables between their markers in docs/measured/esrgan.md, and the pictures beside it."""
    found = [json.loads(file.read_text()) for file in sorted(out.glob("*-seed*.json"))]
    write_between("ladder", ladder_table(found, steps, seeds, pictures))
    first, last = (out / f"{slug(rung)}-seed{seeds[0]}" for rung in (next(iter(RUNGS)), list(RUNGS)[-1]))
    if all(any(result["scores"] and place.name == name_of(result) for result in found) for place in (first, last)):
        write_between("crops", draw_crops({first: steps, last: sum(stages_of(list(RUNGS)[-1], steps))}, pictures))
    if any(result["scores"] and last.name == name_of(result) for result in found):
        write_between("alpha", alpha_table(last, steps, pictures))


def ladder_table(found: Sequence[Mapping[str, Any]], steps: int, seeds: Sequence[int], scenes: Sequence[Scene]) -> str:
    bicubic = asdict(score([degrade.round_to_8_bit(scene.bicubic) for scene in scenes], scenes))
    lines = [
        f"{steps} steps of 4 crops a rung; mean of {len(scenes)} photographs and {len(seeds)} seed(s).",
        "",
        "| rung | PSNR-Y, dB | LPIPS (VGG16) | small-features distance | detail | in place (bar) | sharp "
        "| brightness off | s a step | parameters | diverged |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        f"| bicubic | {cells([bicubic])} | | | |",
    ]
    for number, rung in enumerate(RUNGS):
        results = [result for result in found if result["rung"] == rung and result["steps"] == steps]
        name = rung if number == 0 else f"+ {rung}"
        if not results:
            lines.append(f"| {name} | not run | | | | | | | | | |")
            continue
        scored = [result["scores"] for result in results if result["scores"]]
        seconds = statistics.fmean(result["seconds_a_step"] for result in results)
        parameters = max(result["parameters"] for result in results)
        diverged = f"{len(results) - len(scored)} of {len(results)}"
        values = cells(scored) if scored else " | " * 6
        lines.append(f"| {name} | {values} | {seconds:.2f} | {parameters:,} | {diverged} |")
    return "\n".join(lines)


def cells(scored: Sequence[Mapping[str, Any]]) -> str:
    """Return the means of scores as table cells."""

    def mean(name: str) -> float:
        return statistics.fmean(scores[name] for scores in scored)

    sharp = sum(scores["sharp"] for scores in scored)
    verdict = ("yes" if sharp else "no") if len(scored) == 1 else f"{sharp} of {len(scored)}"
    return (
        f"{mean('psnr_y'):.2f} | {mean('lpips'):.3f} | {mean('features_distance'):.3f} | "
        f"{mean('laplacian_ratio'):.0%} | {mean('correlation'):.2f} ({mean('bar'):.2f}) | {verdict} | "
        f"{mean('brightness'):.2f}"
    )


def draw_crops(places: Mapping[Path, int], pictures: Sequence[Scene]) -> str:
    nets = [load.build(weights_at(place, step)) for place, step in places.items()]
    lines = ["*low | bicubic | SRGAN | ESRGAN | truth*", ""]
    for scene in pictures:
        low = F.interpolate(scene.low, scale_factor=SCALE, mode="nearest")
        file = f"esrgan-{scene.name}.png"
        draw(file, [low, scene.bicubic, *(upscale(net, scene) for net in nets), scene.high], scene.name)
        lines.append(f"![{scene.name}: low, bicubic, SRGAN, ESRGAN, truth](../pictures/{file})")
    return "\n".join(lines)


def alpha_table(place: Path, steps: int, pictures: Sequence[Scene]) -> str:
    pixel, gan = stages_of(list(RUNGS)[-1], steps)
    careful, crisp = weights_at(place, pixel), weights_at(place, pixel + gan)
    nets = [load.build(weights.blend(careful, crisp, alpha)) for alpha in ALPHAS]
    sheets = [[upscale(net, scene) for scene in pictures] for net in nets]
    scored = [score(results, pictures) for results in sheets]
    shown = list(CROPS).index("chelsea")
    draw("esrgan-alpha.png", [results[shown] for results in sheets], "chelsea")
    rows = {
        "alpha": [f"{alpha:g}" for alpha in ALPHAS],
        "PSNR-Y, dB": [f"{scores.psnr_y:.2f}" for scores in scored],
        "LPIPS (VGG16)": [f"{scores.lpips:.3f}" for scores in scored],
        "small-features distance": [f"{scores.features_distance:.3f}" for scores in scored],
    }
    lines = [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]
    lines.insert(1, "|---" * (len(ALPHAS) + 1) + "|")
    return "\n".join([*lines, "", "![alpha 0, 0.2, 0.4, 0.6, 0.8, 1](../pictures/esrgan-alpha.png)"])


def draw(file: str, whole: Sequence[Tensor], name: str) -> None:
    """Write the same crop of several pictures side by side."""
    top, left = CROPS[name]
    crops = [F.pad(picture[0, :, top : top + CROP_PX, left : left + CROP_PX], (0, 2), value=1.0) for picture in whole]
    strip = torch.cat(crops, dim=-1)[..., :-2].clamp(0, 1).permute(1, 2, 0)
    PICTURES.mkdir(parents=True, exist_ok=True)
    images.write(PICTURES / file, images.from_float(strip.numpy(), "uint8"), overwrite=True)


def write_between(marker: str, text: str) -> None:
    """Replace what stands between <!-- marker --> and <!-- /marker --> in the page."""
    page = PAGE.read_text()
    before, opening, rest = page.partition(f"<!-- {marker} -->")
    _, closing, after = rest.partition(f"<!-- /{marker} -->")
    if not opening or not closing:
        raise UserError(f"{PAGE} lacks the markers <!-- {marker} --> and <!-- /{marker} -->")
    runs.write_atomically(PAGE, f"{before}{opening}\n{text}\n{closing}{after}".encode())


def slug(rung: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in rung.lower()).split()
    return f"{list(RUNGS).index(rung) + 1}-{'-'.join(words)}"


def name_of(result: Mapping[str, Any]) -> str:
    return f"{slug(result['rung'])}-seed{result['seed']}"


if __name__ == "__main__":
    try:
        main()
    except (loop.Stopped, KeyboardInterrupt):
        print("Stopped. The same command goes on.")
        sys.exit(130)
    except UserError as error:
        sys.exit(str(error))
