"""Tiles of upres nets: their layout, feathering, variants and their choice, chains, bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import ganvas
from ganvas import cli
from ganvas.data.guides import Origin
from ganvas.drawn.faces import write
from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.inference.picture import tiled as upres
from ganvas.inference.picture.options import GuidedOptions, TileOptions
from ganvas.inference.picture.suite import takes_guide, way_of
from ganvas.inference.picture.tiled import Upres, Variant, layout, variants_of
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.protocol import Card, Verdict
from ganvas.recipes.tiled_upres import TiledUpres

TINY: dict[str, Any] = {
    "width": 4, "encoder_width_div": 2, "discriminator_width": 4, "high_px": 128, "low_px": 80, "scale": 2,
    "guide": "points", "batch_size": 2, "pixel_steps": 1, "steps": 2, "threads": 1, "precision": "float32",
}  # fmt: skip


class Enlarged(nn.Module):
    """A stand-in for an upres net: nearest enlargement, darkened by the tile's own mean if asked to."""

    def __init__(self, scale: int = 8, bias: float = 0.0, guide: str = "none", channels: int = 3) -> None:
        super().__init__()
        self.scale, self.bias, self.calls = scale, bias, list[int]()
        extra = {"guide": {"kind": guide}, "tile_px": 32, "low_px": 128, "grid_px": 96}
        self.card: Any = Card(network="", scale=scale, channels_in=channels, range=(-1, 1), extra={"upres": extra})

    def forward(self, tile: Tensor) -> Tensor:
        self.calls.append(len(tile))
        made = F.interpolate(tile[:, :3], scale_factor=self.scale, mode="nearest")
        return made + self.bias * tile[:, :3].mean((1, 2, 3), keepdim=True)


class Left(nn.Module):
    """A stand-in for a discriminator that likes light on the left."""

    def forward(self, made: Tensor, low: Tensor) -> Verdict:
        half = made.shape[-1] // 2
        score = (made[..., :half] - made[..., half:]).mean((1, 2, 3))[:, None]
        return Verdict(score, (score,))


def options(**changes: Any) -> TileOptions:
    return TileOptions(**{"device": "cpu", "choose": "first", **changes})


def test_a_grid_of_96_has_the_seeds_21_tiles() -> None:
    main = {(y, x) for y in (0, 32, 64) for x in (0, 32, 64)}
    diagonal = {(y, x) for y in (16, 48) for x in (16, 48)}
    down = {(y, x) for y in (16, 48) for x in (0, 64)}
    across = {(y, x) for y in (0, 64) for x in (16, 48)}
    found = [tuple(tile) for tile in layout(96, 96, 32)]
    assert set(found) == main | diagonal | down | across
    assert len(found) == 21 and found == sorted(found)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 100), (96, 70), (130, 47)])
def test_tiles_cover_any_grid_and_stay_within(height: int, width: int) -> None:
    seen = np.zeros((height, width), int)
    for top, left in layout(height, width, 32):
        assert 0 <= top <= height - 32 and 0 <= left <= width - 32
        seen[top : top + 32, left : left + 32] += 1
    assert seen.min() >= 1


def test_feathering_gives_a_local_network_back_exactly() -> None:
    low = torch.rand(3, 128, 150, generator=torch.Generator().manual_seed(0))
    net = Enlarged()
    made = Upres(net, options())(low)
    grid = upres.stacked(low, torch.zeros(0, 128, 150), (96, 112))
    expected = F.interpolate(grid[None] * 0.5 + 0.5, scale_factor=8, mode="nearest")[0]
    assert made.shape == (3, 768, 896)
    assert torch.allclose(made, expected, atol=1e-5)


def test_seams_are_blended_where_tiles_differ() -> None:
    # Every tile adds its own mean, so tiles disagree; no step between neighbouring pixels may show that.
    low = torch.linspace(0.2, 0.8, 128).expand(3, 128, 128)
    steps = {}
    for kind in ("sparse", "dense"):
        made = Upres(Enlarged(bias=0.5), options(layout=kind))(low)
        smooth = F.avg_pool2d(made[None], (1, 8))[0]
        steps[kind] = (smooth[..., 1:] - smooth[..., :-1]).abs()
        assert float(steps[kind].mean()) < 0.01
    assert float(steps["dense"].max()) < 0.02
    # The sparse layout has weak points in the middle of inner seams, and nowhere else.
    weak = (steps["sparse"] > 0.02).any(0).nonzero()
    middles = torch.tensor([[256, 384], [512, 384], [384, 256], [384, 512]])
    assert len(weak) and torch.cdist(weak * torch.tensor([1.0, 8]), middles.float()).amin(1).max() < 32


