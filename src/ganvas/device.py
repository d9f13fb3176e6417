"""What this machine can do: device, precision, deterministic mode, memory, and what exact resume depends on."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ganvas.errors import UserError

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Names of glibc's mallopt."""
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def pick(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` takes CUDA where it works, otherwise the CPU.

    Raises:
        UserError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"There is no device {name!r}", str(error).splitlines()[0], "Use auto, cpu, cuda or cuda:1"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"The device {name!r} is not available", "This torch sees no CUDA device", "Use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"The device {name!r} is not available", f"There are {torch.cuda.device_count()} CUDA devices")
    return device


@lru_cache(maxsize=1)
def processor_flags() -> frozenset[str]:
    """Return the instruction sets that the processor names; empty where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Tell whether bfloat16 convolutions are faster than float32 ones on this device."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool({"avx512_bf16", "amx_bf16"} & processor_flags())


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the arithmetic for `auto`, `float32`, `bfloat16` or `float16` on a device.

    Raises:
        UserError: no such precision.
    """
    if name == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if name not in PRECISIONS:
        raise UserError(f"There is no precision {name!r}", do=f"Use auto, {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


def autocast(device: torch.device, dtype: torch.dtype) -> contextlib.AbstractContextManager[object]:
    """Return the context in which forward passes run at a precision; does nothing for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Make every operation give the same bits each time (on CUDA as far as torch can)."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=device.type != "cpu")
    # Torch would also fill all memory that it is about to write with NaN, which takes a twentieth of a step.
    mode: Any = torch.utils.deterministic
    filled, mode.fill_uninitialized_memory = mode.fill_uninitialized_memory, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        mode.fill_uninitialized_memory = filled


def free_memory(device: torch.device) -> int:
    """Return the bytes that a new allocation can still get on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [_meminfo("MemAvailable")]
    # A container's limit can be far below the machine's memory.
    for limit_file, used_file in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(limit_file).read_text()) - int(Path(used_file).read_text()))
    return max(0, min(limit for limit in limits if limit >= 0))


def _meminfo(key: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 8 << 30


def peak_memory(device: torch.device | None = None) -> int:
    """Return the most bytes in use so far: of the process, or of a CUDA device."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        # The last is all that oneDNN says when it finds no room for its code or buffers.
        any(sign in text for sign in ("out of memory", "can't allocate memory", "could not create a primitive"))
    )


def facts(device: torch.device, precision: torch.dtype, world_size: int = 1) -> dict[str, str | int]:
    """Return what bit-equal resumption depends on, as plain values."""
    return {
        "machine": platform.machine(),
        "processor": _processor_name(),
        "torch": str(torch.__version__),
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "threads": torch.get_num_threads(),
        "ranks": world_size,
        "precision": str(precision).removeprefix("torch."),
    }


@lru_cache(maxsize=1)
def _processor_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def keep_freed_memory() -> None:
    """Let the C library keep up to a gigabyte of freed memory for what comes next, where it is glibc; else do nothing.

    It would hand tensors above 32 MB back to the system and fetch their memory anew, page by page, for the next ones,
    which takes a quarter of a small network's time. Where the process may have only so much memory, what is kept in
    pieces could be what is missing in one: nothing is kept.
    """
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 2**30)
        mallopt(TRIM_THRESHOLD, 2**30)
