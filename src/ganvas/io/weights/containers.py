"""Weight files of any kind, opened without running anything in them, and the state dicts that lie inside.

safetensors, PyTorch files (.pth, .pt, .ckpt, in both of its formats) and ncnn are told apart by their first bytes.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ganvas.errors import UserError

_SIGNS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", "pickle", ""),
    (b"PK\x03\x04", "zip", ""),
    (b"7767517", "ncnn", ""),
    (b"version https://git-lfs", "", "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"\xdd\x85\x76\x00", "", "a binary ncnn graph: use the text .param"),
    (b"<", "", "a web page: the download gave a page instead of the file, fetch it again in a browser"),
    (b"\x89PNG", "", "a picture"),
    (b"\xff\xd8\xff", "", "a picture"),
    (b"\x89HDF", "", "an HDF5 file (Keras), which Ganvas does not read"),
    (b"GGUF", "", "a GGUF file, which Ganvas does not read"),
    (b"\x1f\x8b", "", "a gzip archive: unpack it first"),
    (b"\x08", "", "perhaps an ONNX file, which Ganvas writes but does not read: take the PyTorch weights"),
    (b"\x80", "", "a Python pickle that PyTorch did not write: loading it could run code, so it was not loaded"),
)


MOST_HEADER_BYTES = 1 << 23
"""A safetensors header of more bytes is none of weights: a thousand tensors take a tenth of a megabyte."""


def sniff(path: Path) -> str:
    """Tell a weight file's container by its first bytes: `safetensors`, `zip`, `pickle` or `ncnn`.

    Raises:
        UserError: the file is missing, empty, a folder, or no weight file.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder", "Weights are one file", "Name the file, or make one of a run: ganvas pack RUN FILE"
        )
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file", "Weights are read from plain files only")
    try:
        with path.open("rb") as file:
            head = file.read(32)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read", error.strerror or str(error)) from error
    if not head:
        raise UserError(f"{path} is empty", "It has 0 bytes", "Fetch it again")
    if head[8:9] == b"{" and (size := int.from_bytes(head[:8], "little")) < 100_000_000:
        if size > MOST_HEADER_BYTES:
            raise UserError(
                f"{path} is no weight file", f"Its header has {size} bytes; at most {MOST_HEADER_BYTES} are read"
            )
        return "safetensors"
    for sign, kind, description in _SIGNS:
        if head.startswith(sign) and kind:
            return kind
        if head.startswith(sign):
            raise UserError(f"{path} is no weight file", f"It is {description}")
    if path.suffix == ".bin":
        if path.with_suffix(".param").is_file():
            return "ncnn"
        raise UserError(f"{path} lacks its graph", f"ncnn weights need {path.with_suffix('.param').name} beside them")
    raise UserError(
        f"{path} is no weight file",
        "Its first bytes are those of no known kind",
        "Use .safetensors, .pth or ncnn files",
    )


def open_stored(path: Path) -> dict[str, Any]:
    """Return what a safetensors or PyTorch file stores: tensors by name, perhaps within wrappers.

    Raises:
        UserError: the file is missing, damaged, no such file, or would run code on loading.
    """
    kind = sniff(path)
    stored = _open_safetensors(path) if kind == "safetensors" else _open_pickle(path, kind)
    stored = dict(stored) if isinstance(stored, Mapping) else {}
    _require_stored(stored, path)
    return stored


def _require_stored(stored: Mapping[Any, Any], path: Path, depth: int = 8) -> None:
    """Refuse tensors that are more than the file holds: expanded from few numbers, sparse, or without any."""
    for key, value in stored.items():
        if isinstance(value, Mapping) and depth:
            _require_stored(value, path, depth - 1)
        elif isinstance(value, Tensor):
            is_plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
            if not is_plain or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                shape = list(value.shape)
                raise UserError(
                    f"{path} is no weight file", f"{str(key)[:80]} claims {shape} values that it does not hold"
                )


def require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Check that weights are numbers.

    Raises:
        UserError: a tensor holds NaN or infinity; it is named.
    """
    for key, value in tensors.items():
        if value.is_floating_point() and value.device.type != "meta":
            whole = value if value.element_size() > 1 else value.float()
            if not torch.isfinite(whole).all():
                why = f"{key} holds values that are not finite"
                raise UserError(
                    f"The weights in {path} cannot be used", why, "Take an earlier checkpoint, or train again"
                )


def _open_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> UserError:
    """Return the error for a weight file that is cut off or corrupt."""
    why = str(error).strip().partition("\n")[0] or type(error).__name__
    return UserError(f"{path} is damaged or cut off", why, "Fetch or copy it again")


def _open_pickle(path: Path, kind: str) -> Any:
    if kind == "zip":
        _check_archive(path)
    try:
        return torch.load(str(path), map_location="cpu", mmap=kind == "zip", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise damaged(path, error) from error


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            unpacked = sum(info.file_size for info in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise damaged(path, error) from error
    if unpacked > 2 * path.stat().st_size + (1 << 20):
        # PyTorch stores without compression.
        raise UserError(f"{path} is no weight file", f"It would unpack to {unpacked} bytes")
    if any(name.endswith("/constants.pkl") for name in names):
        do = "Where you trust it: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        raise UserError(f"{path} is a TorchScript program", "A program would be run, so it was not loaded", do)
    if not any(name.endswith("data.pkl") for name in names):
        raise UserError(
            f"{path} is no weight file", "It is an archive that holds something else", "Unpack it and look inside"
        )


def _refusal(path: Path, error: pickle.UnpicklingError) -> UserError:
    asked = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not asked:
        return damaged(path, ValueError("Its pickle has parts that no file of weights has"))
    what = f"{path} would run code when it is loaded, so it was not loaded"
    why = f"It asks for {asked[1]}; weights need nothing of the kind"
    return UserError(what, why, "Ask for a .safetensors file or, where you trust it, save only net.state_dict()")


# What lies inside: wrappers and prefixes

WRAPPERS = (
    *("params_ema", "params-ema", "g_ema", "ema", "params", "state_dict", "model_state_dict"),
    *("generator", "netG", "net_g", "G", "model", "net", "network", "weights"),
)
"""Keys under which state dicts are stored, averaged weights first."""

PREFIXES = ("module.", "_orig_mod.", "netG.", "net_g.", "generator.", "model.", "net.")
"""What wrapping modules put before every name, in the order in which they are tried."""


def candidates(stored: Mapping[str, Any]) -> Iterator[dict[str, Tensor]]:
    """Yield every state dict that may be meant: each wrapper peeled, each known prefix taken off, likeliest first."""
    for tensors in _unwrap(stored, depth=3):
        yield from _without_prefixes(tensors, depth=3)


def _unwrap(stored: Mapping[str, Any], depth: int) -> Iterator[dict[str, Tensor]]:
    if tensors := {str(key): value for key, value in stored.items() if isinstance(value, Tensor)}:
        yield tensors
    if depth == 0:
        return
    inner = {key: value for key, value in stored.items() if isinstance(value, Mapping)}
    known = [key for key in WRAPPERS if key in inner]
    for key in known or (list(inner) if len(inner) == 1 else []):
        yield from _unwrap(inner[key], depth - 1)


def _without_prefixes(tensors: dict[str, Tensor], depth: int) -> Iterator[dict[str, Tensor]]:
    yield tensors
    if depth == 0:
        return
    for prefix in PREFIXES:
        if inner := {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}:
            yield from _without_prefixes(inner, depth - 1)
