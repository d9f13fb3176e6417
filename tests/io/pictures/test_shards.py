"""Shards give the pictures that the folder they were packed from gives, and nothing else of the disk."""

import io
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from tiny_runs import assert_same_bits

from ganvas.data.pictures import Pictures
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images, shards


def write_folder(folder, count=5, side=24):
    folder.mkdir()
    for number in range(count):
        random = np.random.default_rng(number)
        images.write(folder / f"{number:04d}.png", random.integers(0, 256, (side, side + number, 3), np.uint8))
        (folder / f"{number:04d}.json").write_text('{"caption": "noise"}')
    return folder


def pack(folder, target):
    files = sorted(folder.iterdir())
    if target.suffix == ".tar":
        with tarfile.open(target, "w") as tar:
            for file in files:
                tar.add(file, file.name)
    else:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.write(file, file.name)
    return target


def samples(source):
    return [source.sample(index, np.random.default_rng(index))["high"] for index in range(len(source))]


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_a_shard_gives_the_samples_of_its_folder(tmp_path, suffix):
    folder = write_folder(tmp_path / "pictures")
    shard = pack(folder, tmp_path / f"train-000{suffix}")
    plain, packed = Pictures(folder, 16), Pictures(shard, 16)
    assert packed.report.num_used == 5 and not packed.report.skipped
    assert packed.groups() == [f"train-000{suffix}/{group}" for group in plain.groups()]
    for expected, found in zip(samples(plain), samples(packed), strict=True):
        assert expected.equal(found)


def test_a_folder_and_a_glob_of_shards_are_one_set(tmp_path):
    (tmp_path / "shards").mkdir()
    for number in range(3):
        folder = write_folder(tmp_path / f"part{number}", count=number + 1, side=20 + number)
        pack(folder, tmp_path / "shards" / f"train-{number:03d}.tar")
    (tmp_path / "shards" / "README.md").write_text("of whom, from where")
    whole = Pictures(tmp_path / "shards", 16)
    assert whole.report.num_used == 6
    matched = Pictures(str(tmp_path / "shards" / "train-*.tar"), 16)
    assert [sample.sum() for sample in samples(whole)] == [sample.sum() for sample in samples(matched)]


def test_a_folder_with_pictures_of_its_own_is_not_taken_for_shards(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    pack(write_folder(tmp_path / "others", count=2), folder / "backup.tar")
    assert Pictures(folder, 16).report.num_used == 5


def test_nothing_is_unpacked_beside_the_shard_nor_left_behind(tmp_path, monkeypatch):
    shard = pack(write_folder(tmp_path / "pictures"), tmp_path / "train.tar")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    samples(Pictures(shard, 16))
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures", "scratch", "train.tar"]


def put(tar, name, data=b"", **facts):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


def test_no_name_in_a_shard_leads_out_of_it(tmp_path):
    secret = tmp_path / "secret.png"
    images.write(secret, np.zeros((32, 32, 3), np.uint8))
    data = (write_folder(tmp_path / "pictures", count=1) / "0000.png").read_bytes()
    shard = tmp_path / "train.tar"
    with tarfile.open(shard, "w") as tar:
        put(tar, "good.png", data)
        for name in (str(secret), "../secret.png", "a/../../secret.png", ".hidden.png"):
            put(tar, name, data)
        put(tar, "symbolic.png", type=tarfile.SYMTYPE, linkname=str(secret))
        put(tar, "hard.png", type=tarfile.LNKTYPE, linkname="good.png")
        put(tar, "device.png", type=tarfile.CHRTYPE)
        put(tar, "pipe.png", type=tarfile.FIFOTYPE)
    assert [path.relative_to(shard).as_posix() for path in shards.members(shard)] == ["good.png"]
    source = Pictures(shard, 16)
    assert source.groups()[0] == "train.tar/good.png" and source.report.num_used == 1
    for name in ("../secret.png", "symbolic.png"):
        with pytest.raises(UserError, match="is not in"), shards.as_file(shard / name):
            pass


def test_a_member_that_claims_more_than_a_picture_may_have_is_refused(tmp_path, monkeypatch):
    shard = pack(write_folder(tmp_path / "pictures", count=2), tmp_path / "train.tar")
    monkeypatch.setattr(shards, "MOST_BYTES", 100)
    with pytest.raises(UserError, match="No picture"):
        Pictures(shard, 16)


def test_a_picture_of_absurd_size_in_a_shard_is_refused_unread(tmp_path):
    small = write_folder(tmp_path / "pictures", count=1) / "0000.png"
    data = bytearray(small.read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    with tarfile.open(tmp_path / "train.tar", "w") as tar:
        put(tar, "bomb.png", bytes(data))
        put(tar, "good.png", small.read_bytes())
    report = Pictures(tmp_path / "train.tar", 16).report
    assert report.num_used == 1 and "train.tar/bomb.png" in report.skipped


def test_a_shard_that_is_cut_short_gives_what_is_whole_and_says_so(tmp_path):
    shard = pack(write_folder(tmp_path / "pictures", side=64), tmp_path / "train.tar")
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    report = Pictures(shard, 16).report
    assert 1 <= report.num_used < 5
    assert str(shard) in report.skipped


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\x1f\x8b" + bytes(600)])
def test_what_is_no_tar_file_is_refused_with_advice(tmp_path, content):
    (tmp_path / "train.tar").write_bytes(content)
    with pytest.raises(UserError):
        Pictures(tmp_path / "train.tar", 16)


def test_a_broken_picture_in_a_shard_is_named_by_its_shard(tmp_path):
    folder = write_folder(tmp_path / "pictures")
    (folder / "0002.png").write_bytes((folder / "0002.png").read_bytes()[:60])
    source = Pictures(pack(folder, tmp_path / "train.tar"), 16)
    source.examine()
    (name,) = source.report.skipped
    assert name == "train.tar/0002.png"
    assert "ganvas-" not in source.report.skipped[name]


def test_training_on_shards_resumes_exactly_and_equals_training_on_the_folder(tmp_path):
    from ganvas import launch

    folder = write_folder(tmp_path / "pictures", side=48)
    (tmp_path / "shards").mkdir()
    pack(folder, tmp_path / "shards" / "train.tar")
    tiny = {
        "width": 4, "blocks": 1, "batch_size": 2, "crop_px": 32, "pixel_crop_px": 32, "pixel_steps": 4, "gan_steps": 0,
        "checkpoint_every": 2, "precision": "float32", "threads": 1, "device": "cpu",
    }  # fmt: skip
    straight = launch.train("esrgan", tmp_path / "shards", tmp_path / "straight", settings=tiny, quiet=True)
    again = launch.train("esrgan", tmp_path / "shards", tmp_path / "again", settings=tiny, quiet=True)
    shutil.rmtree(runs.checkpoints(again)[-1])
    assert int(runs.checkpoints(again)[-1].name) == 2
    launch.train(resume=again, quiet=True)
    loose = launch.train("esrgan", folder, tmp_path / "loose", settings=tiny, quiet=True)
    assert_same_bits(straight, again)
    # The names of samples differ by the shard's, and with them nothing that is seen.
    ends = [runs.checkpoints(run)[-1] / "networks.safetensors" for run in (straight, loose)]
    assert ends[0].read_bytes() == ends[1].read_bytes()
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["train.tar"]


def test_inspect_tells_what_a_shard_holds(tmp_path, capsys):
    from ganvas.cli import main

    shard = pack(write_folder(tmp_path / "pictures"), tmp_path / "train.tar")
    assert main(["inspect", str(shard)]) == 0
    told = capsys.readouterr().out
    assert "png 3 x uint8" in told and "5" in told
