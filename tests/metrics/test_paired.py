"""Paired scores against plain NumPy, scikit-image, torchmetrics and closed forms."""

import math

import numpy as np
import pytest
import torch
from skimage import data as photographs
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ganvas.errors import UserError
from ganvas.metrics import paired


def pair(height: int = 61, width: int = 83, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and a damaged copy of it, (H, W, 3) float64."""
    truth = photographs.astronaut()[40 : 40 + height, 150 : 150 + width] / 255.0
    noise = np.random.default_rng(seed).normal(0, 0.06, truth.shape)
    return truth, np.clip(truth * 0.9 + 0.03 + noise, 0, 1)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def plain_luma(picture: np.ndarray) -> np.ndarray:
    red, green, blue = picture[..., 0], picture[..., 1], picture[..., 2]
    return 16 / 255 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def plain_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang's algorithm for one plane, window by window."""
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    scores = []
    for y in range(a.shape[0] - 10):
        for x in range(a.shape[1] - 10):
            p, q = a[y : y + 11, x : x + 11], b[y : y + 11, x : x + 11]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            top = (2 * mean_p * mean_q + 1e-4) * (2 * covariance + 9e-4)
            scores.append(top / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4)))
    return float(np.mean(scores))


def test_luma_of_known_colours():
    # MATLAB: rgb2ycbcr([0 0 0; 1 1 1; 1 0 0]) * 255.
    colours = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0]], dtype=torch.float64).T.reshape(1, 3, 1, 3)
    torch.testing.assert_close(
        paired.luma(colours)[0, 0, 0] * 255, torch.tensor([16, 235, 81.481], dtype=torch.float64)
    )
    gray = torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(paired.luma(gray), paired.luma(gray.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("crop", [0, 4])
def test_scores_equal_a_plain_writing(crop):
    truth, damaged = pair()
    ours = paired.score_pair(tensor(damaged), tensor(truth), crop)
    inside = slice(crop, -crop or None)
    truth, damaged = truth[inside, inside], damaged[inside, inside]
    y_truth, y_damaged = plain_luma(truth), plain_luma(damaged)
    assert ours["psnr_y"] == pytest.approx(10 * math.log10(1 / np.mean((y_truth - y_damaged) ** 2)), abs=1e-9)
    assert ours["psnr_rgb"] == pytest.approx(10 * math.log10(1 / np.mean((truth - damaged) ** 2)), abs=1e-9)
    assert ours["ssim_y"] == pytest.approx(plain_ssim(y_damaged, y_truth), abs=1e-9)
    expected = np.mean([plain_ssim(damaged[..., c], truth[..., c]) for c in range(3)])
    assert ours["ssim_rgb"] == pytest.approx(expected, abs=1e-9)
    assert ours["brightness_error"] == pytest.approx(np.mean(y_damaged - y_truth), abs=1e-12)


def test_scores_equal_scikit_image():
    truth, damaged = pair(96, 70)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    ours = paired.score_pair(tensor(damaged), tensor(truth))
    assert ours["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(truth, damaged, data_range=1.0), abs=1e-3)
    expected = structural_similarity(truth, damaged, channel_axis=2, **settings)
    assert ours["ssim_rgb"] == pytest.approx(expected, abs=1e-3)
    expected = structural_similarity(plain_luma(truth), plain_luma(damaged), **settings)
    assert ours["ssim_y"] == pytest.approx(expected, abs=1e-3)


def test_ms_ssim_equals_torchmetrics():
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    truth, damaged = pair(190, 201)
    for a, b in ((damaged, truth), (1 - damaged, truth)):
        theirs = multiscale_structural_similarity_index_measure(tensor(a), tensor(b), data_range=1.0)
        assert float(paired.ms_ssim(tensor(a), tensor(b))) == pytest.approx(float(theirs), abs=1e-3)


def test_known_psnr_of_a_constant_error():
    picture = torch.full((1, 3, 16, 16), 0.5)
    assert float(paired.psnr(picture + 0.1, picture)) == pytest.approx(20.0, abs=1e-5)
    # 219/255 of the swing is left on Y: 20 log10(255/219) dB more.
    scores = paired.score_pair(picture + 0.1, picture)
    assert scores["psnr_y"] == pytest.approx(20 + 20 * math.log10(255 / 219), abs=1e-4)
    assert scores["brightness_error"] == pytest.approx(0.1 * 219 / 255, abs=1e-6)


def test_equal_pictures_score_best():
    picture = torch.rand(2, 3, 180, 180)
    assert torch.isinf(paired.psnr(picture, picture)).all()
    ones = torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(paired.ssim(picture, picture), ones)
    torch.testing.assert_close(paired.ms_ssim(picture, picture), ones)


def test_scores_are_symmetric_and_each_picture_has_its_own():
    truth, damaged = pair()
    _, worse = pair(seed=1)
    a = torch.cat([tensor(damaged), tensor(worse) * 0.5])
    b = torch.cat([tensor(truth)] * 2)
    for score in (paired.psnr, paired.ssim):
        together = score(a, b)
        assert together.dtype == torch.float64 and together.shape == (2,)
        torch.testing.assert_close(together, score(b, a))
        torch.testing.assert_close(together[1:], score(a[1:], b[1:]))
        assert together[1] < together[0]


def test_half_precision_pictures_are_scored_in_double():
    truth, damaged = (tensor(p).to(torch.bfloat16) for p in pair())
    assert paired.score_pair(damaged, truth) == paired.score_pair(damaged.double(), truth.double())


def test_a_damaged_border_does_not_count_when_cropped():
    picture = torch.rand(1, 3, 30, 30)
    framed = picture.clone()
    framed[..., :4, :] = 0
    framed[..., -4:] = 1
    assert torch.isinf(paired.psnr(framed, picture, 4)).all()
    assert torch.isfinite(paired.psnr(framed, picture, 3)).all()


def test_what_cannot_be_compared_is_named():
    picture = torch.zeros(1, 3, 20, 20)
    with pytest.raises(UserError, match=r"20, 20\).*20, 21"):
        paired.psnr(picture, torch.zeros(1, 3, 20, 21))
    with pytest.raises(UserError, match="11 px must be left"):
        paired.ssim(picture, picture, 5)
    with pytest.raises(UserError, match="176 px"):
        paired.ms_ssim(picture, picture)
    with pytest.raises(UserError, match="cannot be scored"):
        paired.score_pair(torch.zeros(1, 4, 20, 20), torch.zeros(1, 4, 20, 20))
