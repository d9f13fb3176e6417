"""Folders of pictures as samples: what is found, what is skipped, where crops come from, how sets are split."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from PIL import Image

from ganvas.data import decoding, pictures
from ganvas.data.pictures import PairedPictures, Pictures, split
from ganvas.errors import UserError
from ganvas.io.pictures import images


def colours(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def save_any_depth(path: Path, picture: np.ndarray) -> Path:
    kind = {"float32": "float"}.get(str(picture.dtype), str(picture.dtype))
    spec = oiio.ImageSpec(picture.shape[1], picture.shape[0], picture.shape[2], kind)
    output = oiio.ImageOutput.create(str(path))
    assert output is not None
    assert output.open(str(path), spec) and output.write_image(picture) and output.close()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six usable pictures of many kinds in nested folders, and six kinds of trouble."""
    root = tmp_path / "photographs"
    save(root / "a.png", colours(40, 50))
    save(root / "b.jpg", colours(64, 48, 1))
    save(root / "deep" / "er" / "c.bmp", colours(40, 40, 2))
    save(root / "gray.png", colours(40, 40, 3)[..., 0])
    save_any_depth(root / "sixteen.png", colours(40, 40, 4).astype(np.uint16) * 257)
    save(root / "clear.png", np.dstack([colours(40, 40, 5), colours(40, 40, 6)[..., 0]]))
    save(root / "small.png", colours(40, 31))
    save(root / "twin.png", colours(40, 50))
    (root / "empty.png").touch()
    (root / "text.jpg").write_text("this is no picture")
    (root / "notes.txt").write_text("nor is this one meant to be one")
    whole = save(tmp_path / "whole.png", colours(60, 60, 7)).read_bytes()
    third = len(whole) // 3
    (root / "torn.png").write_bytes(whole[:third])
    # Only decoding can tell that this one is broken: its header and its end are as they should be.
    (root / "rotten.png").write_bytes(whole[:third] + bytes(third) + whole[2 * third :])
    return root


def draw(source: pictures.Crops, index: int = 0, seed: int = 0) -> dict[str, torch.Tensor]:
    return source.sample(index, np.random.default_rng(seed))


# What is found and what is skipped


def test_a_folder_of_everything_gives_equal_crops_and_names_every_trouble_once(folder):
    source = Pictures(folder, crop_px=32, cache_bytes=0)
    for _ in range(2):
        for index in range(len(source)):
            high = draw(source, index)["high"]
            assert high.shape == (3, 32, 32) and high.dtype == torch.float32
            assert float(high.min()) >= 0 and float(high.max()) <= 1
    assert set(source.report.skipped) == {"small.png", "twin.png", "empty.png", "text.jpg", "torn.png", "rotten.png"}
    assert source.report.num_used == 6
    assert "31 x 40" in source.report.skipped["small.png"]
    assert "a.png" in source.report.skipped["twin.png"]
    assert source.report.text.splitlines()[0] == "6 pictures, 6 skipped"
    assert len(source.report.text.splitlines()) == 7


def test_long_reports_are_cut_but_counted():
    report = pictures.Report(num_used=1)
    for number in range(25):
        report.skip(f"{number}.png", "broken")
    assert report.text.splitlines()[0] == "1 pictures, 25 skipped"
    assert report.text.splitlines()[-1].strip() == "and 15 more"


def test_a_list_of_files_will_do_and_missing_ones_are_skipped(folder):
    source = Pictures([folder / "a.png", str(folder / "b.jpg"), folder / "gone.png"], crop_px=32)
    assert set(source.groups()) == {"a.png", "b.jpg"}
    assert any("gone.png" in name for name in source.report.skipped)


def test_nothing_usable_says_what_was_found_and_what_is_needed(folder, tmp_path):
    with pytest.raises(UserError, match=r"too small(.|\n)*at least 512 x 512 px"):
        Pictures(folder, crop_px=512)
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match=r"bare.*at least 32 x 32 px"):
        Pictures(tmp_path / "bare", crop_px=32)
    with pytest.raises(UserError, match="multiple of 4"):
        Pictures(folder, crop_px=30, scale=4)


def test_indexing_decodes_nothing(folder, monkeypatch):
    decoded = []
    read = images.read
    monkeypatch.setattr(images, "read", lambda path: decoded.append(path) or read(path))
    source = Pictures(folder, crop_px=32)
    assert decoded == []
    draw(source)
    assert len(decoded) == 1


