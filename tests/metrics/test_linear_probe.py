"""The linear classifier: against scikit-learn's logistic regression, and what it is trusted with."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ganvas.errors import UserError
from ganvas.metrics.features import Extractor, Preprocessing
from ganvas.metrics.linear_probe import DECAY, train_linear

PIXELS = Extractor(
    "pixels", torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()),
    Preprocessing("pixels", "none", 16, "clean"), "Means of quarters.",
)  # fmt: skip


def pictures(seed, number=60):
    """Pictures of three classes: noise that is brighter in one channel."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % 3
    noise = 0.4 * torch.rand(number, 3, 16, 16, generator=random)
    return noise + 0.05 * torch.nn.functional.one_hot(labels, 3)[..., None, None], labels


def test_it_gives_the_probabilities_of_a_logistic_regression():
    seen, labels = pictures(0)
    probe = train_linear(PIXELS, seen.split(7), labels, 3)
    features = PIXELS.features(seen).double().numpy()
    scaled = (features - features.mean(0)) / features.std(0).clip(1e-6)
    theirs = LogisticRegression(C=1 / (2 * DECAY * len(seen)), tol=1e-8, max_iter=5000).fit(scaled, labels.numpy())
    expected = theirs.predict_proba(scaled)
    # Its biases are free in both; the penalty is on weights alone.
    np.testing.assert_allclose(probe.answers(torch.from_numpy(features)).numpy(), expected, atol=0.02)


def test_it_knows_pictures_that_it_has_not_seen():
    seen, labels = pictures(0)
    probe = train_linear(PIXELS, [seen], labels, 3)
    unseen, truth = pictures(1)
    found = probe.answers(probe.features(unseen))
    assert found.sum(1) == pytest.approx(1) and (found.argmax(1) == truth).double().mean() > 0.9
    assert "trained on 60 real pictures" in probe.trust(0.9, 10, 0.3)


def test_the_digest_is_of_what_it_learned_from():
    seen, labels = pictures(0)
    digests = {train_linear(PIXELS, [part], truth, 3).digest for part, truth in (
        (seen, labels), (seen.flip(0), labels.flip(0)), (seen, labels.roll(1)))}  # fmt: skip
    assert len(digests) == 3
    with pytest.raises(UserError, match="do not pair"):
        train_linear(PIXELS, [seen], labels[:-1], 3)