def test_the_dense_layout_has_a_tile_over_every_seam() -> None:
    dense, sparse = ({tuple(tile) for tile in layout(96, 96, 32, kind)} for kind in ("dense", "sparse"))
    assert dense - sparse == {(32, 16), (32, 48), (16, 32), (48, 32)} and sparse < dense
    with pytest.raises(UserError, match="dense"):
        Upres(Enlarged(), options(layout="denser"))


@pytest.mark.parametrize("variant", variants_of(["flip", "contrast", "saturation"]))
def test_every_variant_is_undone(variant: Variant) -> None:
    tile = torch.rand(2, 5, 8, 8) - 0.5
    shown = variant.shown(tile)
    assert torch.allclose(variant.undone(shown[:, :3]), tile[:, :3], atol=1e-6)
    guide = shown[:, 3:].flip(-1) if variant.mirrored else shown[:, 3:]
    assert torch.equal(guide, tile[:, 3:])
    if variant != Variant():
        assert not torch.allclose(shown, tile)


def test_contrast_and_saturation_do_what_they_are_called() -> None:
    tile = torch.rand(1, 3, 6, 6) - 0.5
    gray = torch.einsum("bchw,c->bhw", tile, torch.tensor([0.299, 0.587, 0.114]))
    pale = Variant(saturation=0.5).shown(tile)
    assert torch.allclose(torch.einsum("bchw,c->bhw", pale, torch.tensor([0.299, 0.587, 0.114])), gray, atol=1e-6)
    assert torch.allclose(pale - gray[:, None], 0.5 * (tile - gray[:, None]), atol=1e-6)
    assert torch.allclose(Variant(contrast=1.2).shown(tile), 1.2 * tile)


class Lopsided(Enlarged):
    """Adds detail on the left half of what it sees: mirrored, it comes out on the right."""

    def forward(self, tile: Tensor) -> Tensor:
        made = super().forward(tile) * 0.5
        checker = torch.ones_like(made)
        checker[..., ::2, ::2] = -1
        made[..., : made.shape[-1] // 2] += 0.2 + 0.2 * checker[..., : made.shape[-1] // 2] * (tile.mean() < 5)
        return made


def test_the_best_variant_is_kept_by_each_measure() -> None:
    low = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1))
    whole = upres.stacked(low, torch.zeros(0, 128, 128), (96, 96))
    tile = whole[None, :, :32, :32]
    made = {mirrored: Variant(mirrored).undone(Lopsided()(Variant(mirrored).shown(tile))) for mirrored in (False, True)}
    oracle = {
        "discriminator": lambda m: float(Left()(m, tile).score),
        "contrast": lambda m: float(np.std(m[0].numpy().transpose(1, 2, 0) @ [65.481, 128.553, 24.966])),
    }
    for choose, measure in oracle.items():
        up = Upres(Lopsided(), options(choose=choose), scorer=Left())
        choices: upres.Choices = {}
        up(low, choices=choices)
        best = max(made, key=lambda mirrored: measure(made[mirrored].clamp(-1, 1)))
        assert choices[(0, 0)] == int(best), choose
        assert up.report.passes == 2 * up.report.tiles == 42
        assert sum(up.report.chosen.values()) == 21


def test_choices_can_be_held_fixed_over_a_clip() -> None:
    low = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1))
    up = Upres(Lopsided(), options(choose="laplacian"))
    choices: upres.Choices = dict.fromkeys(layout(96, 96, 32), 1)
    held = up(low, choices=choices)
    assert up.report.passes == 21 and set(choices.values()) == {1}
    mirrored = Upres(Lopsided(), options())(low.flip(-1)).flip(-1)
    assert torch.allclose(held, mirrored, atol=1e-5)


def test_a_processor_takes_as_many_tiles_as_keep_the_largest_tensor_small() -> None:
    chosen = {}
    for width in (12, 16, 64, 128):
        net = Enlarged()
        net.card = replace(net.card, settings={"width": width})
        chosen[width] = Upres(net, options()).batch
    assert chosen == {12: 5, 16: 4, 64: 1, 128: 1}
    assert Upres(net, options(tile_batch=7)).batch == 7


def test_batches_change_nothing_but_the_number_of_calls() -> None:
    low = torch.rand(3, 128, 128)
    torch.manual_seed(0)
    results, calls = [], []
    for batch in (1, 8):
        net = Enlarged()
        results.append(Upres(net, options(choose="laplacian", tile_batch=batch))(low))
        calls.append(len(net.calls))
    assert torch.allclose(results[0], results[1], atol=1e-6)
    assert calls[0] == 42 and calls[1] <= 8


def test_memory_does_not_grow_with_the_height() -> None:
    up = Upres(Enlarged(), options())
    sizes = []
    for height in (128, 1280):
        low = torch.rand(3, height, 128)
        strips = list(up.strips(low))
        sizes.append(max(strip.shape[1] for strip in strips))
        assert sum(strip.shape[1] for strip in strips) == up.size_for(height, 128)[0] == height * 6
    assert sizes[0] == sizes[1] == 256


