"""Label and instance maps for footage that has none, by any segmenter that was exported as TorchScript or ONNX.

The segmenter takes (1, 3, H, W) float32 and gives scores (1, N, h, w) or ids (1, h, w); of several outputs the first
counts, and a second one of ids (1, h, w) is taken as the instances. Where it tells no instances, each connected region
of a class is one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import device as devices
from ganvas.data.decoding import decode
from ganvas.data.degrade import resize_bicubic
from ganvas.errors import UserError, need
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import to_tensor
from ganvas.io.video.reader import VideoReader
from ganvas.values import to_range

Values = Literal["imagenet", "unit", "signed"]
"""What a segmenter wants a picture's values to be: normalised by ImageNet's means, [0, 1], or [-1, 1]."""

VIDEOS = frozenset((".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf", ".mpg", ".mpeg", ".wmv", ".ts"))
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST_CLASS = 64
"""Up to this class an id of class * 1000 + k fits into 16 bits; with more classes instances are numbered through."""


class Segmenter:
    """An exported segmenter, ready to be given pictures."""

    def __init__(
        self,
        path: str | Path,
        size_px: tuple[int, int] | None = None,
        values: Values = "imagenet",
        device: str = "auto",
    ) -> None:
        """Open the file.

        Args:
            size_px: (height, width) that pictures are resized to first; None leaves them alone.
            values: range of the picture's values that it was trained with.

        Raises:
            UserError: it cannot be opened, or is of another kind.
        """
        self.path, self.size_px = Path(path), size_px
        self.values: Values = values
        if not self.path.is_file():
            raise UserError(f"The segmenter {path} does not exist")
        self._device = devices.pick("cpu" if self.path.suffix.lower() == ".onnx" else device)
        self._run = _onnx(self.path) if self.path.suffix.lower() == ".onnx" else _script(self.path, self._device)

    def __call__(self, picture: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Return label ids (H, W) and, where the segmenter tells them, instance ids (H, W) of a picture in [0, 1].

        Raises:
            UserError: the segmenter fails, or what it gives are no scores or ids.
        """
        height, width = picture.shape[-2:]
        given = picture[None] if self.size_px is None else resize_bicubic(picture[None], size=self.size_px).clamp(0, 1)
        with torch.inference_mode():
            try:
                outputs = self._run(_normalised(given, self.values).to(self._device))
            except Exception as error:  # whatever a foreign graph raises is about its input
                why = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
                do = "Give the size that it was exported for: --size WxH"
                raise UserError(
                    f"{self.path.name} fails on {given.shape[-1]} x {given.shape[-2]} px", why, do
                ) from error
            labels = self._ids(outputs[0], (height, width))
            instances = outputs[1] if len(outputs) > 1 and not outputs[1].is_floating_point() else None
            return labels, None if instances is None else self._ids(instances, (height, width))

    def _ids(self, output: Tensor, size_px: tuple[int, int]) -> np.ndarray:
        output = output.cpu()
        if output.ndim == 4 and output.shape[1] > 1:
            # Scores are smooth where ids are not: enlarged before the best one is chosen.
            scores = F.interpolate(output.float(), size=size_px, mode="bilinear", align_corners=False)
            return scores.argmax(1)[0].numpy()
        if output.ndim == 4:
            output = output[:, 0]
        whole = not output.is_floating_point() or bool((output == output.round()).all())
        if output.ndim != 3 or not whole:
            why = f"It gives {tuple(output.shape)} {output.dtype}"
            raise UserError(f"{self.path.name} is no segmenter", why, "Needed are scores (1, N, h, w) or ids (1, h, w)")
        resized = F.interpolate(output[:, None].double(), size=size_px, mode="nearest-exact")
        return resized[0, 0].long().numpy()


def _normalised(picture: Tensor, values: Values) -> Tensor:
    if values == "unit":
        return picture
    if values == "signed":
        return to_range(picture)
    mean, deviation = (torch.tensor(part).view(1, 3, 1, 1) for part in _IMAGENET)
    return (picture - mean) / deviation


