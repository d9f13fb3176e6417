"""NIQE against an independent writing with SciPy, models read and fitted, and the order of known damages."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from scipy.special import gamma

from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError
from ganvas.evaluation.extractors import PRISTINE, open_niqe
from ganvas.metrics.niqe import Niqe, niqe, patch_numbers


@pytest.fixture(scope="module")
def photograph():
    from skimage import data

    return torch.from_numpy(data.astronaut()[100:312, 60:300].copy()).permute(2, 0, 1)[None] / 255


def plain_fit(values):
    shapes = np.arange(0.2, 10.0005, 0.001)
    ratios = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    values = values.ravel()
    left, right = np.sqrt(np.mean(values[values < 0] ** 2)), np.sqrt(np.mean(values[values > 0] ** 2))
    skew = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = shapes[np.argmin((ratios - wanted) ** 2)]
    spread = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * spread, right * spread


def plain_numbers(picture):
    """The 36 numbers of each patch, from the paper's section II and MATLAB's conventions."""
    rgb = picture[0].permute(1, 2, 0).double().numpy()
    gray = np.floor(255 * rgb @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103]) + 0.5)
    gray = gray[: gray.shape[0] // 96 * 96, : gray.shape[1] // 96 * 96]
    places = np.arange(-3, 4)
    window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    scales = []
    for scale in (1, 2):
        mean = correlate(gray, window, mode="nearest")
        deviation = np.sqrt(np.abs(correlate(gray**2, window, mode="nearest") - mean**2))
        plane, size, rows = (gray - mean) / (deviation + 1), 96 // scale, []
        for top in range(0, plane.shape[0], size):
            for left in range(0, plane.shape[1], size):
                patch = plane[top : top + size, left : left + size]
                shape, low, high = plain_fit(patch)
                row = [shape, (low + high) / 2]
                for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    shape, low, high = plain_fit(patch * np.roll(patch, shift, (0, 1)))
                    row += [shape, (high - low) * gamma(2 / shape) / gamma(1 / shape), low, high]
                rows.append(row)
        scales.append(np.array(rows))
        gray = resize_bicubic(torch.from_numpy(gray)[None, None], 0.5)[0, 0].numpy()
    return np.concatenate(scales, 1)


def some_model(seed=0):
    random = np.random.default_rng(seed)
    factor = random.normal(size=(36, 36)) / 6
    return Niqe(torch.from_numpy(random.random(36)), torch.from_numpy(factor @ factor.T + 0.1 * np.eye(36)))


def test_numbers_and_score_equal_a_plain_writing(photograph):
    numbers, sharpness = patch_numbers(photograph)
    expected = plain_numbers(photograph)
    assert numbers.shape == (4, 36) and sharpness.shape == (4,)
    np.testing.assert_allclose(numbers, expected, rtol=1e-6, atol=1e-8)
    model = some_model()
    difference = model.mean.numpy() - expected.mean(0)
    both = (model.covariance.numpy() + np.cov(expected.T)) / 2
    score = np.sqrt(difference @ np.linalg.pinv(both) @ difference)
    assert float(niqe(photograph, model)) == pytest.approx(score, rel=1e-5)


def test_damages_are_found_by_our_own_model(photograph):
    model = open_niqe()
    assert PRISTINE.is_file()
    noise = 0.1 * torch.randn(photograph.shape, generator=torch.Generator().manual_seed(0))
    small = resize_bicubic(photograph, 0.25)
    blurred = resize_bicubic(small, size=tuple(photograph.shape[-2:])).clamp(0, 1)
    clean, noisy, soft = (float(niqe(x, model)) for x in (photograph, (photograph + noise).clamp(0, 1), blurred))
    assert clean < noisy and clean < soft


def test_each_picture_has_its_own_score_and_borders_can_be_left_out(photograph):
    model = some_model()
    both = torch.cat([photograph, photograph.flip(-1)])
    together = niqe(both, model)
    torch.testing.assert_close(together[1:], niqe(both[1:], model))
    framed = photograph.clone()
    framed[..., :4, :] = 1
    torch.testing.assert_close(niqe(framed, model, 4), niqe(photograph, model, 4))


def test_models_are_read_from_the_published_names(tmp_path):
    model = some_model()
    path = tmp_path / "niqe.npz"
    np.savez(path, mu_prisparam=model.mean.numpy()[None], cov_prisparam=model.covariance.numpy())
    read = open_niqe(path)
    assert torch.equal(read.mean, model.mean) and torch.equal(read.covariance, model.covariance)
    assert read.digest == model.digest != some_model(1).digest
    np.savez(path, mean=np.zeros(35), covariance=np.eye(36))
    with pytest.raises(UserError, match="no NIQE model"):
        open_niqe(path)
    with pytest.raises(UserError, match=r"MATLAB.*scipy.io.loadmat"):
        open_niqe(tmp_path / "modelparameters.mat")
    np.savez(path, mean=np.array([object()]))
    with pytest.raises(UserError, match="cannot be read"):
        open_niqe(path)


def test_fitting_takes_sharp_patches_only():
    random = torch.Generator().manual_seed(0)
    sharp = torch.rand(1, 1, 96 * 7, 96 * 7, generator=random)
    flat = 0.5 + 0.02 * torch.rand(1, 1, 96 * 2, 96 * 7, generator=random)
    model = Niqe.fit([torch.cat([sharp, flat], 2)])
    torch.testing.assert_close(model.mean, Niqe.fit([sharp]).mean, rtol=0, atol=0.02)
    with pytest.raises(UserError, match="too few or too small"):
        Niqe.fit([sharp[..., :192, :192]])


def test_too_small_and_flat_pictures_are_named():
    with pytest.raises(UserError, match="192 px"):
        niqe(torch.rand(1, 3, 191, 300), some_model())
    with pytest.raises(UserError, match="flat"):
        niqe(torch.full((1, 3, 200, 200), 0.5), some_model())
