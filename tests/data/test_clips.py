"""Sequences on disk: found in every layout, read as they were drawn, and refused by name when something is wrong."""

import shutil

import numpy as np
import pytest
import torch
from drawn_clips import STEP_PX, draw_clip, square

from ganvas.data import clips, sequences
from ganvas.data.windows import Cut, Windows, shrunk
from ganvas.errors import UserError
from ganvas.flow import warp
from ganvas.io.flow_teachers import teacher
from ganvas.io.pictures import images


@pytest.fixture
def root(tmp_path):
    for number in range(2):
        draw_clip(tmp_path / "set" / f"clip_{number:03d}", seed=number)
    return tmp_path / "set"


def test_all_layouts_are_found(root, tmp_path):
    assert [clip.name for clip in sequences.find_clips(root)] == ["clip_000", "clip_001"]
    assert [len(clip) for clip in sequences.find_clips(root / "clip_000")] == [8]
    turned = tmp_path / "turned"
    for clip in ("clip_000", "clip_001"):
        shutil.copytree(root / clip / "labels", turned / "train_A" / clip)
        shutil.copytree(root / clip / "frames", turned / "train_B" / clip)
    found = sequences.find_clips(turned, needs=["frames"])
    assert [clip.name for clip in found] == ["clip_000", "clip_001"] and set(found[0].files) == {"labels", "frames"}


def test_frames_are_what_was_drawn(root):
    source = clips.Clips(root)
    assert len(source) == 2 and source.num_labels == 2 and source.channels_label == 3 and source.shortest == 8
    planes = source.read(0, [0, 3])
    assert torch.equal(planes["label_map"][1, 0].bool(), torch.from_numpy(square(3, 16, 32)))
    picture, _ = images.read(root / "clip_000" / "frames" / "000003.png")
    assert np.array_equal((planes["picture"][1] * 255).round().permute(1, 2, 0).numpy(), picture)
    assert float(planes["trust"][0].max()) == 0 and planes["instance_map"].max() == 1001


def test_flow_leads_to_the_frame_before(root):
    planes = clips.Clips(root).read(1, range(8))
    inside = planes["label_map"][4].bool()[0]
    assert torch.allclose(planes["flow"][4][:, inside], -torch.tensor([STEP_PX]).float().T)
    fetched = warp(planes["picture"][:-1], planes["flow"][1:])
    error = (fetched - planes["picture"][1:]).abs() * planes["trust"][1:]
    assert float(error.max()) < 1e-4 and 0.9 < float(planes["trust"][1:].mean()) < 1


def test_flow_to_the_frame_before_is_taken_as_it_is(root):
    clip = root / "clip_000"
    shutil.rmtree(clip / "flow")
    (clip / "flow_back").mkdir()
    for number in range(1, 8):
        images.write(clip / "flow_back" / f"{number:06d}.exr", np.full((16, 32, 3), -1.0, np.float32))
    planes = clips.Clips(clip).read(0, [1, 7])
    assert torch.equal(planes["flow"], torch.full((2, 2, 16, 32), -1.0))


def test_a_teacher_takes_the_place_of_the_folders(root):
    shutil.rmtree(root / "clip_000" / "flow")
    with pytest.raises(UserError, match="clip_000"):
        clips.Clips(root)
    assert clips.Clips(root, flow_from=teacher("dis")).read(0, [1])["flow"].shape == (1, 2, 16, 32)
    assert "flow" not in clips.Clips(root, flow_from="none").read(0, [1])


def test_samples_are_addresses_that_fit_every_length(root):
    source = clips.Clips(root)
    chance = np.random.default_rng(0)
    for _ in range(50):
        window = source.sample(1, chance)["window"].tolist()
        assert window[0] == 1
        for length in (1, 5, 8):
            assert 0 <= source.start_of(window, length) <= 8 - length
    # The validation half keeps the addresses of the whole.
    assert source.subset([1]).sample(0, chance)["window"].tolist()[0] == 1


def test_sides_are_cut_to_multiples(root):
    source = clips.Clips(root, multiple_of=5)
    planes = source.read(0, [0, 1])
    assert all(tuple(plane.shape[-2:]) == (15, 30) for plane in planes.values())


def cut(root, given_share=0.0, **changes):
    values = {"length": 6, "frames": 3, "memory": 2, "given_share": given_share, **changes}
    return Windows(clips.Clips(root), Cut(**values))


