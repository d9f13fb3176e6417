"""Label sets and sequences in shards give what the folders they were packed from give, bit for bit."""

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from drawn_clips import draw_clip

from ganvas import launch
from ganvas.data.clips import Clips
from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images

COMMON = {"checkpoint_every": 1, "workers": 0, "precision": "float32", "threads": 1, "device": "cpu"}
TINY = {
    "pix2pixhd": {
        "num_labels": 0, "width_px": 32, "height_px": 16, "global_width": 4, "downs": 1, "blocks": 1, "enhancers": 0,
        "discriminator_width": 4, "discriminator_layers": 1, "discriminator_scales": 1, "global_steps": 3,
        "perceptual": "none", "batch_size": 2, "instance_features": 0,
    },
    "vid2vid": {
        "width": 4, "downs": 1, "blocks": 2, "discriminator_width": 2, "discriminator_scales": 1, "rounds": (3,),
        "lengths": 1, "first_length": 3, "longest": 3, "frames_a_step": 3, "clip_frames": 2, "clip_strides": (1,),
        "batch_size": 2, "perceptual": "none", "perceptual_weight": 0.0, "picture_rounds": 0,
    },
}  # fmt: skip


def keep(name):
    return name


def by_key(name):
    """Return the name that WebDataset gives a file: street/labels/0001.png -> street/0001.labels.png."""
    path = PurePosixPath(name)
    if len(path.parts) < 2 or path.name == "legend.json":
        return name
    role = path.parts[-2]
    told = path.name if role == "frames" else f"{path.stem}.{role}{path.suffix}"
    return str(PurePosixPath(*path.parts[:-2], told))


