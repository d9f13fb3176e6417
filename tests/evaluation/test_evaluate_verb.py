"""The verb `evaluate` from end to end: three kinds of input, names, JSON, the page, earlier results, refusals."""

import base64
import json
import re

import numpy as np
import pytest

from ganvas import cli
from ganvas.evaluation import report
from ganvas.io.pictures import images
from ganvas.metrics import features


@pytest.fixture(scope="module", autouse=True)
def small_sides():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "SMALL_SIDE_PX", 32)
        yield


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    from skimage import data

    root, random = tmp_path_factory.mktemp("verb"), np.random.default_rng(0)
    for side in ("truth", "noisy"):
        (root / side).mkdir()
        for number in range(8):
            crop = data.astronaut()[10 * number : 10 * number + 48, 100:150].astype(float)
            crop += random.normal(0, 12, crop.shape) * (side == "noisy")
            images.write(root / side / f"{number}.png", crop.clip(0, 255).astype(np.uint8))
    return root


def run(capsys, *arguments):
    code = cli.main(["evaluate", *map(str, arguments)])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_sets_give_json_that_repeats(folders, capsys):
    asked = ("--real", folders / "truth", "--fake", folders / "noisy", "--scores", "frechet,kernel,swd", "--json")
    code, first, _ = run(capsys, *asked, "--resamples", 5)
    assert code == cli.DONE
    scores = json.loads(first)["scores"]
    assert list(scores) == ["frechet_small", "kernel_small", "swd_32px", "swd_16px"]
    low, high = scores["frechet_small"]["interval_95"]
    assert 0 <= low < scores["frechet_small"]["value"] < high
    assert run(capsys, *asked, "--resamples", 5)[1] == first
    assert json.loads(run(capsys, *asked, "--resamples", 5, "--seed", 1)[1])["scores"] != scores


def test_pairs_give_rows_means_and_a_page(folders, tmp_path, capsys):
    page = tmp_path / "page.html"
    code, out, _ = run(capsys, "--pairs", folders / "noisy", folders / "truth", "--report", page)
    assert code == cli.DONE and "psnr_y" in out and "95 % interval" in out
    text = page.read_text()
    embedded = re.findall(r'base64,([^"]+)"', text)
    assert len(embedded) == 16
    assert not re.search(r'(src|href)="(?!data:)', text)
    thumbnail = tmp_path / "thumbnail.png"
    thumbnail.write_bytes(base64.b64decode(embedded[-8]))
    picture, _ = images.read(thumbnail)
    assert np.array_equal(picture, images.read(folders / "truth" / "0.png")[0])
    assert "brightness_error" in text and "crop_px" in text


def test_names_are_escaped_on_the_page(folders, tmp_path, capsys):
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "<b>&.png").write_bytes((folders / "truth" / "0.png").read_bytes())
    page = tmp_path / "page.html"
    assert run(capsys, "--pairs", tmp_path / "a", tmp_path / "b", "--report", page)[0] == cli.DONE
    assert "&lt;b&gt;&amp;" in page.read_text() and "<b>&" not in page.read_text()


def test_earlier_results_are_compared_where_that_means_something(folders, tmp_path, capsys):
    asked = ("--pairs", folders / "noisy", folders / "truth")
    earlier = tmp_path / "earlier.json"
    earlier.write_text(run(capsys, *asked, "--json")[1])
    code, out, err = run(capsys, *asked, "--against", earlier)
    assert code == cli.DONE and "earlier" in out and "Warning" not in err
    code, out, err = run(capsys, *asked, "--against", earlier, "--crop-px", 6)
    assert code == cli.DONE and "psnr_y is not comparable" in err


def test_clips_are_scored(folders, capsys):
    code, out, _ = run(capsys, "--clips", folders / "truth", folders / "truth", "--scores", "drift,psnr", "--json")
    assert code == cli.DONE
    assert json.loads(out)["scores"]["drift"]["value"] == 0


def test_the_names_are_listed(capsys):
    code, out, _ = run(capsys, "--scores", "list")
    assert code == cli.DONE
    assert "ms_ssim_y" in out and "fid_legacy" in out and "warping_error" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--pairs RESULTS TRUTH"),
        (["--real", "truth"], "--fake is missing"),
        (["--real", "truth", "--fake", "noisy", "--pairs", "truth", "noisy"], "at once"),
        (["--real", "truth", "--fake", "noisy", "--scores", "fid"], "--inception FILE"),
        (["--real", "truth", "--fake", "noisy", "--scores", "frechet_infinity"], "kernel_small"),
        (["--pairs", "truth", "noisy", "--scores", "psnr_y", "--report", "page.txt"], "ends in .html"),
        (["--pairs", "truth", "noisy", "--scores", "lpips"], "--lpips-heads"),
        (["--real", "truth", "--fake", "truth/0.png"], "is a picture"),
    ],
)
def test_what_cannot_be_done_is_said(folders, arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(folders)
    code, _, err = run(capsys, *arguments)
    assert code in (cli.USER_ERROR, cli.USAGE)
    assert re.search(words, err), err


@pytest.mark.parametrize(
    ("value", "text"),
    [(34.1234567, "34.123"), (0.8705, "0.8705"), (1.0, "1.0000"), (0.0, "0"), (1234.56, "1234.6"),
     (-0.0005287, "-5.287e-04"), (float("inf"), "infinite")],
)  # fmt: skip
def test_numbers_keep_five_digits(value, text):
    assert report.number(value) == text


def test_a_generator_makes_its_own_pictures(folders, tmp_path, capsys):
    import torch

    from ganvas.io.weights import files as weights
    from ganvas.networks import build
    from ganvas.protocol import Card

    torch.manual_seed(0)
    card = Card(
        network="dcgan_generator", input="seeds", settings={"latent": 16, "width": 4, "size_px": 32}, range=(-1.0, 1.0)
    )
    weights.save(tmp_path / "net.safetensors", build(card).state_dict(), card)
    asked = ("--real", folders / "truth", "--fake", tmp_path / "net.safetensors", "--scores", "frechet", "--json")
    code, first, err = run(capsys, *asked, "--num", 6, "--report", tmp_path / "page.html")
    assert code == cli.DONE, err
    found = json.loads(first)
    assert found["conditions"]["fake_pictures"] == 6
    assert found["conditions"]["fake"] == str(tmp_path / "net.safetensors")
    assert (tmp_path / "page.html").read_text().count("base64,") == 8 + 6
    assert run(capsys, *asked, "--num", 6)[1] == first
