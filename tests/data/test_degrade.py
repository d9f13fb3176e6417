"""Degradations against plain NumPy, Pillow's resize and JPEG, closed forms, and properties."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs

from ganvas.data import degrade
from ganvas.data.degrade import Round, SecondOrder
from ganvas.errors import UserError


def plain_imresize(line: np.ndarray, target: int, scale: float) -> np.ndarray:
    """MATLAB's rule for one line of doubles, one output at a time, with MATLAB's indices from one."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    width = 4 / scale if scale < 1 else 4.0
    outputs = []
    for x in range(1, target + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - width / 2)
        total = norm = 0.0
        for tap in range(left, left + math.ceil(width) + 2):
            weight = scale * cubic(scale * (u - tap)) if scale < 1 else cubic(u - tap)
            fold = (tap - 1) % (2 * len(line))
            total += weight * line[fold if fold < len(line) else 2 * len(line) - 1 - fold]
            norm += weight
        outputs.append(total / norm)
    return np.array(outputs)


def plain_imresize_picture(picture: np.ndarray, scale: float) -> np.ndarray:
    height, width = (math.ceil(side * scale) for side in picture.shape)
    columns = np.stack([plain_imresize(line, height, scale) for line in picture.T], axis=1)
    return np.stack([plain_imresize(line, width, scale) for line in columns])


def photo(height: int = 96, width: int = 128) -> torch.Tensor:
    crop = photographs.astronaut()[20 : 20 + height, 160 : 160 + width]
    return torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


def decibels(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean()))


# MATLAB's imresize


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.3, 0.77, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("shape", [(24, 36), (17, 23), (5, 3)])
def test_resize_equals_a_plain_writing_of_imresize(shape, scale):
    picture = np.random.default_rng(0).random(shape)
    ours = degrade.resize_bicubic(torch.from_numpy(picture)[None, None], scale)[0, 0].numpy()
    assert ours.shape == tuple(math.ceil(side * scale) for side in shape)
    np.testing.assert_allclose(ours, plain_imresize_picture(picture, scale), atol=1e-12)


def test_resize_equals_pillow_away_from_the_border():
    # Pillow uses the same kernel and centres, but cuts the kernel at the border where MATLAB mirrors the picture.
    picture = np.random.default_rng(1).random((96, 128)).astype(np.float32)
    theirs = np.asarray(Image.fromarray(picture).resize((32, 24), Image.Resampling.BICUBIC))
    ours = degrade.resize_bicubic(torch.from_numpy(picture)[None, None], 1 / 4)[0, 0].numpy()
    np.testing.assert_allclose(ours[2:-2, 2:-2], theirs[2:-2, 2:-2], atol=2e-6)
    assert np.abs(ours - theirs).max() > 1e-4


def test_resize_to_a_size_scales_each_axis_by_itself():
    picture = np.random.default_rng(2).random((20, 30))
    ours = degrade.resize_bicubic(torch.from_numpy(picture)[None, None], size=(7, 45))[0, 0].numpy()
    columns = np.stack([plain_imresize(line, 7, 7 / 20) for line in picture.T], axis=1)
    np.testing.assert_allclose(ours, np.stack([plain_imresize(line, 45, 1.5) for line in columns]), atol=1e-12)


@pytest.mark.parametrize("scale", [1 / 4, 0.37, 3.0])
def test_resize_keeps_constants_and_ramps(scale):
    constant = degrade.resize_bicubic(torch.full((1, 1, 30, 30), 0.7, dtype=torch.float64), scale)
    torch.testing.assert_close(constant, torch.full_like(constant, 0.7), atol=1e-14, rtol=0)
    ramp = torch.arange(80, dtype=torch.float64).expand(1, 1, 8, 80)
    resized = degrade.resize_bicubic(ramp, scale)[0, 0, 0]
    centres = (torch.arange(len(resized), dtype=torch.float64) + 0.5) / scale - 0.5
    inner = slice(3, -3) if scale < 1 else slice(12, -12)
    # The antialiasing kernel, sampled and renormalised, reproduces a ramp only approximately at odd scales.
    torch.testing.assert_close(resized[inner], centres[inner], atol=0.03, rtol=0)


def test_resize_rounds_no_size_up_for_the_sake_of_a_last_bit():
    picture = torch.zeros(1, 1, 30, 300)
    assert degrade.resize_bicubic(picture, 0.1).shape[-2:] == (3, 30)
    assert degrade.resize_bicubic(picture, 1 / 3).shape[-2:] == (10, 100)