def test_only_files_of_equal_length_are_compared(folder, monkeypatch):
    compared = []
    monkeypatch.setattr(pictures.shards, "digest", lambda path: compared.append(path.name) or path.read_bytes().hex())
    Pictures(folder, crop_px=32)
    assert sorted(compared) in (["a.png", "twin.png"], ["a.png", "gray.png", "twin.png"])


def test_a_broken_picture_is_replaced_by_one_of_the_same_source(folder):
    source = Pictures([folder / "a.png", folder / "b.jpg", folder / "rotten.png"], crop_px=32)
    groups = source.groups()
    rotten = groups.index("rotten.png")
    assert torch.equal(draw(source, rotten)["high"], draw(source, groups.index("a.png"))["high"])
    assert source.report.num_used == 2 and "rotten.png" in source.report.skipped
    only_b = source.subset([rotten, groups.index("b.jpg")])
    assert torch.equal(draw(only_b, 0)["high"], draw(only_b, 1)["high"])
    with pytest.raises(UserError, match=r"No picture of this source(.|\n)*rotten.png"):
        draw(source.subset([rotten]))


# Pixels


def test_depths_and_modes_keep_their_values(folder):
    source = Pictures(folder, crop_px=40, augment=False, crops_per_picture=1)
    place = {name: index for index, name in enumerate(source.groups())}

    expected = torch.from_numpy(colours(40, 40, 2).transpose(2, 0, 1) / 255).float()
    torch.testing.assert_close(draw(source, place["deep/er/c.bmp"])["high"], expected)
    gray = torch.from_numpy(colours(40, 40, 3)[..., 0] / 255).float()
    torch.testing.assert_close(draw(source, place["gray.png"])["high"], gray.expand(3, -1, -1))
    sixteen = torch.from_numpy(colours(40, 40, 4).transpose(2, 0, 1) / 255).float()
    torch.testing.assert_close(draw(source, place["sixteen.png"])["high"], sixteen)


def test_sixteen_bits_are_not_cut_to_eight(tmp_path):
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32, 1).repeat(3, axis=2)
    save_any_depth(tmp_path / "ramp.png", ramp)
    high = draw(Pictures(tmp_path, crop_px=32, augment=False))["high"]
    assert len(torch.unique(high)) == 1024


def test_transparency_is_laid_over_mid_gray(folder, tmp_path):
    source = Pictures(folder / "clear.png", crop_px=40, augment=False)
    colour, alpha = colours(40, 40, 5) / 255, colours(40, 40, 6)[..., :1] / 255
    expected = torch.from_numpy((colour * alpha + 0.5 * (1 - alpha)).transpose(2, 0, 1)).float()
    torch.testing.assert_close(draw(source)["high"], expected, atol=1.01 / 255, rtol=0)

    opaque = np.dstack([colours(40, 40, 5), np.full((40, 40), 255, np.uint8)])
    save(tmp_path / "opaque.png", opaque)
    high = draw(Pictures(tmp_path / "opaque.png", crop_px=40, augment=False))["high"]
    torch.testing.assert_close(high, torch.from_numpy(colour.transpose(2, 0, 1)).float())


def test_colours_that_hold_their_alpha_already_are_not_multiplied_again(tmp_path):
    random = np.random.default_rng(0)
    alpha = random.random((32, 32, 1), dtype=np.float32)
    colour = random.random((32, 32, 3), dtype=np.float32) * alpha
    save_any_depth(tmp_path / "associated.exr", np.dstack([colour, alpha]))
    high = draw(Pictures(tmp_path, crop_px=32, augment=False))["high"]
    torch.testing.assert_close(high, torch.from_numpy((colour + 0.5 * (1 - alpha)).transpose(2, 0, 1)))


def test_values_that_are_not_finite_make_a_picture_unusable(tmp_path):
    picture = np.random.default_rng(0).random((40, 40, 3), dtype=np.float32)
    save_any_depth(tmp_path / "good.tif", picture)
    picture[3, 3] = np.nan
    save_any_depth(tmp_path / "nan.tif", picture)
    source = Pictures(tmp_path, crop_px=32)
    assert all(torch.isfinite(draw(source, index)["high"]).all() for index in range(len(source)))
    assert "not finite" in source.report.skipped["nan.tif"]


