"""The definition of sharp: closed forms, Parseval, SciPy, and pictures that must pass or fail."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data as photographs

from ganvas.errors import UserError
from ganvas.metrics import sharpness


def photo() -> torch.Tensor:
    return torch.from_numpy(photographs.camera()[100:292, 120:320] / 255.0)


def softened(y: torch.Tensor, sigma: float = 2.0) -> torch.Tensor:
    """A stand-in for a bicubic enlargement: the plane without its finest detail."""
    return torch.from_numpy(ndimage.gaussian_filter(y.numpy(), sigma))


def wave(cycles_a_pixel: float, angle: float, side: int = 128) -> torch.Tensor:
    y, x = np.mgrid[:side, :side]
    return torch.from_numpy(np.sin(2 * np.pi * cycles_a_pixel * (x * math.cos(angle) + y * math.sin(angle))))


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2])
@pytest.mark.parametrize(("cycles", "octave"), [(0.375, 0), (0.1875, 1), (0.09375, 2)])
def test_a_wave_lies_in_its_octave_at_every_angle(cycles, octave, angle):
    energies = sharpness.octave_energies(wave(cycles, angle))
    assert float(energies[octave] / energies.sum()) > 0.999
    # The mean square of a sine is 1/2, that of a Hann window 3/8 along each axis.
    assert float(energies[octave]) == pytest.approx(0.5 * 0.375**2, rel=0.01)


def test_waves_below_the_octaves_and_beyond_nyquist_belong_to_none():
    assert float(sharpness.octave_energies(wave(0.03, 0.4)).sum()) < 1e-5
    assert float(sharpness.octave_energies(wave(0.62, math.pi / 4)).sum()) < 1e-5


def test_energies_of_all_frequencies_sum_to_the_mean_square():
    y = photo()[:101]
    window = [0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n) for n in y.shape]
    mean_square = float(np.mean(((y.numpy() - y.numpy().mean()) * np.outer(*window)) ** 2))
    bands = [sharpness.band_energy(y, low, high) for low, high in [(-1, 0), (0, 1 / 16), (0.5, 1)]]
    total = float(sum(bands) + sharpness.octave_energies(y).sum())
    assert total == pytest.approx(mean_square, rel=1e-12)


def test_white_noise_fills_the_octaves_by_their_area():
    y = torch.randn(512, 512, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energies = sharpness.octave_energies(y) / (0.375**2)
    areas = [math.pi * ((0.5 / 2**k) ** 2 - (0.25 / 2**k) ** 2) for k in range(3)]
    np.testing.assert_allclose(energies, areas, rtol=0.05)


def test_laplacian_variance_equals_scipy():
    y = photo()
    expected = ndimage.laplace(y.numpy())[1:-1, 1:-1].var()
    assert float(sharpness.laplacian_variance(y)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_high_pass_correlation_equals_numpy_and_scipy(sigma):
    a = photo()
    b = a + 0.1 * torch.rand(a.shape, dtype=torch.float64)
    passes = [y.numpy() - ndimage.gaussian_filter(y.numpy(), sigma, mode="mirror", truncate=3.0) for y in (a, b)]
    np.testing.assert_allclose(sharpness.high_pass(a, sigma), passes[0], atol=1e-12)
    if sigma == sharpness.HIGH_PASS_SIGMA_PX:
        expected = np.corrcoef(passes[0].ravel(), passes[1].ravel())[0, 1]
        assert float(sharpness.high_pass_correlation(a, b)) == pytest.approx(expected, abs=1e-12)


def test_correlation_knows_no_gain_or_offset_but_a_sign():
    a, b = photo(), softened(photo(), 0.7)
    correlation = sharpness.high_pass_correlation(a, b)
    torch.testing.assert_close(sharpness.high_pass_correlation(3 * a + 0.2, 0.5 * b - 1), correlation)
    torch.testing.assert_close(sharpness.high_pass_correlation(-a, b), -correlation)
    assert float(sharpness.high_pass_correlation(a, torch.full_like(a, 0.3))) == pytest.approx(0, abs=1e-6)


def test_measures_take_batches():
    planes = torch.stack([photo(), softened(photo())])[:, None]
    assert sharpness.octave_energies(planes).shape == (2, 1, 3)
    torch.testing.assert_close(sharpness.laplacian_variance(planes)[1, 0], sharpness.laplacian_variance(planes[1, 0]))
    torch.testing.assert_close(
        sharpness.high_pass_correlation(planes, planes.flip(0))[0, 0],
        sharpness.high_pass_correlation(planes[0, 0], planes[1, 0]),
    )


def test_truth_is_sharp_and_bicubic_is_not():
    truth = photo()
    report = sharpness.compare_sharpness(truth, truth, softened(truth))
    assert report.sharp
    assert report.result.octave_ratios == (1.0, 1.0, 1.0) and report.result.laplacian_ratio == 1.0
    assert report.result.correlation == pytest.approx(1.0)
    assert not sharpness.compare_sharpness(softened(truth), truth, softened(truth)).sharp
    assert not sharpness.compare_sharpness(softened(truth, 0.6), truth, softened(truth)).sharp


def test_cheats_have_the_results_variance():
    truth = photo()
    result = 0.4 * softened(truth) + 0.6 * truth
    report = sharpness.compare_sharpness(result, truth, softened(truth))
    assert report.bicubic.laplacian_ratio < 0.1 * report.result.laplacian_ratio
    for baseline in (report.unsharp, report.noise):
        assert baseline.laplacian_ratio == pytest.approx(report.result.laplacian_ratio, rel=1e-9)
        assert baseline.amount > 0


def test_noise_has_the_detail_but_not_in_its_place():
    # Noise of the spectrum of what is missing (a little more, as its cross terms are lost): every ratio is right,
    # and only the correlation unmasks it.
    truth = photo()
    bicubic = softened(truth)
    missing = (truth - bicubic).numpy()
    phases = np.angle(np.fft.fft2(np.random.default_rng(0).normal(size=missing.shape)))
    shuffled = np.fft.ifft2(np.abs(np.fft.fft2(missing)) * np.exp(1j * phases)).real
    report = sharpness.compare_sharpness(bicubic + 1.1 * torch.from_numpy(shuffled), truth, bicubic)
    assert report.result.is_detailed
    assert report.result.correlation < report.unsharp.correlation
    assert not report.sharp


def test_detail_beyond_the_truths_is_not_sharp():
    truth = photo()
    report = sharpness.compare_sharpness(truth + 0.5 * (truth - softened(truth)), truth, softened(truth))
    assert report.result.correlation > 0.9 and not report.result.is_detailed and not report.sharp


def test_judgement_knows_no_gain_or_offset():
    truth = photo()
    result, bicubic = 0.7 * truth + 0.3 * softened(truth), softened(truth)
    one = sharpness.compare_sharpness(result, truth, bicubic)
    two = sharpness.compare_sharpness(0.5 * result + 0.25, 0.5 * truth + 0.25, 0.5 * bicubic + 0.25)
    for row, other in zip(one.rows()[:3], two.rows()[:3]):
        assert row.octave_ratios == pytest.approx(other.octave_ratios)
        assert (row.laplacian_ratio, row.correlation) == pytest.approx((other.laplacian_ratio, other.correlation))
    assert one.noise.amount == pytest.approx(2 * two.noise.amount)


def test_a_flat_truth_gives_a_verdict_and_no_error():
    flat = torch.full((32, 32), 0.5)
    assert not sharpness.compare_sharpness(flat, flat, flat).sharp
    report = sharpness.compare_sharpness(torch.rand(32, 32), flat, flat)
    assert report.result.laplacian_ratio == math.inf and not report.sharp


def test_mean_report_is_the_mean_of_every_number():
    truth = photo()
    reports = [
        sharpness.compare_sharpness(weight * truth + (1 - weight) * softened(truth), truth, softened(truth))
        for weight in (0.4, 1.0)
    ]
    mean = sharpness.mean_report(reports)
    assert mean.result.laplacian_ratio == pytest.approx(sum(r.result.laplacian_ratio for r in reports) / 2)
    assert mean.unsharp.octave_ratios[1] == pytest.approx(sum(r.unsharp.octave_ratios[1] for r in reports) / 2)
    assert [row.name for row in mean.rows()] == [row.name for row in reports[0].rows()]
    with pytest.raises(UserError, match="no picture"):
        sharpness.mean_report([])


def test_what_cannot_be_judged_is_named():
    y = torch.zeros(32, 32)
    with pytest.raises(UserError, match="three Y planes"):
        sharpness.compare_sharpness(y, y, torch.zeros(32, 33))
    with pytest.raises(UserError, match="three Y planes"):
        sharpness.compare_sharpness(y[None], y[None], y[None])
    with pytest.raises(UserError, match="16 px"):
        sharpness.octave_energies(torch.zeros(15, 40))