def test_what_cannot_be_upresed_is_told() -> None:
    with pytest.raises(UserError, match="no upres net"):
        Upres(nn.Identity(), options())
    with pytest.raises(UserError, match="not that of the model"):
        Upres(Enlarged(guide="edges"), options())
    with pytest.raises(UserError, match="discriminator"):
        Upres(Enlarged(), options(choose="discriminator"))
    with pytest.raises(UserError, match="contrast"):
        Upres(Enlarged(), options(choose="contrasts"))
    with pytest.raises(UserError, match="flip"):
        Upres(Enlarged(), options(choose="laplacian", variants=("flop",)))
    with pytest.raises(UserError, match="larger than the picture"):
        layout(31, 96, 32)


# With a trained run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upres")
    write(folder / "faces", 2, 128)
    return ganvas.train("tiled_upres", folder / "faces", folder / "run", preset="laptop", settings=TINY, quiet=True)


@pytest.fixture(scope="module")
def lows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lows") / "low", 2, 40)


def test_a_run_is_used_without_its_recipe(run: Path, lows: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    arguments = ["generate", str(lows), "--choose", "laplacian"]
    arguments += ["--then", str(run), "--then", str(run), "--then", "compact-x2"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert Image.open(tmp_path / "out" / "1-run" / "000000.png").size == (64, 64)
    # The grid is 64 / 80 of the low picture: 40 px become 32 and then 64, and those 51 and then 102.
    assert Image.open(tmp_path / "out" / "2-run" / "000001.png").size == (102, 102)
    # The second step has no landmarks beside its pictures; the third takes none.
    told = capsys.readouterr()
    assert ["no guide" in line for line in told.out.splitlines()] == [False, False, True, True, False, False]
    assert "For 2 of 4 pictures no guide was found" in told.err


def test_another_guide_of_as_many_channels_can_take_its_place(run: Path, lows: Path) -> None:
    up = Upres(run, TileOptions(device="cpu", choose="first", guide="labels", guide_file=str(lows)))
    assert up.guide.channels == 3
    with pytest.raises(UserError, match="not that of the model"):
        Upres(run, TileOptions(device="cpu", choose="first", guide="edges"))


def test_the_discriminator_of_the_run_chooses(run: Path, lows: Path) -> None:
    up = Upres(run, TileOptions(device="cpu", variants=("flip", "contrast")))
    asked = GuidedOptions(
        inputs=(str(lows),), out=lows.parent / "made", device="cpu", precision="float32", variants=("flip", "contrast")
    )
    results = way_of(up.card).run(open_model(run), asked, Progress())
    assert [result.error for result in results] == ["", ""]
    assert (results[0].width, results[0].height) == (64, 64)
    low = to_tensor(images.read(lows / "000000.png")[0])
    high = up(low, Origin(lows / "000000.png", 0, 0, 40, 40))
    assert np.array_equal(from_tensor(high), images.read(results[0].output)[0])
    assert up.report.passes == 4 * up.report.tiles
    assert up.report.without_guide == []
    again = way_of(up.card).run(open_model(run), asked, Progress())
    assert all("exists" in result.error for result in again)


def test_a_picture_without_a_face_is_counted_and_still_made(run: Path, lows: Path, tmp_path: Path) -> None:
    (tmp_path / "landmarks.json").write_text('{"points": {}}')
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code = cli.main(["generate", str(tmp_path), "--then", str(run), "--out", str(tmp_path / "out"), "--quiet"])
    assert code == 1
    assert Image.open(tmp_path / "out" / "1-run" / "gray.png").size == (64, 64)
    assert not (tmp_path / "out" / "1-run" / "broken.png").exists()


def test_chains_are_checked_before_anything_is_made(run: Path, lows: Path, tmp_path: Path) -> None:
    assert cli.main(["generate", str(lows), "--then", "no-such-model", "--out", str(tmp_path / "out")]) == 1
    assert cli.main(["generate", str(lows), "--then", str(run)]) == 2
    assert cli.main(["generate", str(lows), "--then", str(run), "--out", str(tmp_path / "out"), "--seeds", "1"]) == 2
    assert not (tmp_path / "out").exists()


def test_the_card_says_all_that_inference_needs(run: Path) -> None:
    card = ganvas.load(run).card
    assert isinstance(card, Card)
    assert card.input == "picture" and card.scale == 2 and takes_guide(card)
    assert card.extra["upres"]["guide"]["kind"] == "points" and card.extra["upres"]["grid_px"] == 64
    assert TiledUpres.PRESETS["paper"].high_px == 768
