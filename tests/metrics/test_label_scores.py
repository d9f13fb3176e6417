"""Label scores against scikit-learn and by hand."""

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score

from ganvas.errors import UserError
from ganvas.metrics.labels import confusion, score_confusion, score_labels


def maps(seed=0, num_labels=5):
    random = torch.Generator().manual_seed(seed)
    truth = torch.randint(num_labels, (3, 12, 9), generator=random)
    wrong = torch.rand(truth.shape, generator=random) < 0.3
    return torch.where(wrong, torch.randint(num_labels, truth.shape, generator=random), truth), truth


def test_scores_equal_scikit_learn():
    predicted, truth = maps()
    flat = truth.flatten().numpy(), predicted.flatten().numpy()
    scores = score_labels(predicted, truth, 5)
    assert (confusion(predicted, truth, 5).numpy() == confusion_matrix(*flat)).all()
    assert scores.pixel_accuracy == pytest.approx(accuracy_score(*flat))
    assert scores.mean_iou == pytest.approx(jaccard_score(*flat, average="macro"))
    assert scores.pixels == truth.numel()


def test_labels_that_do_not_occur_do_not_count():
    truth = torch.tensor([[0, 0], [1, 1]])
    predicted = torch.tensor([[0, 1], [1, 1]])
    scores = score_labels(predicted, truth, 9)
    assert scores.iou == {0: pytest.approx(1 / 2), 1: pytest.approx(2 / 3)}
    assert scores.mean_iou == pytest.approx(7 / 12)
    assert score_labels(truth, truth, 9).mean_iou == 1.0


def test_unknown_pixels_are_left_out_and_counts_add_up():
    predicted, truth = maps()
    hidden = truth.clone()
    hidden[0] = -1
    counts = confusion(predicted, hidden, 5)
    assert torch.equal(counts, confusion(predicted[1:], truth[1:], 5))
    whole = confusion(predicted, truth, 5)
    assert torch.equal(whole, counts + confusion(predicted[:1], truth[:1], 5))
    assert score_confusion(whole) == score_labels(predicted, truth, 5)


def test_what_cannot_be_scored_is_named():
    truth = torch.zeros(4, 4, dtype=torch.int64)
    with pytest.raises(UserError, match=r"\(4, 5\) and \(4, 4\)"):
        score_labels(torch.zeros(4, 5), truth, 2)
    with pytest.raises(UserError, match="outside 0 to 1"):
        score_labels(truth + 2, truth, 2)
    with pytest.raises(UserError, match="No pixel"):
        score_labels(truth, truth - 1, 2)