def test_resize_is_differentiable_and_exact_under_autocast():
    picture = torch.rand(1, 2, 9, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p: degrade.resize_bicubic(p, 0.5), picture)
    single = photo()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = degrade.resize_bicubic(single, 0.25)
    assert torch.equal(inside, degrade.resize_bicubic(single, 0.25))


def test_resize_first_run_in_inference_mode_does_not_spoil_later_training():
    with torch.inference_mode():
        degrade.resize_bicubic(torch.rand(1, 1, 11, 13), 0.5)
    picture = torch.rand(1, 1, 11, 13, requires_grad=True)
    degrade.resize_bicubic(picture, 0.5).sum().backward()
    assert picture.grad is not None


def test_resize_refuses_what_it_cannot_do():
    with pytest.raises(UserError, match="scale or a size"):
        degrade.resize_bicubic(torch.zeros(1, 1, 4, 4))
    with pytest.raises(UserError, match="no pixels"):
        degrade.resize_bicubic(torch.zeros(1, 1, 4, 4), size=(0, 4))


def test_bicubic_low_is_what_an_8_bit_file_holds():
    high = photo()
    low = degrade.bicubic(high, 4)
    assert low.shape == (1, 3, 24, 32)
    torch.testing.assert_close(low * 255, (low * 255).round(), atol=1e-4, rtol=0)
    exact = degrade.bicubic(high, 4, rounded=False)
    assert 0 < float((low - exact).abs().max()) <= 0.5 / 255 + 1e-6
    with pytest.raises(UserError, match="multiples of 4"):
        degrade.bicubic(high[..., :-1], 4)


# Kernels


def test_isotropic_gaussian_is_the_closed_form():
    kernel = degrade.bell_kernel(9, (1.3, 1.3), angle=0.7)
    line = torch.arange(9, dtype=torch.float64) - 4
    expected = torch.exp(-line.square() / (2 * 1.3**2))
    torch.testing.assert_close(kernel, torch.outer(expected, expected) / expected.sum() ** 2)


def test_anisotropic_gaussian_has_the_covariance_asked_for():
    angle, sigmas = 0.5, (3.0, 1.5)
    kernel = degrade.bell_kernel(41, sigmas, angle)
    line = torch.arange(41, dtype=torch.float64) - 20
    covariance_xy = (kernel * line[:, None] * line[None, :]).sum()
    variance_x = (kernel * line[None, :].square()).sum()
    spread = sigmas[0] ** 2 - sigmas[1] ** 2
    assert float(covariance_xy) == pytest.approx(spread * math.sin(angle) * math.cos(angle), rel=1e-3)
    assert float(variance_x) == pytest.approx(sigmas[1] ** 2 + spread * math.cos(angle) ** 2, rel=1e-3)


def test_generalised_kernels_meet_the_gaussian_at_beta_one_and_plateaus_are_flatter():
    gaussian = degrade.bell_kernel(15, (2.0, 1.0), 0.3)
    torch.testing.assert_close(degrade.bell_kernel(15, (2.0, 1.0), 0.3, "generalised", 1.0), gaussian)
    plateau = degrade.bell_kernel(15, (2.0, 2.0), 0.0, "plateau", 2.0)
    # 1 / (1 + q^2) at q = 1 is half of the peak.
    assert float(plateau[7, 9] / plateau[7, 7]) == pytest.approx(0.5)


def test_sinc_kernel_is_an_ideal_low_pass_but_for_its_truncation():
    kernel = degrade.sinc_kernel(101, math.pi / 2)
    response = torch.fft.fft2(kernel, s=(256, 256)).abs()
    assert float(response[0, 0]) == pytest.approx(1.0)
    assert float(response[0, 32]) == pytest.approx(1.0, abs=0.1)  # half of the cutoff, 64
    assert float(response[0, 110]) < 0.05
    assert float(kernel.min()) < 0  # it rings


def test_blur_equals_scipy_and_keeps_constants():
    from scipy.ndimage import convolve

    picture = torch.rand(2, 3, 20, 24, dtype=torch.float64)
    kernel = torch.rand(7, 7, dtype=torch.float64)  # lopsided, so that a flipped kernel is noticed
    theirs = convolve(picture.numpy(), kernel.numpy()[None, None], mode="mirror")
    np.testing.assert_allclose(degrade.blur(picture, kernel).numpy(), theirs, atol=1e-12)
    small = torch.full((1, 3, 5, 6), 0.4)
    torch.testing.assert_close(degrade.blur(small, degrade.bell_kernel(21, (2.0, 2.0))), small)


# Noise