def test_the_eight_versions_differ_and_are_closed_under_turning():
    square = colours(5, 5)
    versions = {pictures.turned(square, which).tobytes() for which in range(8)}
    assert len(versions) == 8
    again = {pictures.turned(pictures.turned(square, which), 5).tobytes() for which in range(8)}
    assert again == versions


def test_crops_lie_anywhere_in_the_picture_and_take_all_eight_versions(tmp_path):
    picture = np.arange(36, dtype=np.uint8).reshape(6, 6)
    save(tmp_path / "numbered.png", picture)
    source = Pictures(tmp_path, crop_px=4)
    seen = {tuple((draw(source, 0, seed)["high"][0] * 255).round().int().flatten().tolist()) for seed in range(600)}
    cuts = [picture[top : top + 4, left : left + 4] for top in range(3) for left in range(3)]
    possible = {tuple(pictures.turned(cut[..., None], which).ravel()) for cut in cuts for which in range(8)}
    assert seen == possible and len(possible) == 72


def test_all_chance_comes_from_the_generator(folder):
    one, two = Pictures(folder, crop_px=32), Pictures(folder, crop_px=32, cache_bytes=0)
    for index in range(len(one)):
        assert torch.equal(draw(one, index, 5)["high"], draw(two, index, 5)["high"])
    assert not torch.equal(draw(one, 0, 5)["high"], draw(one, 0, 6)["high"])


def test_an_epoch_has_as_many_crops_as_fit_into_each_area(tmp_path):
    save(tmp_path / "large.png", colours(128, 160))
    save(tmp_path / "tiny.png", colours(33, 33))
    assert Pictures(tmp_path, crop_px=32).groups() == ["large.png"] * 20 + ["tiny.png"]
    assert Pictures(tmp_path, crop_px=32, crops_per_picture=3).groups() == ["large.png"] * 3 + ["tiny.png"] * 3


def test_whole_pictures_one_each_for_scoring(folder):
    source = Pictures(folder, crop_px=32, scale=4).one_each()
    assert sorted(source.groups()) == source.groups() and len(source) == len(set(source.groups()))
    whole = source.whole(source.groups().index("a.png"))["high"]
    torch.testing.assert_close(whole, torch.from_numpy(colours(40, 50)[:, :48].transpose(2, 0, 1) / 255).float())


# Cache and threads


def test_what_was_decoded_is_kept_and_so_is_what_is_wrong_with_a_picture(tmp_path, monkeypatch):
    good, bad = save(tmp_path / "good.png", colours(10, 10, 0)), tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:60])
    cache, asked = decoding.PictureCache(), []
    decode = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda path: (asked.append(path), decode(path))[1])
    assert cache.get(good) is cache.get(good)
    for _ in range(2):
        with pytest.raises(UserError, match="bad"):
            cache.get(bad)
    assert asked == [good, bad]


def test_many_threads_draw_the_same_samples_as_one(folder):
    source = Pictures(folder, crop_px=32, cache_bytes=20_000)
    numbers = [index % len(source) for index in range(200)]
    alone = [draw(source, index, seed)["high"] for seed, index in enumerate(numbers)]
    fresh = Pictures(folder, crop_px=32, cache_bytes=20_000)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: draw(fresh, job[1], job[0])["high"], enumerate(numbers)))
    assert all(torch.equal(a, b) for a, b in zip(alone, together))
    assert fresh.report.num_used == source.report.num_used


# Pairs


@pytest.fixture
def pair_folders(tmp_path: Path) -> tuple[Path, Path]:
    """Low pictures are the top left pixel of every 2 x 2 block of the high ones."""
    low, high = tmp_path / "low", tmp_path / "high"
    for number, (low_name, high_name) in enumerate([("0001x2.png", "0001.png"), ("sub/b_LR.png", "sub/b_HR.tif")]):
        picture = colours(40, 48, number)
        save(high / high_name, picture)
        save(low / low_name, picture[::2, ::2])
    save(high / "twin.png", colours(40, 48, 0))
    save(low / "twin.png", colours(40, 48, 0)[::2, ::2])
    save(high / "lonely.png", colours(40, 40, 5))
    save(high / "wrong.png", colours(40, 40, 6))
    save(low / "wrong.png", colours(20, 21, 6))
    return low, high