def test_chunks_follow_each_other(root):
    address = (1, clips.PLACES // 2, 0)
    whole = cut(root, frames=6).chunk(address)
    windows = cut(root)
    assert windows.parts == 2 and cut(root, length=7).parts == 3
    first, later = (windows.chunk(address, number) for number in (0, 1))
    assert [int(chunk["made"]) for chunk in (first, later)] == [0, 3]
    for name in ("label_map", "instance_map"):
        assert torch.equal(torch.cat([first[name], later[name]]), whole[name])
    for name in ("picture", "flow", "trust"):
        # Each begins with the frame before its own.
        assert torch.equal(first[name], whole[name][:4]) and torch.equal(later[name], whole[name][3:])
    assert torch.equal(later["before_label_map"], whole["label_map"][1:3])
    assert len(cut(root, length=5).chunk(address, 1)["label_map"]) == 2


def test_labels_before_the_first_frame(root):
    chunk = cut(root).chunk((0, 0, 0))
    # Where none was given the first that is generated stands in, and the given one where there is one.
    assert not chunk["given"] and torch.equal(chunk["before_label_map"], chunk["label_map"][:1].expand(2, -1, -1, -1))
    given = cut(root, 1.0).chunk((0, 0, 0))
    assert given["given"] and torch.equal(given["before_label_map"][0], given["before_label_map"][1])
    assert not torch.equal(given["before_label_map"][0], given["label_map"][0])
    assert "before_picture" not in given
    assert cut(root, with_styles=True).chunk((0, 0, 0))["before_picture"].shape == (2, 3, 16, 32)


def test_a_share_of_the_windows_is_given_its_first_frame(root):
    windows, half = cut(root, 0.5), clips.PLACES // 2
    assert [bool(windows.chunk((0, 0, coin))["given"]) for coin in (0, half - 1, half, clips.PLACES - 1)] == [
        True, True, False, False,
    ]  # fmt: skip


def test_real_frames_reach_back_as_far_as_clips_do(root):
    whole = cut(root, length=7, frames=7).chunk((0, 0, 0))
    for reach, behind in ((0, 0), (2, 1), (4, 3), (9, 4)):
        chunk = cut(root, length=7, frames=2, reach=reach).chunk((0, 0, 0), 2)
        for name in ("picture", "flow", "trust"):
            assert torch.equal(chunk[name], whole[name][4 - behind : 7]), (reach, name)


def test_a_window_s_parts_are_drawn_by_the_same_chance(root):
    windows = cut(root)
    for index in range(2):
        chunks = [windows.part(index, np.random.default_rng(7), number) for number in (0, 1)]
        assert torch.equal(chunks[0]["window"], chunks[1]["window"])
    assert torch.equal(windows.sample(1, np.random.default_rng(7))["picture"], chunks[0]["picture"])
    assert windows.subset([1]).groups() == windows.groups()[1:]


def test_smaller_planes():
    planes = {
        "picture": torch.arange(16.0).reshape(1, 1, 4, 4),
        "label_map": torch.arange(16).reshape(1, 1, 4, 4),
        "flow": torch.full((1, 2, 4, 4), 3.0),
        "trust": torch.ones(1, 1, 4, 4),
    }
    planes["trust"][..., 0, 0] = 0
    small = shrunk(planes, 2)
    assert small["picture"].flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert small["label_map"].flatten().tolist() == [5, 7, 13, 15]
    assert torch.equal(small["flow"], torch.full((1, 2, 2, 2), 1.5))
    assert small["trust"].flatten().tolist() == [0, 1, 1, 1]


# What is wrong is said before work starts, by name


def test_gaps_missing_frames_and_empty_folders(root, tmp_path):
    (root / "clip_001" / "frames" / "000005.png").unlink()
    with pytest.raises(UserError, match=r"clip_001 lacks frames of the frames 5"):
        sequences.find_clips(root)
    for role in ("frames", "labels", "instances", "flow", "occlusion"):
        for path in (root / "clip_001" / role).glob("000005.*"):
            path.unlink()
    with pytest.raises(UserError, match=r"clip_001 lacks the frames 5.*flow"):
        sequences.find_clips(root)
    with pytest.raises(UserError, match="no sequences"):
        sequences.find_clips(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        sequences.find_clips(tmp_path / "nothing")


def test_a_changing_size(root):
    images.write(root / "clip_001" / "frames" / "000002.png", np.zeros((16, 30, 3), np.uint8), overwrite=True)
    with pytest.raises(UserError, match=r"000002.png has another size.*30x16.*32x16"):
        clips.Clips(root)


def test_an_id_without_label_and_a_flow_of_integers(root):
    images.write(root / "clip_000" / "labels" / "000000.png", np.full((16, 32), 7, np.uint8), overwrite=True)
    with pytest.raises(UserError, match="7"):
        clips.Clips(root)
    images.write(root / "clip_000" / "labels" / "000000.png", np.zeros((16, 32), np.uint8), overwrite=True)
    for path in (root / "clip_000" / "flow").iterdir():
        path.unlink()
    for number in range(8):
        images.write(root / "clip_000" / "flow" / f"{number}.png", np.zeros((16, 32, 3), np.uint8))
    with pytest.raises(UserError, match="no flow"):
        clips.Clips(root)


def test_a_flow_of_another_size_and_a_useless_teacher_are_known_before_work_begins(root, tmp_path):
    images.write(root / "clip_001" / "flow" / "000000.exr", np.zeros((8, 16, 3), np.float32), overwrite=True)
    with pytest.raises(UserError, match=r"clip_001.*16x8, the frames are 32x16"):
        clips.Clips(root)

    class Half(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return (a - b)[:, :2, ::2]

    torch.jit.script(Half()).save(str(tmp_path / "half.pt"))
    with pytest.raises(UserError, match=r"\(1, 2, 8, 32\) where \(1, 2, 16, 32\)"):
        clips.Clips(root, flow_from=teacher(str(tmp_path / "half.pt")))