def test_gaussian_noise_has_its_deviation_and_gray_noise_has_no_colour():
    gray = torch.full((1, 3, 128, 128), 0.5)
    random = torch.Generator().manual_seed(0)
    noise = degrade.add_gaussian_noise(gray, 10.0, False, random) - gray
    assert float(noise.std()) == pytest.approx(10 / 255, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=1e-3)
    assert abs(float(torch.corrcoef(noise.flatten(2)[0])[0, 1])) < 0.03
    noise = degrade.add_gaussian_noise(gray, 10.0, True, random) - gray
    assert torch.equal(noise[:, 0], noise[:, 2])


@pytest.mark.parametrize("gray", [False, True])
def test_poisson_noise_grows_with_light(gray):
    random = torch.Generator().manual_seed(0)
    deviations = []
    for value in (0.1, 0.4):
        picture = torch.full((1, 3, 128, 128), value)
        noise = degrade.add_poisson_noise(picture, 1.5, gray, random) - picture
        assert float(noise.std()) == pytest.approx(1.5 * math.sqrt(value / 256), rel=0.03)
        deviations.append(float(noise.std()))
    assert deviations[1] / deviations[0] == pytest.approx(2.0, rel=0.04)


# JPEG


def pillow_jpeg(picture: torch.Tensor, quality: int) -> torch.Tensor:
    pixels = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    decoded = np.asarray(Image.open(file)).astype(np.float32) / 255
    return torch.from_numpy(decoded).permute(2, 0, 1)[None]


@pytest.mark.parametrize("size", [(96, 128), (83, 101)])
@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_jpeg_equals_pillows_file(quality, size):
    high = photo(*size)
    ours, theirs = degrade.jpeg(high, quality), pillow_jpeg(high, quality)
    assert ours.shape == high.shape
    assert decibels(ours, theirs) > 45
    assert decibels(ours, high) == pytest.approx(decibels(theirs, high), abs=0.05)
    assert float((ours - theirs).mean()) == pytest.approx(0, abs=0.2 / 255)


def test_jpeg_takes_a_quality_for_each_picture():
    high = photo()
    both = degrade.jpeg(torch.cat([high, high]), torch.tensor([20.0, 90.0]))
    assert torch.equal(both[:1], degrade.jpeg(high, 20)) and torch.equal(both[1:], degrade.jpeg(high, 90))


# Second order


def test_defaults_are_the_papers_values():
    # arXiv 2107.10833, section 4.1 and the published options of the x4plus model.
    settings = SecondOrder()
    first, second = settings.first, settings.second
    assert (settings.scale, settings.final_sinc_chance) == (4, 0.8)
    assert (first.blur_chance, second.blur_chance) == (1.0, 0.8)
    assert (first.sigma_px, second.sigma_px) == ((0.2, 3.0), (0.2, 1.5))
    assert (first.resize_weights, second.resize_weights) == ((0.2, 0.7, 0.1), (0.3, 0.4, 0.3))
    assert (first.resize_range, second.resize_range) == ((0.15, 1.5), (0.3, 1.2))
    assert (first.gaussian_sigma, second.gaussian_sigma) == ((1, 30), (1, 25))
    assert (first.poisson_strength, second.poisson_strength) == ((0.05, 3), (0.05, 2.5))
    for order in (first, second):
        assert order.kernel_px == (7, 21) and order.sinc_chance == 0.1
        assert order.shape_weights == (0.7, 0.15, 0.15)
        assert (order.generalised_beta, order.plateau_beta) == ((0.5, 4), (1, 2))
        assert (order.gaussian_chance, order.gray_chance, order.jpeg_quality) == (0.5, 0.4, (30, 95))