@pytest.mark.parametrize("augment", [False, True])
def test_pairs_are_matched_by_name_and_cropped_alike(pair_folders, augment):
    source = PairedPictures(*pair_folders, crop_px=16, scale=2, augment=augment)
    assert set(source.groups()) == {"0001", "sub/b"}
    assert source.report.skipped["lonely"] == "has no low picture"
    assert source.report.skipped["twin"] == "the same file as 0001"
    assert "21 x 20 and 40 x 40" in source.report.skipped["wrong"]
    corners = set()
    for seed in range(20):
        both = draw(source, seed % len(source), seed)
        assert both["low"].shape == (3, 8, 8) and both["high"].shape == (3, 16, 16)
        offsets = [(y, x) for y in (0, 1) for x in (0, 1) if torch.equal(both["high"][:, y::2, x::2], both["low"])]
        assert len(offsets) == 1
        corners.update(offsets)
    # Mirroring and turning move the top left pixel of each block to any of its corners.
    assert corners == ({(0, 0), (0, 1), (1, 0), (1, 1)} if augment else {(0, 0)})


def test_whole_pairs_keep_their_sizes(pair_folders):
    whole = PairedPictures(*pair_folders, crop_px=16, scale=2).one_each().whole(0)
    assert whole["low"].shape == (3, 20, 24) and torch.equal(whole["high"][:, ::2, ::2], whole["low"])


def test_pairs_that_do_not_fit_say_so(pair_folders):
    with pytest.raises(UserError, match=r"no pair at x4(.|\n)*pairs at x4"):
        PairedPictures(*pair_folders, crop_px=16, scale=4)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("0001x4.png", "0001"),
        ("a/0001.png", "a/0001"),
        ("img_001_SRF_4_LR.png", "img_001_SRF_4"),
        ("baby_x3.bmp", "baby"),
        ("0801x4m.png", "0801"),
        ("box2.png", "box2"),
        ("low.png", "low"),
        ("v1.5-gt.exr", "v1.5"),
    ],
)
def test_stems_lose_only_what_tells_low_from_high(name, stem):
    assert pictures.stem_of(name) == stem


# Splitting


class Numbers:
    """A source of `per_group` samples for each name, with no pictures at all."""

    def __init__(self, names: list[str], per_group: int = 3) -> None:
        self.names = [name for name in names for _ in range(per_group)]

    def __len__(self) -> int:
        return len(self.names)

    def groups(self) -> list[str]:
        return self.names

    def subset(self, indices) -> "Numbers":
        return Numbers([self.names[index] for index in indices], 1)

    def sample(self, index: int, random: np.random.Generator) -> dict[str, torch.Tensor]:
        return {"high": torch.zeros(3, 1, 1)}


def test_split_never_parts_a_picture_and_loses_none():
    source = Numbers([f"{n}.png" for n in range(40)])
    train, val = split(source, 0.1, seed=3)
    assert len(set(val.groups())) == 4 and len(val) == 12
    assert not set(train.groups()) & set(val.groups())
    assert sorted(train.groups() + val.groups()) == sorted(source.groups())


def test_split_depends_on_names_and_seed_only():
    names = [f"{n}.png" for n in range(40)]
    held = set(split(Numbers(names), 0.25, seed=1)[1].groups())
    assert set(split(Numbers(names[::-1], per_group=7), 0.25, seed=1)[1].groups()) == held
    assert set(split(Numbers(names), 0.25, seed=2)[1].groups()) != held
    grown = set(split(Numbers([*names, "new.png"]), 0.25, seed=1)[1].groups())
    assert len(grown & held) >= len(held) - 1


def test_split_leaves_something_on_both_sides_or_says_why():
    two = Numbers(["a", "b"])
    for fraction in (0.01, 0.99):
        assert [len(side) for side in split(two, fraction)] == [3, 3]
    with pytest.raises(UserError, match="between 0 and 1"):
        split(two, 1.0)
    with pytest.raises(UserError, match="only 1 picture"):
        split(Numbers(["a"]), 0.5)


def test_split_of_pictures_shares_no_picture(folder):
    train, val = split(Pictures(folder, crop_px=32), 0.3)
    assert train.groups() and val.groups() and not set(train.groups()) & set(val.groups())
    assert draw(val)["high"].shape == (3, 32, 32)
