"""Pictures from seeds: independence of the batch, classes, statistics and banks, walks, the verb and its errors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from ganvas import cli
from ganvas.errors import UserError
from ganvas.evaluation import neighbours
from ganvas.evaluation.truncation import curve, plot, spread_within
from ganvas.inference.seeds.latents import latents
from ganvas.inference.seeds.sampler import SeedSampler, Truncation, interpolation, walk
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.pictures.sheets import contact_sheet
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.statistics import batch_norms
from ganvas.protocol import Card

NAMES = ["dog", "hot dog", "2"]
SETTINGS = {"size_px": 32, "width": 2, "num_classes": 3, "multipliers": [8, 4, 4, 4], "latent": 8,
            "class_features": 5, "attention_px": 16}  # fmt: skip
CARD = Card(
    network="biggan_generator", settings=SETTINGS, input="seeds", range=(-1.0, 1.0), channels_in=8,
    extra={"class_names": NAMES, "class_counts": [8, 1, 1], "standing_batches": 1},
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    return weights.save(tmp_path / "tiny.safetensors", build(CARD).state_dict(), CARD)


@pytest.fixture
def dcgan(tmp_path):
    torch.manual_seed(0)
    card = Card(network="dcgan_generator", settings={"latent": 6, "size_px": 32, "width": 4}, input="seeds",
                range=(-1.0, 1.0), channels_in=6)  # fmt: skip
    return weights.save(tmp_path / "dcgan.safetensors", build(card).state_dict(), card)


def test_a_picture_depends_on_seed_and_class_alone(model):
    sampler = SeedSampler(model)
    many = sampler.sample(range(20), [n % 3 for n in range(20)])
    torch.testing.assert_close(SeedSampler(model).sample([17], [2]), many[17:18], rtol=0, atol=1e-6)
    assert many.shape == (20, 3, 32, 32) and 0 <= many.min() <= many.max() <= 1
    torch.testing.assert_close(sampler.sample([4]), sampler.sample([4], [1]))


def test_pictures_are_the_networks_in_unit_range(model):
    sampler = SeedSampler(model, standing=0)
    with torch.no_grad():
        expected = sampler.network(latents([5], 8, 0.5), torch.tensor([2])) / 2 + 0.5
    torch.testing.assert_close(sampler.sample([5], [2], Truncation(0.5)), expected)


def test_a_generator_without_classes_is_sampled_alike(dcgan):
    sampler = SeedSampler(dcgan)
    assert sampler.sample([0, 1]).shape == (2, 3, 32, 32)
    with pytest.raises(UserError, match="knows no classes"):
        sampler.classes("1")


@pytest.mark.parametrize(("text", "chosen"), [("dog", [0]), ("Hot Dog,1", [1, 1]), ("2", [2]), ("0-1", [0, 1]),
                                               ("all", [0, 1, 2])])  # fmt: skip
def test_classes_by_name_and_number(model, text, chosen):
    assert SeedSampler(model).classes(text) == chosen


@pytest.mark.parametrize(
    ("text", "said"), [("dgo", "Did you mean dog"), ("3", "There is no class 3"), (" ", "No class")]
)
def test_classes_that_do_not_exist(model, text, said):
    with pytest.raises(UserError, match=said):
        SeedSampler(model).classes(text)


def test_a_latent_of_another_length_is_refused(model):
    with pytest.raises(UserError, match="A latent of 9 numbers does not fit"):
        SeedSampler(model).paint(torch.zeros(1, 9), torch.tensor([0]))


# Statistics


def test_standing_statistics_replace_those_of_training(model):
    sampler = SeedSampler(model, standing=3)
    before = {name: norm.running_mean.clone() for name, norm in batch_norms(sampler.network).items()}
    sampler.prepare(Truncation(0.5))
    assert all((norm.running_mean != before[name]).any() for name, norm in batch_norms(sampler.network).items())
    # The first norm sees only the linear layer's map, whose mean is linear in the noise: nearly its bias.
    first = batch_norms(sampler.network)["blocks.0.norm1.norm"].running_var.clone()
    sampler.prepare(Truncation(0.1))
    # Noise within 0.1 has a far smaller variance than noise within 0.5.
    assert (batch_norms(sampler.network)["blocks.0.norm1.norm"].running_var < 0.2 * first).all()


def test_statistics_are_measured_once_for_each_truncation(model, monkeypatch):
    sampler = SeedSampler(model, device="cpu", standing=2)
    first = [sampler.sample([1, 2], truncation=Truncation(threshold)) for threshold in (0.5, None, 1.0)]
    fresh = SeedSampler(model, device="cpu", standing=2).sample([1, 2], truncation=Truncation(0.5))
    monkeypatch.setattr(sampler, "_standing", lambda *_: pytest.fail("measured again"))
    again = [sampler.sample([1, 2], truncation=Truncation(threshold)) for threshold in (0.5, None, 1.0)]
    assert all(map(torch.equal, first, again)) and torch.equal(first[0], fresh)


def test_statistics_of_training_come_back_after_those_of_a_bank(model):
    """Outside of a bank's range there is nothing but training's; what was in the norms last must not stay there."""
    sampler = SeedSampler(model, device="cpu", standing=0)
    plain = sampler.sample([1, 2])
    bank = {f"bank.{name}": value for name, value in sampler.make_bank([0.5, 1.0]).items()}
    sampler.standing = 0
    sampler.attachments = {**bank, "bank.step": torch.tensor(-1)}
    assert not torch.equal(sampler.sample([1, 2], truncation=Truncation(0.5)), plain)
    assert torch.equal(sampler.sample([1, 2]), plain)


def test_threads_with_truncations_of_their_own_get_their_own_pictures(model):
    sampler = SeedSampler(model, device="cpu", standing=1)
    thresholds = [0.4, 0.8] * 6
    expected = {
        threshold: SeedSampler(model, device="cpu", standing=1).sample([3], truncation=Truncation(threshold))
        for threshold in set(thresholds)
    }
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda threshold: sampler.sample([3], truncation=Truncation(threshold)), thresholds))
    assert all(torch.equal(picture, expected[threshold]) for picture, threshold in zip(made, thresholds))


@pytest.mark.parametrize(("value", "place"), [(0.2, (0, 0.0)), (0.3, (0, 0.5)), (0.4, (1, 0.0)), (1.0, (1, 1.0)),
                                              (0.1, None), (1.1, None)])  # fmt: skip
def test_places_in_a_bank(value, place):
    found = interpolation(torch.tensor([0.2, 0.4, 1.0], dtype=torch.float64), value)
    assert found is place or found == pytest.approx(place, abs=1e-6)


def test_a_bank_of_a_run_is_kept_and_interpolated(tmp_path):
    torch.manual_seed(0)
    net = build(CARD)
    run = runs.create(tmp_path / "run", {"recipe": "biggan", "settings": {}, "card": settings_of(CARD)})
    runs.write_group(run, 7, "networks", {f"generator/{k}": v for k, v in net.state_dict().items()})
    runs.finish_checkpoint(run, 7, {})
    SeedSampler(run).attach_bank([0.2, 0.6])
    exact = {}
    for threshold in (0.2, 0.6):
        fresh = SeedSampler(run, standing=1)
        fresh.attachments = {}
        fresh.prepare(Truncation(threshold))
        exact[threshold] = batch_norms(fresh.network)["last_norm"].running_mean.clone()
    sampler = SeedSampler(run)
    for threshold, expected in [(0.2, exact[0.2]), (0.6, exact[0.6]), (0.3, 0.75 * exact[0.2] + 0.25 * exact[0.6])]:
        sampler.prepare(Truncation(threshold))
        torch.testing.assert_close(batch_norms(sampler.network)["last_norm"].running_mean, expected)
    # A bank of another checkpoint is not used.
    sampler.attachments["bank.step"] = torch.tensor(6)
    sampler._prepared = None
    sampler.prepare(Truncation(0.3))
    assert not torch.allclose(batch_norms(sampler.network)["last_norm"].running_mean, expected)


def settings_of(card):
    from ganvas.settings import to_json

    return to_json(card)


@pytest.mark.parametrize("grid", [[0.5], [0.0, 1.0]])
def test_banks_that_cannot_be(model, grid):
    with pytest.raises(UserError):
        SeedSampler(model).make_bank(grid)


# From one to another


def test_a_walk_passes_through_its_places(model):
    sampler = SeedSampler(model)
    frames = list(walk(sampler, [1, 2, 3], [0, 0, 2], 4, Truncation(0.5)))
    assert len(frames) == 9
    for index, (seed, number) in zip((0, 4, 8), [(1, 0), (2, 0), (3, 2)]):
        expected = sampler.sample([seed], [number], Truncation(0.5))[0]
        torch.testing.assert_close(frames[index], expected, rtol=0, atol=1e-5)


def test_a_sheet_has_gaps():
    laid = contact_sheet([torch.zeros(3, 4, 5), torch.ones(3, 4, 5) * 0.5, torch.zeros(3, 4, 5)], 2)
    assert laid.shape == (10, 12, 3) and laid[0, 0, 0] == 0 and laid[0, 7, 0] == 128
    assert (laid[4:6] == 255).all() and (laid[6:, 7:] == 255).all()


# The verb


def run_verb(*arguments):
    return cli.main(["generate", *map(str, arguments)])


def test_the_verb_writes_a_picture_for_each_class_and_seed(model, tmp_path):
    out = tmp_path / "out"
    assert run_verb(model, "--out", out, "--classes", "hot dog,2", "--seeds", "0-2", "--truncation", 0.7) == cli.DONE
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"001-hot-dog_{n:06d}.png" for n in range(3)), *(f"002_{n:06d}.png" for n in range(3)),
    ]  # fmt: skip
    expected = SeedSampler(model).sample([2], [1], Truncation(0.7))[0]
    written = torch.from_numpy(images.read(out / "001-hot-dog_000002.png")[0]).permute(2, 0, 1) / 255
    torch.testing.assert_close(written, expected, rtol=0, atol=0.6 / 255)
    # Nothing is replaced unasked.
    assert run_verb(model, "--out", out, "--classes", "2", "--seeds", "0") == cli.USER_ERROR


def test_the_verb_makes_sheets_and_walks(model, dcgan, tmp_path):
    assert run_verb(model, "--out", tmp_path / "a.png", "--grid", "--classes", "all", "--seeds", "0-3") == cli.DONE
    sheet = images.read(tmp_path / "a.png")[0]
    # Enlarged, with the names of the classes at the left.
    times = sheet.shape[0] // (3 * 34 - 2)
    assert sheet.shape[0] == times * (3 * 34 - 2) and times >= 2
    names = sheet[:, : sheet.shape[1] - times * (4 * 34 - 2)]
    assert all(part.max() > 100 for part in np.array_split(names, 3))
    out = tmp_path / "b.png"
    assert run_verb(model, "--out", out, "--walk", "classes", "--classes", "0-2", "--steps", 3) == cli.DONE
    assert run_verb(dcgan, "--out", tmp_path / "c.mp4", "--walk", "latents", "--seeds", "0-2", "--steps", 3) == cli.DONE
    assert (tmp_path / "c.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--truncation", "0"], "The truncation is 0"),
        (["--classes", "dgo"], "Did you mean dog"),
        (["--classes", "5"], "There is no class 5"),
        (["--seeds", "4-1"], "cannot be understood"),
        (["--grid"], "has no extension"),
        (["--walk", "latents", "--seeds", "1"], "no way to walk"),
        (["--bank", "0.2,x"], "cannot be understood"),
        (["--bank", "0.2,1"], "is no run"),
        (["--curve", "nowhere"], "Name a file that ends in .svg"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(model, tmp_path, capsys, arguments, said):
    assert run_verb(model, "--out", tmp_path / "out", *arguments) in (cli.USER_ERROR, cli.USAGE)
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


# Neighbours and the curve


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(8):
            images.write(tmp_path / "data" / name / f"{n}.png", random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    return tmp_path / "data"


def test_copies_of_training_pictures_are_found_and_called_suspicious(model, data, tmp_path, monkeypatch):
    sampler = SeedSampler(model)
    # A generator that has learnt by heart: mirrored pictures of the training set.
    heart = [images.read(path)[0] for path in sorted(data.rglob("*.png"))]
    pictures = torch.stack([torch.from_numpy(array.copy()).permute(2, 0, 1) / 255 for array in heart]).flip(-1)
    monkeypatch.setattr(sampler, "sample", lambda seeds, *_: pictures[torch.tensor(seeds) % len(pictures)])
    for name in NAMES:
        (tmp_path / "held" / name).mkdir(parents=True)
        noise = np.random.default_rng(9).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        images.write(tmp_path / "held" / name / "0.png", noise)
    found = neighbours.find_neighbours(sampler, data, [0, 5], held_out=tmp_path / "held", number=12)
    for space in ("pixels", "features"):
        assert found.nearness[space].ratio < 0.01 and found.nearness[space].suspicious == 1
        torch.testing.assert_close(found.nearest[space][:, 0], found.samples.flip(-1), rtol=0, atol=1e-3)
    assert found.sheet().shape == (2 * 34 - 2, 7 * 34 - 2, 3)


def test_new_pictures_are_as_far_as_held_out_ones(data):
    far = torch.linspace(1, 2, 100)
    near = neighbours.Nearness(far, far)
    assert near.ratio == 1 and near.suspicious == pytest.approx(0.05, abs=0.01)


def test_the_verb_neighbours_writes_a_sheet(model, data, tmp_path, capsys):
    arguments = ["neighbours", str(model), "--data", str(data), "--out", str(tmp_path / "n.png"), "--number", "4"]
    assert cli.main([*arguments, "--seeds", "0,1"]) == cli.DONE
    assert "suspiciously near" in capsys.readouterr().out and (tmp_path / "n.png").is_file()
    assert cli.main([*arguments[:2], "--data", "nowhere", "--out", str(tmp_path / "m.png")]) == cli.USER_ERROR


def test_the_curve_falls_in_variety_with_the_threshold(model, data):
    points = curve(SeedSampler(model), data, thresholds=(0.05, None), number=16)
    assert points[0].variety < points[1].variety and 0 <= points[0].likeness <= 1
    assert "no truncation" in plot(points) and "truncation 0.05" in plot(points)


def test_spread_within_is_the_mean_distance_of_equal_labels():
    features = torch.tensor([[0.0], [2.0], [10.0], [11.0], [50.0]])
    assert spread_within(features, torch.tensor([0, 0, 1, 1, 2])) == pytest.approx((2 + 1) / 2)


def test_one_seed_of_one_class_is_one_picture_where_a_file_is_named(tmp_path, capsys):
    from ganvas import cli

    said = ["generate", "fashion", "--device", "cpu", "--quiet"]
    assert cli.main([*said, "--classes", "boot", "--seeds", "3", "--out", str(tmp_path / "new" / "one.png")]) == 0
    assert cli.main([*said, "--classes", "boot", "--seeds", "3", "--out", str(tmp_path / "many")]) == 0
    (path,) = (tmp_path / "many").iterdir()
    assert np.array_equal(images.read(tmp_path / "new" / "one.png")[0], images.read(path)[0])
    for more in (["--classes", "boot,bag", "--seeds", "3"], ["--classes", "boot", "--seeds", "3-4"]):
        assert cli.main([*said, *more, "--out", str(tmp_path / "two.png")]) == 1
        assert "--grid" in capsys.readouterr().err and not (tmp_path / "two.png").exists()
    assert cli.main([*said, "--classes", "boot", "--seeds", "3", "--out", str(tmp_path / "new" / "one.png")]) == 1
