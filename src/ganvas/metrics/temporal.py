"""Scores of video in time: does it stay with the motion, does it flicker, does it drift away?

Frames are (T, 3, H, W) in [0, 1]. Everything is computed in float64 but the frames themselves.
Sources: Lai et al. 2018, "Learning blind video temporal consistency", section 4.2, for the warping error.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.flow import is_inside, warp
from ganvas.metrics.paired import luma

FLICKER_ABOVE = 0.25
"""Cycles a frame above which change counts as flicker: what takes less than four frames to come back."""
LEAST_FRAMES = 8
DRIFT_FRAMES = 100
"""Drift is given over so many frames."""


def warping_error(frames: Tensor, flow: Tensor, visible: Tensor | None = None) -> Tensor:
    """Return for each frame the mean squared difference from the next one fetched back along the flow.

    (T, 3, H, W), (T - 1, 2, H, W) -> (T - 1,)

    Where the flow leaves the picture, or a pixel is hidden in the next frame, nothing is counted.

    Args:
        frames: in [0, 1].
        flow: to the next frame, in pixels.
        visible: (T - 1, 1, H, W), 1 where a pixel is seen in the next frame; all of them by default.

    Raises:
        UserError: shapes do not fit, or nothing is visible between two frames.
    """
    if len(frames) < 2 or flow.shape != (len(frames) - 1, 2, *frames.shape[-2:]):
        why = f"{len(frames)} frames of {tuple(frames.shape[-2:])} and a flow of shape {tuple(flow.shape)}"
        raise UserError(
            "Frames and flow do not fit together", why, "Give a flow to the next frame for all but the last"
        )
    errors = []
    for number in range(len(frames) - 1):
        here = flow[number : number + 1]
        counted = is_inside(here).double()
        if visible is not None:
            counted = counted * visible[number : number + 1].double()
        if not float(counted.sum()):
            raise UserError(f"Nothing of frame {number} is visible in the next", do="Leave out the warping error")
        fetched = warp(frames[number + 1 : number + 2], here)
        difference = (frames[number : number + 1] - fetched).double().square().mean(1, keepdim=True)
        errors.append((difference * counted).sum() / counted.sum())
    return torch.stack(errors)


def temporal_spectrum(frames: Tensor) -> Tensor:
    """Return the energy of change by frequency, from 0 to half a cycle a frame, mean over all pixels' Y.

    (T, 3, H, W) -> (T // 2 + 1,)

    Each pixel's mean is taken off and a Hann window laid over the time.

    Raises:
        UserError: fewer than eight frames.
    """
    _check_length(frames)
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * (torch.arange(len(frames), dtype=torch.float64) + 0.5) / len(frames))
    energy = torch.zeros(len(frames) // 2 + 1, dtype=torch.float64)
    # In bands, so that a long clip's spectrum takes no more memory than the clip.
    for rows in frames.split(max(1, (1 << 22) // (len(frames) * frames.shape[-1])), dim=2):
        y = luma(rows)[:, 0]
        y = (y - y.mean(0)) * window[:, None, None]
        energy += torch.fft.rfft(y, dim=0, norm="forward").abs().square().sum(dim=(1, 2))
    return energy / (frames.shape[-2] * frames.shape[-1])


def flicker(fake: Tensor, real: Tensor) -> float:
    """Return how much more the result changes within less than four frames than the real clip does; 1 is as much.

    (T, 3, H, W), (T, 3, H, W) -> a number from 0

    The amplitudes above a quarter of a cycle a frame are compared, of Y.

    Raises:
        UserError: fewer than eight frames, or a real clip in which nothing changes.
    """
    energies = []
    for frames in (fake, real):
        spectrum = temporal_spectrum(frames)
        frequencies = torch.linspace(0, (len(frames) // 2) / len(frames), len(spectrum))
        energies.append(float(spectrum[frequencies > FLICKER_ABOVE].sum()))
    # Eight bits leave rounding alone in a still; it is no measure.
    if energies[1] <= 1e-12:
        raise UserError("In the real clip nothing changes from frame to frame", "Flicker is told by comparison")
    return (energies[0] / energies[1]) ** 0.5


def drift_curve(fake: Tensor, real: Tensor) -> Tensor:
    """Return for each frame how far its colours are from the real ones: root of the mean squared differences of the
    means and deviations of R, G and B.

    (T, 3, H, W), (T, 3, H, W) -> (T,)

    Raises:
        UserError: the clips differ in length.
    """
    if len(fake) != len(real):
        raise UserError("These clips differ in length", f"They have {len(fake)} and {len(real)} frames")
    moments = [
        torch.stack([torch.cat([frame.double().mean((1, 2)), frame.double().std((1, 2))]) for frame in frames])
        for frames in (fake, real)
    ]
    return (moments[0] - moments[1]).square().mean(1).sqrt()


def drift(fake: Tensor, real: Tensor) -> float:
    """Return by how much the colours move away from the real ones in 100 frames: the slope of `drift_curve`.

    (T, 3, H, W), (T, 3, H, W) -> a number; about 0 for a result that is equally good all along

    Raises:
        UserError: the clips differ in length, or have fewer than eight frames.
    """
    _check_length(fake)
    curve = drift_curve(fake, real)
    times = torch.arange(len(curve), dtype=torch.float64)
    times = times - times.mean()
    return float((times * curve).sum() / times.square().sum()) * DRIFT_FRAMES


def _check_length(frames: Tensor) -> None:
    if len(frames) < LEAST_FRAMES:
        raise UserError(f"{len(frames)} frames are too few", f"{LEAST_FRAMES} are needed to tell flicker and drift")
