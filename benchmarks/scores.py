"""What the algebra of set scores costs at Inception's 2048 dimensions: seconds, and memory of streamed statistics.

    python benchmarks/scores.py [--features 50000] [--threads 2] [--json FILE]

1. Mean and covariance of 50,000 x 2048 features in parts of 500: seconds, and by how much the process grew at most.
2. The Frechet distance of two such statistics, full rank and of fewer samples than dimensions.
3. Two samples of one distribution of 64 dimensions, whose true distance is 0: what the Frechet distance, its value at
   infinity and the kernel distance say of them by the number of samples, mean of 5 draws.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ganvas.metrics.distribution import Reference, Statistics, frechet_at_infinity, squared_mmd

DIMENSIONS = 2048
Result = TypeVar("Result")


def parts(num: int, seed: int) -> Iterator[Tensor]:
    """Yield features as a network would give them: 500 at a time, correlated, of falling spread."""
    random = torch.Generator().manual_seed(seed)
    spread = torch.linspace(1, 0.01, DIMENSIONS) ** 2
    for start in range(0, num, 500):
        rows = torch.randn(min(500, num - start), DIMENSIONS, generator=random) * spread
        yield (rows + rows.roll(1, 1)).relu()


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds that some work took, and what it gave."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def peak_mib() -> float:
    """Return the largest memory of this process so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def biases(draws: int = 5) -> Iterator[tuple[int, float, float, float]]:
    """Yield the number of samples and the means of the three distances."""
    random = torch.Generator().manual_seed(0)
    reference = Reference(Statistics.of(torch.randn(100_000, 64, generator=random)))
    for num in (100, 200, 400, 800, 1600):
        found = []
        for seed in range(draws):
            fake, other = torch.randn(2, num, 64, generator=random)
            beyond = frechet_at_infinity(reference, fake, resamples=0, seed=seed).value
            found.append([reference.distance(Statistics.of(fake)), beyond, squared_mmd(fake, other)])
        yield (num, *torch.tensor(found).mean(0).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=50_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    before = peak_mib()
    found: dict[str, float | str] = {"torch": torch.__version__, "threads": arguments.threads}
    seconds, real = timed(lambda: Statistics.of(parts(arguments.features, 0)))
    found |= {"statistics_seconds": seconds, "statistics_mib_more": peak_mib() - before}
    for name, num in (("full_rank", 5000), ("rank_deficient", 1000)):
        fake = Statistics.of(parts(num, 1))
        first = (real, fake) if name == "full_rank" else (fake, real)
        found[f"distance_{name}_seconds"], found[f"distance_{name}"] = timed(
            lambda pair=first: Reference(pair[0]).distance(pair[1])
        )
    print("samples   Frechet   at infinity   kernel")
    for num, *means in biases():
        print(f"{num:7d}" + "".join(f"{value:12.4f}" for value in means))
    for key, value in found.items():
        print(f"{key:32s}{value if isinstance(value, str) else format(value, '.6g')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
