"""Pictures that show a pair side by side, A left and B right, split into two folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ganvas.errors import UserError
from ganvas.io.pictures import images


def split_pairs(folder: Path, out: Path, overwrite: bool = False) -> Iterator[tuple[str, str]]:
    """Write the left halves of all pictures into out/A and the right ones into out/B; yield each name and its error.

    Raises:
        UserError: there are no pictures.
    """
    paths, problems = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} holds no pictures", "; ".join(why for _, why in problems))
    for path in paths:
        name = path.relative_to(folder) if folder.is_dir() else Path(path.name)
        try:
            picture, _ = images.read(path)
            width = picture.shape[1]
            if width % 2:
                raise UserError(f"It is {width} px wide", "Two pictures side by side have an even width")
            suffix = ".exr" if picture.dtype.kind == "f" else ".png"
            for part, half in (("A", picture[:, : width // 2]), ("B", picture[:, width // 2 :])):
                target = out / part / name.with_suffix(suffix)
                target.parent.mkdir(parents=True, exist_ok=True)
                images.write(target, half.copy(), overwrite=overwrite)
        except UserError as error:
            yield str(path), str(error)
        else:
            yield str(path), ""
