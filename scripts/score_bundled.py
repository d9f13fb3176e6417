"""Score models on scikit-image's astronaut, coffee, chelsea and rocket, which none of ours was trained on.

    python scripts/score_bundled.py [MODEL ...] [--factor N] [--json FILE] [--card]

Low pictures are MATLAB's antialiased bicubic, rounded to 8 bits. Printed for each model: PSNR-Y of the mean of the four
and its gain over bicubic, the parts of *sharp* (energy in the top three octaves and variance of the Laplacian as shares
of the truth's, high-pass correlation with the truth) beside the two baselines tuned to the same variance, LPIPS over
Oxford's VGG16 where `ganvas features fetch vgg16 lpips` has been run (it orders pictures, and is not the published
LPIPS), the grid at periods of 2, 4 and 8 px, the tint of a gray photograph in levels of 255, and seconds a megapixel of
output on this machine. `--card` writes the scores into the card of each bundled file.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from skimage import data
from torch import Tensor

from ganvas.data.degrade import bicubic, resize_bicubic
from ganvas.errors import UserError
from ganvas.evaluation.extractors import open_lpips_vgg16
from ganvas.inference.open import resolve
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.metrics.grids import grid_energy
from ganvas.metrics.paired import brightness_error, luma, psnr, ssim
from ganvas.metrics.sharpness import SharpnessReport, compare_sharpness, mean_report

SCORED = ["photo-x4", "photo-x4-gan", "photo-x2", "compact-x4", "compact-x4-gan", "compact-x2"]
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


@dataclass(frozen=True)
class Score:
    """What a model scores on the four photographs, means over them."""

    model: str
    scale: int
    psnr_y: float
    bicubic_psnr_y: float
    ssim_y: float
    brightness_error: float
    lpips: float | None
    grid: dict[int, float]
    tint: float
    seconds_a_megapixel: float
    sharpness: SharpnessReport

    @property
    def gain(self) -> float:
        """PSNR-Y over that of bicubic, in dB."""
        return self.psnr_y - self.bicubic_psnr_y


def photograph(name: str, scale: int) -> np.ndarray:
    """Return a photograph (H, W, 3) of uint8 whose sides are multiples of the scale."""
    picture = getattr(data, name)()
    height, width = (side // scale * scale for side in picture.shape[:2])
    return picture[:height, :width]


def score(model: str, factor: int | None = None) -> Score:
    """Score one model, at its own scale or at another factor."""
    upscaler = Upscaler(model)
    scale = factor or upscaler.scale
    rows: list[tuple[float, float, float, float]] = []
    reports: list[SharpnessReport] = []
    made: list[Tensor] = []
    distances: list[float] = []
    try:
        lpips = open_lpips_vgg16()
    except UserError:
        lpips = None
    seconds = megapixels = 0.0
    upscaler(photograph(PHOTOGRAPHS[0], scale)[:64, :64])  # warms up
    for name in PHOTOGRAPHS:
        truth = photograph(name, scale)
        low = to_array(bicubic(to_tensor(truth), scale))
        start = time.perf_counter()
        ours = to_tensor(upscaler(low, factor=scale))
        seconds += time.perf_counter() - start
        megapixels += truth.shape[0] * truth.shape[1] / 1e6
        wanted = to_tensor(truth)
        plain = to_tensor(to_array(resize_bicubic(to_tensor(low), size=truth.shape[:2])))
        rows.append((
            float(psnr(luma(ours), luma(wanted), scale)),
            float(psnr(luma(plain), luma(wanted), scale)),
            float(ssim(luma(ours), luma(wanted), scale)),
            float(brightness_error(ours, wanted, scale)),
        ))  # fmt: skip
        reports.append(compare_sharpness(*(luma(picture)[0, 0] for picture in (ours, wanted, plain))))
        made.append(ours[0])
        if lpips is not None:
            with torch.no_grad():
                distances.append(float(lpips(ours, wanted)))
    gray = to_array(luma(bicubic(to_tensor(photograph("chelsea", scale)), scale)).expand(-1, 3, -1, -1))
    tint = np.ptp(upscaler(gray).astype(int), axis=-1).max()
    means = np.mean(rows, axis=0).tolist()
    distance = float(np.mean(distances)) if distances else None
    return Score(
        Path(model).stem, scale, *means, distance, grid_energy(made), float(tint), seconds / megapixels,
        mean_report(reports),
    )  # fmt: skip


def to_tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) of uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(images.to_float(picture)).permute(2, 0, 1)[None]


def to_array(picture: Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] -> (H, W, 3) of uint8."""
    return images.from_float(picture.clamp(0, 1)[0].permute(1, 2, 0).numpy(), "uint8")


def table(scores: list[Score]) -> str:
    """Return the scores as a Markdown table."""
    lines = [
        "| model | PSNR-Y | gain over bicubic | SSIM-Y | energy in the top octaves | Laplacian | correlation "
        "| unsharp / noise | sharp | LPIPS (VGG16) | grid, dB | tint | s/MP |",
        "|" + "---|" * 13,
    ]
    for found in scores:
        report = found.sharpness
        octaves = ", ".join(f"{100 * ratio:.0f} %" for ratio in report.result.octave_ratios)
        lines.append(
            f"| {found.model} | {found.psnr_y:.2f} dB | {found.gain:+.2f} dB | {found.ssim_y:.4f} | {octaves} "
            f"| {100 * report.result.laplacian_ratio:.0f} % | {report.result.correlation:.3f} "
            f"| {report.unsharp.correlation:.3f} / {report.noise.correlation:.3f} "
            f"| {'yes' if report.sharp else 'no'} | {'' if found.lpips is None else f'{found.lpips:.4f}'} "
            f"| {', '.join(f'{energy:.1f}' for energy in found.grid.values())} | {found.tint:.0f} "
            f"| {found.seconds_a_megapixel:.2f} |"
        )
    return "\n".join(lines)


def write_into_card(found: Score) -> None:
    """Write a score into the card of a bundled file."""
    path = resolve(found.model)
    stored = weights.read(path)
    numbers = {"psnr_y": round(found.psnr_y, 3), "gain_over_bicubic": round(found.gain, 3)}
    weights.save(path, stored.tensors, replace(stored.card, scores=numbers), stored.attachments, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=SCORED)
    parser.add_argument("--factor", type=int, help="enlargement, where it is not the model's own")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--card", action="store_true", help="write the scores into the cards of bundled files")
    options = parser.parse_args()
    scores = [score(model, options.factor) for model in options.models]
    print(table(scores))
    if options.json:
        options.json.write_text(json.dumps([{**asdict(s), "sharp": s.sharpness.sharp} for s in scores], indent=2))
    if options.card:
        for found in scores:
            write_into_card(found)


if __name__ == "__main__":
    main()
