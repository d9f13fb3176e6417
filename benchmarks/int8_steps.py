"""What each step on the way to 8 bits brings: every layer in 8 bits, PSNR against float32 on a photograph kept apart.

    OMP_NUM_THREADS=1 python benchmarks/int8_steps.py [--model photo-x4] [--side 96] [--tiles 18] [--quick]

`--quick` leaves out the rows with NNCF's bias correction, which takes most of the time in deep networks.
"""

from __future__ import annotations

import argparse
from typing import Any

import nncf
import torch
from nncf.quantization.range_estimator import RangeEstimatorParametersSet
from upscale_speed import crop_of, psnr, tiles_of_photographs

from ganvas.inference import backends, int8
from ganvas.inference.equalise import equalise
from ganvas.inference.open import load
from ganvas.inference.rounding import round_again, weights_of


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="photo-x4")
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--tiles", type=int, default=18)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    net, crop, tiles = load(options.model), crop_of(options.side), tiles_of_photographs(options.tiles)
    with torch.no_grad():
        truth = net(crop)

    def show(name: str, balance: float | None, all_tiles: bool, corrects: bool, keeps_sums: bool) -> None:
        graph: Any = backends.openvino_graph(net, backends.smooth_probe(backends.PROBE_PX[0], 1), [-1, 3, -1, -1])
        if balance is not None:
            equalise(graph, tiles, balance)
        exact = weights_of(graph)
        advanced = nncf.AdvancedQuantizationParameters(disable_bias_correction=not corrects)
        if all_tiles:
            advanced.activations_range_estimator_params = RangeEstimatorParametersSet.MINMAX
        with int8._silent(nncf):
            graph = nncf.quantize(
                graph, nncf.Dataset([tile.numpy() for tile in tiles]), subset_size=len(tiles),
                preset=nncf.QuantizationPreset.MIXED, advanced_parameters=advanced,
                ignored_scope=nncf.IgnoredScope(types=list(int8.ELEMENTWISE), validate=False),
            )  # fmt: skip
        if keeps_sums:
            round_again(graph, exact)
        print(f"| {name} | {psnr(backends.openvino_run(graph, 'bfloat16')(crop), truth):.1f} |", flush=True)

    print("| step | PSNR, dB |\n|---|---|")
    if not options.quick:
        show("NNCF, fast bias correction", None, False, True, False)
    show("NNCF, no bias correction", None, False, False, False)
    show("ranges of all tiles instead of their mean", None, True, False, False)
    if not options.quick:
        show("the same with fast bias correction", None, True, True, False)
    show("and channels of like range, half and half", 0.5, True, False, False)
    show("and channels of like range, by the weights alone", 1.0, True, False, False)
    show("and kernels that keep their sums", 1.0, True, False, True)


if __name__ == "__main__":
    main()
