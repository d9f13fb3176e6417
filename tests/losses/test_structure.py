"""MS-SSIM, colour, LDL and wavelets against another library, formulas written out, and what they are for."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from ganvas.errors import UserError
from ganvas.losses.structure import (
    colour_consistency,
    locally_discriminative,
    ms_ssim_loss,
    wavelet_details,
)
from ganvas.metrics.paired import MULTISCALE_WEIGHTS, ms_ssim


def pair(side=192, channels=3, noise=0.1, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, channels, 12, 12, generator=random, dtype=dtype)
    real = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (real + noise * torch.randn(real.shape, generator=random, dtype=dtype)).clamp(0, 1), real


def test_at_full_size_it_is_the_published_score():
    fake, real = pair()
    assert float(ms_ssim_loss(fake, real)) == pytest.approx(1 - float(ms_ssim(fake, real).mean()), abs=1e-9)
    # Another library, which pads by reflection and therefore differs a little.
    theirs = multiscale_structural_similarity_index_measure(fake, real, data_range=1.0, betas=MULTISCALE_WEIGHTS)
    assert float(ms_ssim_loss(fake, real)) == pytest.approx(1 - float(theirs), abs=0.01)


def test_small_crops_take_the_octaves_that_fit():
    fake, real = pair(side=24)
    # Two octaves: 24 and 12 px.
    weights = np.array(MULTISCALE_WEIGHTS[:2]) / sum(MULTISCALE_WEIGHTS[:2])
    half = [torch.nn.functional.avg_pool2d(picture, 2) for picture in (fake, real)]
    from skimage.metrics import structural_similarity

    products = []
    for number in range(2):
        for channel in range(3):
            terms = []
            for a, b, only_contrast in ((fake, real, True), (*half, False)):
                planes = [picture[number, channel].numpy() for picture in (a, b)]
                # With K1 huge the luminance term is 1, and the score is contrast and structure alone.
                full = structural_similarity(
                    *planes, win_size=11, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0,
                    K1=1e6 if only_contrast else 0.01, full=True,
                )[1]  # fmt: skip
                terms.append(full[5:-5, 5:-5].mean())
            products.append(terms[0] ** weights[0] * terms[1] ** weights[1])
    assert float(ms_ssim_loss(fake, real)) == pytest.approx(1 - np.mean(products), abs=1e-3)
    assert float(ms_ssim_loss(real, real)) == pytest.approx(0, abs=1e-9)
    with pytest.raises(UserError, match="11 px"):
        ms_ssim_loss(fake[..., :10, :], real[..., :10, :])


def test_gradients_are_finite_even_for_opposite_pictures():
    fake, real = pair(side=32, dtype=torch.float32)
    opposite = (1 - real).requires_grad_()
    ms_ssim_loss(opposite, real).backward()
    assert torch.isfinite(opposite.grad).all()
    with pytest.raises(UserError, match="shapes"):
        ms_ssim_loss(fake[:1], real)


def test_colour_sees_a_tint_and_no_gray_detail():
    _, real = pair(side=16)
    checker = ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 0.2 - 0.1).expand(2, 3, 16, 16)
    assert float(colour_consistency(real + checker, real, 4)) < 1e-12
    coloured = real + checker * torch.tensor([1.0, -1, 0])[:, None, None]
    assert float(colour_consistency(coloured, real, 4)) < 1e-12
    tint = real + torch.tensor([0.05, 0.0, 0.0])[:, None, None]
    # R raises Y by .299 of it: Cr = (R - Y) / 1.402, Cb = (B - Y) / 1.772.
    by_hand = (0.05 * 0.701 / 1.402 + 0.05 * 0.299 / 1.772) / 2
    assert float(colour_consistency(tint, real, 4)) == pytest.approx(by_hand, rel=1e-6)


def test_ldl_is_the_papers_formula_at_every_pixel():
    random = np.random.default_rng(0)
    fake, real, average = (torch.from_numpy(random.random((2, 3, 9, 11))) for _ in range(3))
    total = 0.0
    for number in range(2):
        residual = (real - fake).abs().sum(1)[number].numpy()
        behind = (real - average).abs().sum(1)[number].numpy()
        grown = np.pad(residual, 2, mode="reflect")
        for y in range(9):
            for x in range(11):
                weight = grown[y : y + 5, x : x + 5].var(ddof=1) * residual.var(ddof=1) ** 0.2
                if residual[y, x] >= behind[y, x]:
                    total += weight * float((fake - real).abs()[number, :, y, x].sum())
    found = locally_discriminative(fake, real, average, window_px=5)
    assert float(found) == pytest.approx(total / fake.numel(), rel=1e-9)


def test_ldl_minds_noise_more_than_a_shift_of_the_same_size():
    _, real = pair(side=32)
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(1), dtype=real.dtype) * 2 - 1
    noisy, shifted = real + 0.1 * noise, real + 0.05
    assert float(locally_discriminative(noisy, real)) > 1e-6
    assert float(locally_discriminative(shifted, real)) < 1e-12


def test_wavelets_see_detail_and_no_tone():
    _, real = pair(side=8)
    assert (wavelet_details(torch.full((1, 3, 8, 8), 0.3)) - 0.5).abs().max() < 1e-6
    assert (wavelet_details(real + 0.2) - wavelet_details(real)).abs().max() < 1e-12
    # A vertical edge is seen by one band, at one column, by half its height (four times a quarter of two pixels).
    edge = torch.zeros(1, 3, 8, 8)
    edge[..., 4:] = 1
    bands = wavelet_details(edge) - 0.5
    assert bands[0, 1].abs().max() < 1e-6 and bands[0, 2].abs().max() < 1e-6
    assert torch.allclose(bands[0, 0, :, 3], torch.full((8,), -2.0)) and float(bands[0, 0].abs().sum()) == 16


def test_nothing_real_gets_a_gradient():
    fake, real = (picture.float().requires_grad_() for picture in pair(side=32))
    loss = ms_ssim_loss(fake, real) + colour_consistency(fake, real, 2) + locally_discriminative(fake, real)
    found = torch.autograd.grad(loss, [fake, real], allow_unused=True)
    assert found[0].abs().sum() > 0 and found[1] is None
