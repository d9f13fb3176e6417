"""Scores by class: they see a class that is wrong on purpose, agree with scikit-learn, repeat, and refuse clearly."""

import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from ganvas import cli
from ganvas.drawn.shapes import draw
from ganvas.errors import UserError
from ganvas.evaluation import classes, scoring
from ganvas.evaluation.classes import score_classes
from ganvas.evaluation.confusion import svg
from ganvas.evaluation.results import Confusion
from ganvas.io.pictures import images
from ganvas.io.score_cache import ScoreCache
from ganvas.metrics.features import Extractor, Preprocessing

NAMES = ("disc", "ring", "stripes")
STEPS = 120


def write(folder, num, first, of=lambda name: name, size=16):
    """Drawn pictures in black and white of three classes that a classifier learns in seconds."""
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        for number in range(first, first + num):
            gray = draw(of(name), size, number).mean(2)
            bright = np.where(gray > (gray.min() + gray.max()) / 2, 230, 20).astype(np.uint8)
            images.write(folder / name / f"{number:03d}.png", np.repeat(bright[..., None], 3, 2))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    swapped = {"disc": "stripes", "stripes": "disc", "ring": "ring"}
    return {
        "real": write(root / "real", 30, 0), "like": write(root / "like", 12, 100),
        "swapped": write(root / "swapped", 12, 100, of=swapped.__getitem__), "cache": ScoreCache(root / "cache"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def scored(folders):
    return {
        name: score_classes(folders["real"], folders[name], steps=STEPS, resamples=10, cache=folders["cache"])
        for name in ("like", "swapped")
    }


def values(results):
    return {score.name: score.value for score in results.scores}


def test_more_of_the_same_scores_like_held_out_pictures(scored):
    found = values(scored["like"])
    assert found["class_accuracy_real"] > 0.75
    assert found["class_accuracy"] > 0.75
    assert 0.6 < found["class_diversity"] < 1.6
    assert found["class_distance"] < values(scored["swapped"])["class_distance"] / 3


def test_swapped_folders_show_in_the_confusion_matrix(scored):
    shares = scored["swapped"].confusions["generated"].shares()
    disc, stripes = NAMES.index("disc"), NAMES.index("stripes")
    assert shares[disc][stripes] > 0.7 and shares[stripes][disc] > 0.7
    assert next(iter(scored["swapped"].rows)) == "ring", "the easiest class comes first"
    assert {leak[:2] for leak in scored["swapped"].confusions["generated"].leaks(2)} == {
        ("disc", "stripes"), ("stripes", "disc"),
    }  # fmt: skip
    assert any("is taken for" in note for note in scored["swapped"].notes)


def test_the_matrix_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, taken = random.integers(0, 5, (2, 200))
    seen = classes._Seen(
        torch.from_numpy(truth), torch.zeros(200, 1), torch.nn.functional.one_hot(torch.from_numpy(taken), 5).double()
    )
    assert np.array_equal(seen.matrix(list("abcde")).counts, confusion_matrix(truth, taken, labels=range(5)))


def test_rows_tell_share_and_number_and_diversity_of_copies_is_none(folders, tmp_path):
    copies = tmp_path / "copies"
    for name in NAMES:
        (copies / name).mkdir(parents=True)
        for number in range(4):
            shutil.copy(folders["like"] / name / "100.png", copies / name / f"{number}.png")
    shares = {"disc": 0.1, "stripes": 0.6, "ring": 0.3}
    found = score_classes(folders["real"], copies, steps=STEPS, resamples=0, cache=folders["cache"], shares=shares)
    assert {name: row["share"] for name, row in found.rows.items()} == shares
    assert all(row["pictures"] == 4 and row["diversity"] < 1e-3 for row in found.rows.values())


def test_the_classifier_is_trained_once(folders, scored, monkeypatch):
    monkeypatch.setattr("ganvas.metrics.probe._fit", lambda *_: pytest.fail("trained again"))
    again = score_classes(folders["real"], folders["like"], steps=STEPS, resamples=10, cache=folders["cache"])
    assert again.plain() == scored["like"].plain()


def test_the_verb_prints_ranks_matrix_and_page(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    asked = ["--real", str(folders["real"]), "--fake", str(folders["swapped"]), "--per-class", "--probe-steps", "40"]
    page = tmp_path / "page.html"
    assert cli.main(["evaluate", *asked, "--resamples", "5", "--report", str(page)]) == cli.DONE
    out = capsys.readouterr().out
    assert "class_accuracy_real" in out and "percent of each row" in out and "held out its accuracy" in out
    text = page.read_text()
    assert text.count("<svg") == 2 and "disc: the least like it" in text
    assert cli.main(["evaluate", *asked, "--json"]) == cli.DONE
    counts = json.loads(capsys.readouterr().out)["confusion"]["generated"]["counts"]
    assert [sum(row) for row in counts] == [12, 12, 12]


def test_what_cannot_be_judged_is_said(folders, tmp_path):
    few = write(tmp_path / "few", 4, 0)
    with pytest.raises(UserError, match="There are 4 of the class 'disc'"):
        score_classes(few, folders["like"], steps=1)
    other = shutil.copytree(folders["like"], tmp_path / "other")
    (other / "disc").rename(other / "moon")
    with pytest.raises(UserError, match="moon"):
        score_classes(folders["real"], other, steps=1)
    with pytest.raises(UserError, match="class_diversity"):
        score_classes(folders["real"], folders["like"], ["diversity"], steps=1)


def test_a_matrix_of_many_classes_is_drawn_without_names():
    eye = tuple(tuple(int(a == b) for b in range(30)) for a in range(30))
    picture = svg(Confusion(tuple(f"<{n}>" for n in range(30)), eye), "many")
    assert "<text" not in picture and "&lt;0&gt; taken for &lt;0&gt;: 100%" in picture


def test_a_run_is_compared_with_its_own_data_where_none_is_named(folders, tmp_path, capsys, monkeypatch):
    from ganvas import launch

    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    real = write(tmp_path / "real", 10, 0, size=32)
    settings = {
        "steps": 1,
        "width": 4,
        "size_px": 32,
        "batch_size": 4,
        "threads": 1,
        "workers": 1,
        "standing_batches": 1,
    }
    run = launch.train("biggan", real, tmp_path / "run", preset="preview", settings=settings, quiet=True)
    asked = [str(run), "--per-class", "--num", "9", "--probe-steps", "2", "--resamples", "2", "--json"]
    assert cli.main(["evaluate", *asked]) == cli.DONE, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["conditions"]["real"] == str(real) and set(found["rows"]) == set(NAMES)
    assert all(row["share"] == pytest.approx(1 / 3) and row["pictures"] == 3 for row in found["rows"].values())
    assert any("its word on single classes counts little" in note for note in found["notes"])
    assert cli.main(["evaluate", "--fake", str(folders["like"]), "--per-class"]) in (cli.USER_ERROR, cli.USAGE)
    assert "--real is missing" in capsys.readouterr().err


class Spectrum(torch.nn.Module):
    """How strong each frequency is, wherever the shape lies."""

    def forward(self, pictures):
        return torch.fft.rfft2(pictures.mean(1)).abs().log1p().flatten(1)


SPECTRUM = Extractor("spectrum", Spectrum(), Preprocessing("spectrum", "none", 16, "clean"), "Strengths.")


def test_a_linear_classifier_over_an_extractor_finds_the_swapped_classes_too(folders):
    found = {
        name: score_classes(folders["real"], folders[name], extractor=SPECTRUM, resamples=10)
        for name in ("like", "swapped")
    }
    like, swapped = values(found["like"]), values(found["swapped"])
    assert set(like) == {f"{name}[spectrum]" for name in classes.NAMES}
    assert like["class_accuracy[spectrum]"] > swapped["class_accuracy[spectrum]"] + 0.3
    assert found["swapped"].rows["ring"]["accuracy"] == found["like"].rows["ring"]["accuracy"]
    assert "linear classifier over spectrum, trained on 72 real pictures; on 18 held out" in found["like"].notes[0]
    assert found["like"].conditions["classifier"] == "linear, spectrum"


def test_the_published_network_is_taken_where_it_is_at_hand(folders, monkeypatch, capsys):
    monkeypatch.setattr(scoring, "default_extractor", lambda: (scoring.LITE, ""))
    monkeypatch.setattr(scoring, "open_extractor", lambda name, device: SPECTRUM)
    asked = ["evaluate", "--per-class", "--real", str(folders["real"]), "--fake", str(folders["like"]), "--json"]
    assert cli.main(asked) == cli.DONE
    assert "class_accuracy[spectrum]" in capsys.readouterr().out
    assert cli.main([*asked, "--probe-steps", "2"]) == cli.DONE
    assert "[spectrum]" not in capsys.readouterr().out
