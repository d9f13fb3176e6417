"""Gray stays gray and highlights do not ring, whatever the network does; elsewhere it has its way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas.inference.rows.restraint import without_tints


class Tinting(nn.Module):
    """Enlarges, sharpens far too much, and tints every detail."""

    def forward(self, low):
        high = nn.functional.interpolate(low, scale_factor=4, mode="bicubic")
        detail = high - nn.functional.avg_pool2d(high, 9, 1, 4)
        return high + detail * torch.tensor([3.0, 1.0, -2.0])[:, None, None]


def pattern(kind, dtype):
    """Gray pictures that are stored in colours, with all the detail that there can be."""
    top = np.iinfo(dtype).max
    random = np.random.default_rng(0)
    plane = {
        "stripes": np.tile(np.arange(48) % 2 * top, (40, 1)),
        "noise": random.integers(0, top + 1, (40, 48)),
        "text": (random.random((40, 48)) > 0.8) * top,
    }[kind].astype(dtype)
    return np.repeat(plane[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", ["stripes", "noise", "text"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_in_is_gray_out(kind, dtype):
    picture = pattern(kind, dtype)
    for model in (Tinting(), "default", "compact-x4-gan"):
        made = ganvas.Upscaler(model)(picture).astype(int)
        assert (made.max(axis=2) == made.min(axis=2)).all()


def test_gray_beside_alpha_and_after_jpeg_stays_gray():
    picture = pattern("text", np.uint8)
    with_alpha = np.concatenate([picture, np.full_like(picture[..., :1], 200)], axis=2)
    colours = ganvas.Upscaler(Tinting())(with_alpha)[..., :3].astype(int)
    assert (colours.max(axis=2) == colours.min(axis=2)).all()
    # JPEG leaves a level or so of colour in a gray picture: no more may come out of it than that.
    jittered = np.clip(picture.astype(int) + np.random.default_rng(1).integers(0, 2, picture.shape), 0, 255)
    made = ganvas.Upscaler(Tinting())(jittered.astype(np.uint8)).astype(int)
    assert (made.max(axis=2) - made.min(axis=2)).max() <= 4


def test_a_gray_part_of_a_coloured_picture_stays_gray_and_the_rest_is_the_networks():
    picture = pattern("noise", np.uint8)
    picture[:, 24:] = np.random.default_rng(2).integers(0, 256, (40, 24, 3))
    made = ganvas.Upscaler(Tinting(), precision="float32")(picture).astype(int)
    gray = made[:, : 4 * 21]
    assert (gray.max(axis=2) == gray.min(axis=2)).all()
    low = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    own = Tinting()(low)
    coloured = without_tints(low, Tinting()(low))[..., 4 * 27 :]
    assert (coloured - own[..., 4 * 27 :]).abs().max() < 1e-5


def test_tiles_show_what_the_whole_picture_shows():
    picture = pattern("noise", np.uint8)
    picture[10:20, 10:30] = np.random.default_rng(3).integers(0, 256, (10, 20, 3))
    whole = ganvas.Upscaler("compact-x4", precision="float32")(picture)
    tiled = ganvas.Upscaler("compact-x4", precision="float32", tile=40)(picture)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def sky(brightness, radius=8.0, side=64):
    y, x = np.mgrid[:side, :side]
    disc = np.clip(radius + 0.5 - np.hypot(x - side // 2, y - side // 2), 0, 1) * brightness
    return np.repeat((disc + 0.3)[..., None], 3, axis=2).astype(np.float32)


@pytest.mark.parametrize("brightness", [2, 100, 10_000, 60_000])
@pytest.mark.parametrize("radius", [0.4, 2.0, 8.0])
@pytest.mark.parametrize("model", ["default", "compact-x4-gan"])
def test_a_highlight_keeps_its_energy_and_makes_no_rings(brightness, radius, model):
    given = sky(brightness, radius)
    made = ganvas.Upscaler(model)(given, scene_linear=True)
    assert made.min() > 0.1 and made.max() < 1.05 * given.max()
    energy = made.reshape(64, 4, 64, 4, 3).mean((1, 3)).sum() / given.sum()
    assert energy == pytest.approx(1, abs=0.02)
    # Away from the sun the sky is as it was.
    assert np.abs(made[:32] - 0.3).max() < 0.02


def test_heights_stay_within_their_range():
    y, x = np.mgrid[:48, :64]
    for low, high in ((-500, 6600), (0, 8848), (-11_000, -200)):
        heights = np.where((x // 8 + y // 8) % 2, high, low).astype(np.float32)
        made = ganvas.Upscaler("default")(heights)
        span = high - low
        assert made.min() > low - 0.05 * span and made.max() < high + 0.05 * span
        assert made.mean() == pytest.approx(heights.mean(), abs=0.02 * span)


def test_a_network_never_sees_light_beyond_its_range():
    seen = []

    class Watching(nn.Module):
        def forward(self, low):
            seen.append((float(low.min()), float(low.max())))
            return nn.functional.interpolate(low, scale_factor=2)

    for picture in (sky(60_000), np.where(sky(1) > 0.8, 8848, -430).astype(np.float32)):
        seen.clear()
        made = ganvas.Upscaler(Watching(), precision="float32")(picture)
        assert min(low for low, _ in seen) >= 0 and max(high for _, high in seen) <= 1
        assert np.allclose(made, picture.repeat(2, 0).repeat(2, 1), rtol=1e-3)


def test_soft_ramps_of_light_pass_unchanged():
    ramp = np.repeat(np.linspace(0.5, 40, 64, dtype=np.float32)[None, :, None].repeat(32, axis=0), 3, axis=2)
    made = ganvas.Upscaler("default")(ramp, scene_linear=True)
    wanted = np.interp((np.arange(256) + 0.5) / 4 - 0.5, np.arange(64), ramp[0, :, 0])
    assert np.abs(made[:, 16:-16, 1] / wanted[16:-16] - 1).max() < 0.05
