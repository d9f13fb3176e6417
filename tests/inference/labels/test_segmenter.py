"""Maps by an exported segmenter: its classes at the pictures' size, instances that SciPy's labelling agrees with."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from PIL import Image
from scipy import ndimage
from tiny_clips import FRAMES, make_clip
from torch import Tensor, nn

from ganvas.cli import main
from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError
from ganvas.inference.labels.segmenter import Segmenter, connected, instance_ids
from ganvas.io import runs
from ganvas.io.labels.maps import read_instance_map, read_label_map

pytestmark = [
    # torch.jit is deprecated and still what many segmenters are exported with.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
COLORS = torch.tensor([(0.1, 0.2, 0.9), (0.9, 0.1, 0.1), (0.1, 0.8, 0.2)])


class NearestColor(nn.Module):
    """Scores of three classes: how near a pixel's colour is to that of the class; every other pixel of the picture."""

    def forward(self, picture: Tensor) -> Tensor:
        offset = picture[:, None, :, ::2, ::2] - COLORS[None, :, :, None, None]
        return -(offset**2).sum(2)


def _scene(seed: int, cells: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.kron(np.random.default_rng(seed).integers(0, 3, cells), np.ones((8, 8))).astype(np.int64)


def _picture(ids: np.ndarray) -> np.ndarray:
    return (COLORS.numpy()[ids] * 255).round().astype(np.uint8)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "segmenter.pt"
    torch.jit.trace(NearestColor(), torch.rand(1, 3, 48, 64)).save(str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        path = tmp_path / f"photos/sub/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(_scene(number))).save(path)
    return tmp_path / "photos"


def _interior(ids: np.ndarray) -> np.ndarray:
    """Pixels away from boundaries, where enlarging scores may move a boundary by a pixel."""
    return ndimage.maximum_filter(ids, 3) == ndimage.minimum_filter(ids, 3)


def test_connected_regions_are_those_of_scipy() -> None:
    for seed in range(3):
        ids = np.random.default_rng(seed).integers(0, 3, (17, 23))
        found = connected(ids)
        expected = np.zeros_like(ids)
        count = 0
        for value in range(3):
            regions, number = ndimage.label(ids == value)  # pyright: ignore[reportGeneralTypeIssues]
            expected[regions > 0] = regions[regions > 0] + count
            count += number
        assert len(np.unique(found)) == count == len(set(zip(found.ravel().tolist(), expected.ravel().tolist())))


def test_things_are_counted_and_the_rest_keeps_its_class() -> None:
    ids = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 0, 0], [0, 0, 0, 2, 2], [3, 3, 0, 2, 1]])
    found = instance_ids(ids, None, things=(1, 2), smallest_px=2)
    expected = [[1000, 1000, 0, 2000, 2000], [1000, 1000, 0, 0, 0], [0, 0, 0, 2001, 2001], [3, 3, 0, 2001, 1]]
    assert found.tolist() == expected
    told = instance_ids(ids, np.array([[1, 2, 0, 3, 3]] * 4), things=(1,), smallest_px=1)
    assert told[0].tolist() == [1000, 1001, 0, 2, 2]


def test_more_classes_than_fit_are_numbered_through() -> None:
    ids = np.array([[100, 100, 7], [100, 7, 7]])
    found = instance_ids(ids, None, None, 1)
    assert found.max() < 1000 and len(np.unique(found)) == 2 and (found > 0).all()


def test_a_folder_becomes_a_data_set(script: Path, folder: Path, tmp_path: Path) -> None:
    legend = {"labels": [{"id": i, "name": f"c{i}", "color": [i, i, i], "thing": i == 1} for i in range(3)]}
    runs.write_json(tmp_path / "legend.json", legend)
    out = tmp_path / "out"
    arguments = ["label", str(folder), "--with", str(script), "--out", str(out), "--values", "unit"]
    assert main([*arguments, "--legend", str(tmp_path / "legend.json")]) == 0
    for number in range(2):
        ids = _scene(number)
        found = read_label_map(out / f"labels/sub/{number}.png")
        assert (found == ids)[_interior(ids)].all()
        instances = read_instance_map(out / f"instances/sub/{number}.png")
        assert (instances[found == 1] >= 1000).all() and (instances[found == 2] == 2).all()
    source = LabelledPictures(f"labels={out}/labels,picture={folder},instances={out}/instances")
    assert len(source) == 2 and source.num_labels == 3
    assert main(arguments) == 1, "nothing is overwritten"
    assert main([*arguments, "--overwrite"]) == 0


def test_a_clip_becomes_a_sequence(script: Path, tmp_path: Path) -> None:
    film = tmp_path / "clip.mkv"
    make_clip(film)
    assert main(["label", str(film), "--with", str(script), "--out", str(tmp_path / "o"), "--values", "unit"]) == 0
    source = LabelledPictures(tmp_path / "o", 3)
    assert len(source) == FRAMES
    sample = source.whole(3)
    nearest = NearestColor()(sample["picture"][None])[0].argmax(0)
    inner = (_interior(sample["label_map"][0].numpy()))[::2, ::2]
    assert (nearest.numpy() == sample["label_map"][0, ::2, ::2].numpy())[inner].mean() > 0.98


def test_one_bad_picture_does_not_stop_the_others(
    script: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sub/0.png").write_bytes(b"no picture")
    assert main(["label", str(folder), "--with", str(script), "--out", str(tmp_path / "o"), "--values", "unit"]) == 1
    assert [path.name for path in (tmp_path / "o/labels/sub").iterdir()] == ["1.png"]
    assert "0.png" in capsys.readouterr().err


def _save_onnx(path: Path) -> None:
    """The nearest colour as one convolution, of pictures of 48 x 64 only: -|x - c|^2 grows as 2 c.x - |c|^2 does."""
    weight = (2 * COLORS)[:, :, None, None].numpy()
    bias = -(COLORS**2).sum(1).numpy()
    graph = helper.make_graph(
        [helper.make_node("Conv", ["picture", "weight", "bias"], ["scores"], strides=[2, 2], kernel_shape=[1, 1])],
        "segmenter",
        [helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [1, 3, 48, 64])],
        [helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 3, 24, 32])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))


def test_onnx_gives_what_torchscript_gives(script: Path, folder: Path, tmp_path: Path) -> None:
    picture = torch.from_numpy(_picture(_scene(0)).transpose(2, 0, 1).astype(np.float32) / 255)
    _save_onnx(tmp_path / "segmenter.onnx")
    ours, _ = Segmenter(tmp_path / "segmenter.onnx", values="unit")(picture)
    assert (ours == Segmenter(script, values="unit")(picture)[0]).all()
    with pytest.raises(UserError, match="--size WxH"):
        Segmenter(tmp_path / "segmenter.onnx", values="unit")(torch.rand(3, 40, 64))
    resized, _ = Segmenter(tmp_path / "segmenter.onnx", (48, 64), "unit")(torch.rand(3, 40, 64))
    assert resized.shape == (40, 64)


def test_what_is_no_segmenter_is_said(tmp_path: Path) -> None:
    (tmp_path / "no.pt").write_bytes(b"nothing")
    with pytest.raises(UserError, match="TorchScript"):
        Segmenter(tmp_path / "no.pt")
    with pytest.raises(UserError, match="does not exist"):
        Segmenter(tmp_path / "none.onnx")
    torch.jit.trace(nn.Flatten(), torch.rand(1, 3, 8, 8)).save(str(tmp_path / "flat.pt"))
    with pytest.raises(UserError, match="no segmenter"):
        Segmenter(tmp_path / "flat.pt")(torch.rand(3, 8, 8))