def _script(path: Path, device: torch.device) -> Callable[[Tensor], list[Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net: Any = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        why = f"It is no TorchScript file: {str(error).strip().splitlines()[0]}"
        raise UserError(f"Cannot open {path}", why, "Export the segmenter by torch.jit.trace or as ONNX") from error
    net.eval()
    return lambda picture: _tensors(net(picture))


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    values = list(output.values()) if isinstance(output, dict) else list(output)
    return [value for value in values if isinstance(value, Tensor)]


def _onnx(path: Path) -> Callable[[Tensor], list[Tensor]]:
    runtime = need("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's own classes of errors share no public base
        raise UserError(f"Cannot open {path}", f"It is no ONNX file that runs here: {error}") from error
    name = session.get_inputs()[0].name
    return lambda picture: [torch.from_numpy(value) for value in session.run(None, {name: picture.numpy()})]


def instance_ids(
    label_map: np.ndarray, told: np.ndarray | None, things: Sequence[int] | None, smallest_px: int
) -> np.ndarray:
    """Return an instance map (H, W) uint16: class * 1000 + k for things, the class itself for all else.

    With classes above 64, whose ids would not fit, the instances are numbered 1, 2, 3 ... instead.

    Args:
        told: instance ids that the segmenter gave; without them connected regions are instances.
        things: classes that come as countable things; None: all.
        smallest_px: a region of fewer pixels is no instance of its own.
    """
    groups = connected(label_map) if told is None else _combined(label_map, told)
    sizes = np.bincount(groups.ravel())
    first = np.unique(groups, return_index=True)[1]
    classes = label_map.ravel()[first]
    wide = int(label_map.max(initial=0)) > LARGEST_CLASS
    names = np.arange(1, len(classes) + 1) if wide else classes.astype(np.int64)
    counted: dict[int, int] = {}
    for group, (label, size) in enumerate(zip(classes.tolist(), sizes.tolist())):
        # Numbers of class 0 would be those of other classes; regions of it that do not touch need none.
        if wide or label == 0 or size < smallest_px or (things is not None and label not in things):
            continue
        counted[label] = counted.get(label, -1) + 1
        # 1000 things of a class are all that the numbering has room for.
        names[group] = label * 1000 + min(counted[label], 999)
    return np.minimum(names, 65535).astype(np.uint16)[groups]


def _combined(label_map: np.ndarray, told: np.ndarray) -> np.ndarray:
    pairs = label_map.astype(np.int64) * (int(told.max(initial=0)) + 1) + told
    return np.unique(pairs, return_inverse=True)[1].reshape(label_map.shape)


def connected(label_map: np.ndarray) -> np.ndarray:
    """Return for each pixel (H, W) the number of its region: pixels of one id that touch along their sides."""
    height, width = label_map.shape
    starts = np.ones((height, width), bool)
    starts[:, 1:] = label_map[:, 1:] != label_map[:, :-1]
    # Runs along rows are the nodes; runs of one id above each other are joined.
    runs = np.cumsum(starts.ravel()).reshape(height, width) - 1
    touching = label_map[1:] == label_map[:-1]
    pairs = np.unique(np.stack([runs[:-1][touching], runs[1:][touching]], 1), axis=0)
    parent = list(range(int(runs[-1, -1]) + 1))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for upper, lower in pairs.tolist():
        one, other = root(upper), root(lower)
        parent[max(one, other)] = min(one, other)
    roots = np.array([root(node) for node in range(len(parent))])
    return np.unique(roots, return_inverse=True)[1][runs]


@dataclass(frozen=True)
class Labelled:
    """What became of one picture or clip."""

    input: str
    output: str = ""
    frames: int = 0
    error: str = ""


def label_files(
    segmenter: Segmenter,
    inputs: Sequence[str | Path],
    out: Path,
    things: Sequence[int] | None = None,
    smallest_px: int = 64,
    overwrite: bool = False,
) -> Iterator[Labelled]:
    """Write label and instance maps into out/labels and out/instances under the pictures' names, one by one.

    A video becomes a sequence with its frames as pictures, too: in `out` itself if it is the only input, else in a
    folder of its name. What fails is told in its result, and the others go on.

    Raises:
        UserError: the inputs name nothing.
    """
    names = [Path(name) for name in inputs]
    films = [path for path in names if path.suffix.lower() in VIDEOS]
    stills = [path for path in names if path not in films]
    found, problems = images.find_pictures(stills) if stills else ([], [])
    if not found and not films:
        raise UserError("There is nothing to label", "; ".join(f"{what}: {why}" for what, why in problems[:3]))
    yield from (Labelled(what, error=why) for what, why in problems)
    for path in found:
        root = next((folder for folder in stills if path.is_relative_to(folder) and folder.is_dir()), path.parent)
        name = path.relative_to(root).with_suffix(".png")
        try:
            maps = _maps(segmenter, to_tensor(decode(path)), things, smallest_px)
            yield Labelled(str(path), str(_write(out, name, maps, overwrite)), 1)
        except UserError as error:
            yield Labelled(str(path), error=str(error))
    for film in films:
        target = out if len(names) == 1 else out / film.stem
        count = 0
        try:
            with VideoReader(film) as frames:
                for count, frame in enumerate(frames, 1):
                    maps = _maps(segmenter, to_tensor(frame.picture[..., :3]), things, smallest_px)
                    picture = {"frames": images.from_float(images.to_float(frame.picture[..., :3]), "uint8")}
                    _write(target, Path(f"{count - 1:06d}.png"), {**picture, **maps}, overwrite)
            yield Labelled(str(film), str(target), count)
        except UserError as error:
            yield Labelled(str(film), str(target), count, str(error))


def _maps(segmenter: Segmenter, picture: Tensor, things: Sequence[int] | None, smallest: int) -> dict[str, np.ndarray]:
    label_map, told = segmenter(picture)
    depth = np.uint8 if label_map.max(initial=0) < 256 else np.uint16
    return {
        "labels": label_map.astype(depth),
        "instances": instance_ids(label_map, told, things, smallest),
    }


def _write(out: Path, name: Path, planes: dict[str, np.ndarray], overwrite: bool) -> Path:
    for folder, plane in planes.items():
        path = out / folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"Cannot make {path.parent}", error.strerror or str(error)) from error
        images.write(path, plane, overwrite=overwrite)
    return out / "labels" / name
