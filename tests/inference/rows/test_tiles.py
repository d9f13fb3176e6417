"""Tiled equals untiled, whatever the sizes, and when memory runs out at any moment."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ganvas.errors import UserError
from ganvas.inference.rows import tiles
from ganvas.inference.rows.strips import Margins, RowBuffer, beyond, cropped, padded
from ganvas.inference.rows.tiles import Tiler, dihedral_mean, seam_error
from ganvas.inference.rows.tiling import Tiling, cut_evenly, cut_into_bands, fit_tiling
from ganvas.networks.rrdb.net import CompactNet, RRDBNet

LENGTHS = st.integers(1, 400)
TILINGS = st.builds(
    lambda halo, overlap, unit, extra, batch: Tiling(
        height_px=2 * halo + 3 * overlap + 8 * unit + 8 + extra,
        width_px=2 * halo + 3 * overlap + 8 * unit + 16 + extra // 2,
        halo_px=halo,
        overlap_px=overlap,
        multiple_of=unit,
        batch=batch,
    ),
    st.integers(0, 12),
    st.integers(0, 9),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 60),
    st.integers(1, 3),
)


class Tiny(nn.Module):
    """Three convolutions and a doubling: sees 4 pixels far."""

    halo_px = 4

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(6, 6, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(6, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    @torch.inference_mode()
    def forward(self, x):
        return self.layers(x)


def picture(height, width, seed=0, batch=1):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def assert_same(tiled, untiled, tolerance=1e-5):
    assert tiled.shape == untiled.shape
    assert (tiled - untiled).abs().max() <= tolerance * untiled.abs().max()


@settings(max_examples=200, deadline=None)
@given(LENGTHS, TILINGS, st.booleans())
def test_every_pixel_is_kept_with_weights_that_sum_to_one_and_are_positive(length, tiling, evenly):
    length *= tiling.multiple_of
    cut = cut_evenly if evenly else cut_into_bands
    spans = cut(length, tiling.width_px, tiling)
    weight = torch.zeros(length, dtype=torch.float64)
    for span in spans:
        own = torch.ones(span.keep_stop - span.keep_start, dtype=torch.float64)
        if span.fade_in:
            own[: span.fade_in] *= tiles.ramp(span.fade_in)
        if span.fade_out:
            own[-span.fade_out :] *= tiles.ramp(span.fade_out).flip(0)
        assert own.min() > 0
        assert span.fade_in + span.fade_out <= len(own)
        weight[span.keep_start : span.keep_stop] += own
        assert 0 <= span.start <= span.keep_start < span.keep_stop <= span.stop <= length
        assert span.stop - span.start <= tiling.width_px
        assert span.start == 0 or span.keep_start - span.start >= tiling.halo_px
        assert span.stop == length or span.stop - span.keep_stop >= tiling.halo_px
        assert span.start % tiling.multiple_of == 0
    torch.testing.assert_close(weight, torch.ones_like(weight), rtol=0, atol=1e-6)
    if evenly:
        assert len({span.stop - span.start for span in spans}) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.tuples(st.integers(1, 3), st.integers(100, 300))),
    st.booleans(),
    st.integers(0, 6),
    st.integers(0, 30),
    st.integers(1, 4),
    st.integers(1, 40),
)
def test_tiled_equals_untiled_at_every_size(size, tall, overlap, extra, batch, strip):
    height, width = size[::-1] if tall else size
    net = Tiny()
    whole = picture(height, width)
    side = 8 + 3 * overlap + 8 + extra
    tiling = Tiling(height_px=side, width_px=side + 3, halo_px=4, overlap_px=overlap, batch=batch)
    strips = Tiler(net, 2, tiling).strips(iter(whole.split(strip, dim=2)), height, width)
    assert_same(torch.cat(list(strips), dim=2), net(whole))


@pytest.mark.parametrize(("height", "width"), [(70, 95), (1, 1), (130, 9), (40, 40)])
def test_one_block_rrdbnet_tiled_equals_untiled(height, width):
    torch.manual_seed(0)
    net = RRDBNet(width=8, blocks=1, growth=4).eval()
    side = 2 * net.receptive_halo_px + 24
    tiling = Tiling(height_px=side, width_px=side, halo_px=net.receptive_halo_px, overlap_px=4)
    with torch.inference_mode():
        whole = picture(height, width)
        assert_same(Tiler(net, 4, tiling).whole(whole), net(whole))


def test_a_net_with_pixel_unshuffle_is_tiled_on_its_grid():
    torch.manual_seed(0)
    net = RRDBNet(width=8, blocks=1, growth=4, scale=2, unshuffle=2).eval()
    side = 2 * net.receptive_halo_px + 40
    tiling = Tiling(height_px=side, width_px=side, halo_px=net.receptive_halo_px, overlap_px=4, multiple_of=2)
    with torch.inference_mode():
        whole = picture(150, 2 * side)
        assert_same(Tiler(net, 2, tiling).whole(whole), net(whole))


def test_too_small_a_halo_shows_and_seam_error_measures_it():
    net = CompactNet(width=6, convs=8, scale=2).eval()
    whole = picture(120, 120)
    with torch.inference_mode():
        exact = Tiling(height_px=60, width_px=60, halo_px=net.receptive_halo_px, overlap_px=0)
        short = Tiling(height_px=60, width_px=60, halo_px=1, overlap_px=0)
        assert seam_error(net, whole, 2, exact).maximum < 1e-5
        measured = seam_error(net, whole, 2, short, crops=2)
        crop_error = (Tiler(net, 2, short).whole(whole) - net(whole)).abs().max()
    assert measured.maximum > 1e-4
    assert measured.rms < measured.maximum < 3 * crop_error
    assert seam_error(net, picture(20, 20), 2, short).maximum == 0  # one tile: nothing to stitch


class Forgetful:
    """A network that runs out of memory at the chosen calls, or above an area."""

    def __init__(self, net, fails_at=(), largest_area=10**9, error=None):
        self.net, self.fails_at, self.largest_area, self.calls = net, set(fails_at), largest_area, 0
        self.error = error or torch.OutOfMemoryError("out of memory")

    def __call__(self, x):
        self.calls += 1
        if self.calls - 1 in self.fails_at or x.shape[0] * x.shape[2] * x.shape[3] > self.largest_area:
            raise self.error
        return self.net(x)


@pytest.mark.parametrize(("height", "width"), [(70, 70), (30, 110), (110, 30)])
@pytest.mark.parametrize("batch", [1, 3])
def test_out_of_memory_at_any_call_changes_nothing(height, width, batch):
    net, whole = Tiny(), picture(height, width)
    tiling = Tiling(height_px=40, width_px=40, halo_px=4, overlap_px=4, batch=batch)
    counter = Forgetful(net)
    expected = Tiler(counter, 2, tiling).whole(whole)
    assert counter.calls > 3 or batch > 1
    for call in range(counter.calls):
        forgetful = Forgetful(net, [call])
        assert_same(Tiler(forgetful, 2, tiling).whole(whole), expected)
        assert forgetful.calls > counter.calls


def test_repeated_out_of_memory_keeps_halving_and_remembers():
    net, whole = Tiny(), picture(150, 150)
    tiling = Tiling(height_px=120, width_px=120, halo_px=4, overlap_px=2, batch=4)
    forgetful = Forgetful(net, largest_area=900, error=RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    tiler = Tiler(forgetful, 2, tiling)
    assert_same(tiler.whole(whole), net(whole))
    assert (tiler.batch, tiler.halvings) == (1, 2)
    assert tiler.limit_px <= 30
    failures = forgetful.calls
    tiler.whole(whole)
    assert forgetful.calls < 2 * failures  # the second picture starts with what fits


def test_memory_that_never_suffices_ends_with_an_error_and_other_errors_pass():
    tiling = Tiling(height_px=60, width_px=60, halo_px=2, overlap_px=0)
    with pytest.raises(UserError, match="Memory ran out"):
        Tiler(Forgetful(Tiny(), largest_area=0), 2, tiling).whole(picture(80, 80))
    with pytest.raises(RuntimeError, match="shapes differ"):
        Tiler(Forgetful(Tiny(), [1], error=RuntimeError("shapes differ")), 2, tiling).whole(picture(80, 80))


@pytest.mark.parametrize("overlap", [0, 8])
def test_a_constant_picture_stays_constant_with_no_dark_line(overlap):
    tiling = Tiling(height_px=48, width_px=48, halo_px=0, overlap_px=overlap)
    result = Tiler(lambda x: F.interpolate(x, scale_factor=2), 2, tiling).whole(torch.ones(1, 3, 100, 130))
    assert result.shape == (1, 3, 200, 260)
    assert (result - 1).abs().max() < 1e-6


def test_the_source_is_not_written_to_by_a_net_that_returns_its_input():
    whole = picture(90, 20)
    before = whole.clone()
    tiling = Tiling(height_px=30, width_px=30, halo_px=2, overlap_px=4)
    torch.testing.assert_close(Tiler(lambda x: x, 1, tiling).whole(whole), before)
    assert torch.equal(whole, before)


def test_dihedral_mean_is_equivariant_and_keeps_the_mean():
    net = Tiny()
    x = picture(9, 14)
    mean = dihedral_mean(net)
    reference = torch.stack(
        [
            torch.rot90(net(torch.rot90(x.flip(3) if flip else x, k, (2, 3))), -k, (2, 3)).flip(*([3] if flip else []))
            if flip
            else torch.rot90(net(torch.rot90(x, k, (2, 3))), -k, (2, 3))
            for k, flip in itertools.product(range(4), (False, True))
        ]
    ).mean(0)
    torch.testing.assert_close(mean(x), reference, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mean(x.flip(2)), mean(x).flip(2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mean(x.transpose(2, 3)), mean(x).transpose(2, 3), rtol=1e-5, atol=1e-6)


def test_an_impossible_tiling_is_refused_with_what_it_needs():
    with pytest.raises(UserError, match=r"too small.*need"):
        Tiling(height_px=32, width_px=64, halo_px=16, overlap_px=8)
    with pytest.raises(UserError, match="negative"):
        Tiling(halo_px=-1)
    with pytest.raises(ValueError, match="multiple"):
        Tiler(Tiny(), 2, Tiling(multiple_of=2)).whole(picture(5, 6))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200_000), st.floats(100, 50_000), st.integers(1 << 20, 1 << 38), st.sampled_from([1, 2, 4]))
def test_auto_tiles_stay_within_the_memory_they_were_given(width, bytes_per_px, free, unit):
    tiling = fit_tiling(
        Tiling(multiple_of=unit),
        width=width,
        scale=4,
        bytes_per_px=bytes_per_px,
        free_bytes=free,
        device=torch.device("cpu"),
    )
    smallest = tiling.smallest_px
    area = tiling.height_px * tiling.width_px
    assert area * bytes_per_px <= free or min(tiling.height_px, tiling.width_px) == smallest
    assert max(tiling.height_px, tiling.width_px) <= 768
    assert tiling.height_px % unit == tiling.width_px % unit == 0


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(0, 40), st.integers(0, 40), st.sampled_from(["reflect", "wrap"])
)
def test_padding_then_cropping_gives_the_picture_back(height, width, before, after, border):
    whole = picture(height, width)
    margins = Margins(before, after, after, before)
    strips = list(padded(lambda start, stop: whole[:, :, start:stop], height, width, margins, border, strip_px=7))
    grown = torch.cat(strips, dim=2)
    assert grown.shape[2:] == (height + before + after, width + before + after)
    back = torch.cat(list(cropped(iter(strips), *grown.shape[2:], margins)), dim=2)
    assert torch.equal(back, whole)
    if border == "reflect" and max(before, after) < min(height, width):
        assert torch.equal(grown, F.pad(whole, (after, before, before, after), mode="reflect"))
    if border == "wrap" and max(before, after) <= min(height, width):
        assert torch.equal(grown, F.pad(whole, (after, before, before, after), mode="circular"))


def test_mirroring_reaches_any_distance():
    assert beyond(torch.arange(-4, 7), 3, "reflect").tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    assert beyond(torch.arange(-2, 3), 1, "reflect").tolist() == [0] * 5


def test_row_buffer_gives_any_window_that_moves_down_and_tells_when_rows_are_missing():
    whole = picture(40, 5)
    buffer = RowBuffer(iter(whole.split(7, dim=2)))
    for start, stop in [(0, 3), (2, 20), (2, 21), (19, 19), (25, 40)]:
        assert torch.equal(buffer.take(start, stop), whole[:, :, start:stop])
    with pytest.raises(ValueError, match="moved on"):
        buffer.take(24, 30)
    with pytest.raises(ValueError, match="ended at row 40"):
        buffer.take(30, 41)