def pack(folder, target, named=keep, names=None):
    """Pack all files of a folder, or those of some names below it."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    chosen = [(file, file.relative_to(folder).as_posix()) for file in files]
    chosen = [(file, name) for file, name in chosen if names is None or name in names]
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".tar":
        with tarfile.open(target, "w") as tar:
            for file, name in chosen:
                tar.add(file, named(name))
    else:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for file, name in chosen:
                archive.write(file, named(name))
    return target


def pack_many(folder, parent, named=keep, count=3):
    """Pack a folder into several shards, the maps of a picture in another one than itself."""
    names = [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]
    for number in range(count):
        pack(folder, parent / f"train-{number:03d}.tar", named, set(names[number::count]))
    return parent


def assert_same_planes(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


PACKINGS = {
    "tar": lambda folder, place: pack(folder, place / "set.tar"),
    "zip": lambda folder, place: pack(folder, place / "set.zip"),
    "keys": lambda folder, place: pack(folder, place / "set.tar", by_key),
    "keys in zip": lambda folder, place: pack(folder, place / "set.zip", by_key),
    "many": lambda folder, place: pack_many(folder, place / "shards"),
    "many by keys": lambda folder, place: pack_many(folder, place / "shards", by_key),
    "glob": lambda folder, place: pack_many(folder, place / "shards") / "train-*.tar",
    "below a folder": lambda folder, place: pack(folder, place / "set.tar", lambda name: f"set/{name}"),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_label_set_in_shards_is_the_folder(tmp_path, packing):
    folder = draw_clip(tmp_path / "street", frames=6, roles=("frames", "labels", "instances"))
    plain = LabelledPictures(folder, size_px=(8, 16), fit="crop")
    packed = LabelledPictures(PACKINGS[packing](folder, tmp_path), size_px=(8, 16), fit="crop")
    assert len(packed) == 6 and packed.num_labels == plain.num_labels and packed.legend == plain.legend
    assert packed.has_instances and not packed.report.skipped
    for index in range(6):
        assert_same_planes(
            plain.sample(index, np.random.default_rng(index)), packed.sample(index, np.random.default_rng(index))
        )
    assert not [finding for finding in packed.examine().findings if finding.kind == "error"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_sequences_in_shards_are_the_folder(tmp_path, packing):
    for number in range(2):
        draw_clip(tmp_path / "set" / f"clip{number}", seed=number)
    plain, packed = Clips(tmp_path / "set"), Clips(PACKINGS[packing](tmp_path / "set", tmp_path / "packed"))
    assert [clip.name.rpartition("/")[2] for clip in packed.clips] == plain.groups()
    assert packed.legend == plain.legend and packed.num_labels == plain.num_labels and packed.has_instances
    for sequence in range(2):
        assert_same_planes(plain.read(sequence, range(8)), packed.read(sequence, range(8)))


def test_roles_may_come_first_in_sequences(tmp_path):
    draw_clip(tmp_path / "clip")
    target = tmp_path / "set.tar"
    pack(tmp_path / "clip", target, lambda name: name.replace("/", "/clip7/") if "/" in name else name)
    assert Clips(target).groups() == ["clip7"]


def test_cityscapes_is_read_with_all_its_maps_beside_each_other(tmp_path):
    ids = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for city in ("bonn", "ulm"):
        for phase in ("train", "val"):
            folders = [tmp_path / "set" / top / phase / city for top in ("leftImg8bit", "gtFine")]
            for folder in folders:
                folder.mkdir(parents=True)
            images.write(folders[0] / f"{city}_0_leftImg8bit.png", np.stack([ids] * 3, -1))
            images.write(folders[1] / f"{city}_0_gtFine_labelIds.png", ids)
            images.write(folders[1] / f"{city}_0_gtFine_color.png", np.stack([ids] * 3, -1))
            images.write(folders[1] / f"{city}_0_gtFine_instanceIds.png", ids.astype(np.uint16) * 1000)
    plain, packed = LabelledPictures(tmp_path / "set"), LabelledPictures(pack(tmp_path / "set", tmp_path / "c.tar"))
    assert packed.names() == plain.names() and packed.groups() == plain.groups()
    for index in range(2):
        assert_same_planes(plain.whole(index), packed.whole(index))


def test_what_is_broken_in_a_shard_is_named_by_its_place_there(tmp_path):
    folder = draw_clip(tmp_path / "street", frames=3, roles=("frames", "labels"))
    images.write(folder / "labels/000001.png", np.full((16, 32), 9, np.uint8), overwrite=True)
    shard = pack(folder, tmp_path / "set.tar")
    with pytest.raises(UserError, match=r"labels/000001\.png"):
        LabelledPictures(shard)
    (folder / "labels/000001.png").write_bytes((folder / "labels/000000.png").read_bytes()[:60])
    broken = LabelledPictures(pack(folder, tmp_path / "cut.tar"))
    assert len(broken) == 2
    assert list(broken.report.skipped) == ["000001"]
    assert "ganvas-" not in str(broken.report.skipped)


def test_shards_of_plain_pictures_are_no_label_set(tmp_path):
    folder = draw_clip(tmp_path / "street", frames=2, roles=("frames",))
    shard = pack(folder, tmp_path / "set.tar", lambda name: Path(name).name)
    with pytest.raises(UserError, match="no such data set"):
        LabelledPictures(shard)
    with pytest.raises(UserError, match="no such data set"):
        Clips(shard)


@pytest.mark.parametrize("recipe", ["pix2pixhd", "vid2vid"])
def test_training_on_shards_resumes_exactly_and_equals_training_on_the_folder(tmp_path, recipe):
    folder = draw_clip(tmp_path / "set", frames=8)
    shards = pack_many(folder, tmp_path / "shards", by_key)
    settings = {**COMMON, **TINY[recipe]}
    loose = launch.train(recipe, folder, tmp_path / "loose", settings=settings, quiet=True)
    again = launch.train(recipe, shards, tmp_path / "again", settings=settings, quiet=True)
    ends = [runs.checkpoints(run)[-1] / "networks.safetensors" for run in (loose, again)]
    before = ends[0].read_bytes()
    assert before == ends[1].read_bytes()
    shutil.rmtree(runs.checkpoints(again)[-1])
    launch.train(resume=again, quiet=True)
    assert ends[1].read_bytes() == before
    assert sorted(path.name for path in shards.iterdir()) == [f"train-{number:03d}.tar" for number in range(3)]