@pytest.mark.parametrize(("scale", "size"), [(4, (64, 96)), (2, (50, 34)), (1, (24, 24))])
def test_second_order_gives_8_bit_low_pictures_repeatably(scale, size):
    high = photo(*size).expand(3, -1, -1, -1)
    settings = SecondOrder(scale=scale)
    lows = [degrade.degrade(high, settings, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert lows[0].shape == (3, 3, size[0] // scale, size[1] // scale)
    assert torch.equal(*lows)
    assert float(lows[0].min()) >= 0 and float(lows[0].max()) <= 1
    torch.testing.assert_close(lows[0] * 255, (lows[0] * 255).round(), atol=1e-4, rtol=0)
    assert not torch.equal(lows[0][0], lows[0][1]), "every picture has its own degradation"
    other = degrade.degrade(high, settings, torch.Generator().manual_seed(8))
    assert not torch.equal(lows[0], other)


def test_a_picture_is_degraded_alike_whatever_follows_it_in_the_batch():
    high = photo(64, 64)
    pair = torch.cat([high, high.flip(-1)])
    other = torch.cat([high, 1 - high])
    settings = SecondOrder()
    one = degrade.degrade(pair, settings, torch.Generator().manual_seed(3))
    two = degrade.degrade(other, settings, torch.Generator().manual_seed(3))
    assert torch.equal(one[0], two[0]) and not torch.equal(one[1], two[1])


def test_degradation_keeps_the_subject_and_varies_in_strength():
    high = photo(128, 128).expand(24, -1, -1, -1)
    low = degrade.degrade(high, SecondOrder(), torch.Generator().manual_seed(0))
    clean = degrade.bicubic(high, 4)
    scores = [decibels(a, b) for a, b in zip(low, clean)]
    assert min(scores) > 12 and max(scores) < 40
    assert max(scores) - min(scores) > 5
    assert float((low - clean).mean()) == pytest.approx(0, abs=0.03)


def test_a_mild_round_is_almost_no_degradation():
    mild = Round(
        blur_chance=0.0,
        resize_weights=(0.0, 0.0, 1.0),
        gaussian_chance=1.0,
        gaussian_sigma=(0.0, 0.0),
        jpeg_quality=(100.0, 100.0),
    )
    high = photo(64, 64)
    settings = SecondOrder(scale=1, first=mild, second=mild, final_sinc_chance=0.0)
    low = degrade.degrade(high, settings, torch.Generator().manual_seed(0))
    assert decibels(low, degrade.jpeg(degrade.jpeg(high, 100), 100)) > 60


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_some_files_have_seen_nothing_but_jpeg(scale):
    # Of one smooth picture those that were neither blurred, resized carelessly nor given noise differ from the clean
    # low picture by no more than JPEG changes it.
    high = photo(64, 64).expand(200, -1, -1, -1)
    usual = [
        replace(part, jpeg_quality=(95.0, 95.0)) for part in (degrade.files(scale).first, degrade.files(scale).second)
    ]
    settings = replace(degrade.files(scale), first=usual[0], second=usual[1])
    lows = degrade.degrade(high, settings, torch.Generator().manual_seed(0))
    clean = degrade.bicubic(high[:1], scale) if scale > 1 else high[:1]
    bar = decibels(degrade.jpeg(clean, 95), clean) - 1
    mild = sum(decibels(low[None], clean) > bar for low in lows)
    assert 5 <= mild <= 60


def test_files_that_suffer_twice_never_come_off_lightly():
    high = photo(64, 64).expand(100, -1, -1, -1)
    lows = degrade.degrade(high, degrade.files_twice(1), torch.Generator().manual_seed(0))
    assert max(decibels(low[None], high[:1]) for low in lows) < decibels(degrade.jpeg(high[:1], 95), high[:1])


def test_a_chance_of_zero_leaves_noise_and_the_first_round_out():
    plain = Round(blur_chance=0.0, resize_weights=(0.0, 0.0, 1.0), noise_chance=0.0, jpeg_quality=(40.0, 40.0))
    settings = SecondOrder(scale=1, first=Round(), second=plain, first_chance=0.0, final_sinc_chance=0.0)
    high = photo(64, 64)
    low = degrade.degrade(high, settings, torch.Generator().manual_seed(0))
    assert torch.equal(low, degrade.round_to_8_bit(degrade.jpeg(high, 40)))


def test_a_careful_resize_is_matlabs():
    plain = Round(
        blur_chance=0.0,
        resize_weights=(0.0, 0.0, 1.0),
        noise_chance=0.0,
        careless_chance=0.0,
        jpeg_quality=(60.0, 60.0),
    )
    settings = SecondOrder(scale=4, second=plain, first_chance=0.0, final_sinc_chance=0.0)
    high = photo(64, 64)
    low = degrade.degrade(high, settings, torch.Generator().manual_seed(0))
    shrunk = degrade.bicubic(high, 4, rounded=False)
    assert torch.equal(low, degrade.round_to_8_bit(degrade.jpeg(shrunk, 60)))


def test_random_kernels_keep_brightness_and_lie_in_their_ranges():
    dice = degrade._Dice(0)
    sizes = set()
    for _ in range(300):
        kernel = degrade._random_kernel(Round(), dice)
        assert torch.isfinite(kernel).all()
        assert float(kernel.sum()) == pytest.approx(1.0)
        sizes.add(len(kernel))
    assert sizes == set(range(7, 22, 2))


def test_degrade_refuses_sides_that_are_no_multiple_of_the_scale():
    with pytest.raises(UserError, match="multiples of 4"):
        degrade.degrade(photo(62, 64), SecondOrder(), torch.Generator())
