"""How far gradients accumulated over 16 x 128 pictures are from those of one batch of 2048, at BigGAN's start.

    python scripts/biggan_accumulation.py

What differs is batch norm, which sees 128 pictures or 2048. The networks are the preset `preview`'s with attention at
16 px, their spectral norms held still, in float32; pictures are drawn shapes. Printed for each player: the relative
difference of the whole gradient, and the cosine of the angle between both.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ganvas.drawn.shapes import CLASSES, Shapes
from ganvas.protocol import Context, Networks
from ganvas.recipes.biggan import PREVIEW, Batch, BigGAN
from ganvas.training import networks

PICTURES = 2048


def gradient(recipe: BigGAN, nets: Networks, whole: Batch, side: str, parts: int) -> Tensor:
    """Return a player's gradient over a batch that is played in some parts."""
    stage = recipe.stages()[0]
    turn = next(turn for turn in stage.turns if turn.side == side)
    context = Context(step=0, stage_step=0, images_seen=0, stage=stage, random=torch.Generator(), turn=turn)
    player = nets[side]
    player.zero_grad()
    for pieces in zip(*(tensor.chunk(parts) for tensor in whole)):
        batch = Batch(*pieces)
        with torch.set_grad_enabled(side == "generator"):
            outputs, _ = recipe.forward(nets, batch, {}, context)
        losses = recipe.generator_losses if side == "generator" else recipe.discriminator_losses
        (sum(losses(nets, batch, outputs, {}, context).values()) / parts).backward()  # pyright: ignore
    return torch.cat([value.grad.flatten() for value in player.parameters() if value.grad is not None])


def held_still(nets: Networks) -> None:
    """Keep the singular vectors as they are: each forward pass in training would move them."""
    for net in nets.values():
        net.train()
        for module in net.modules():
            if isinstance(module, nn.utils.parametrize.ParametrizationList):
                module.eval()


def main() -> None:
    """Print both differences for some ways to cut the batch."""
    torch.manual_seed(0)
    recipe = BigGAN(replace(PREVIEW, num_classes=len(CLASSES), attention_px=16, orthogonal_weight=1e-4))
    nets = networks.fresh(recipe)
    held_still(nets)
    source = Shapes(PREVIEW.size_px, PICTURES // len(CLASSES) + 1)
    places = torch.randperm(len(source))[:PICTURES].tolist()
    samples = [source.sample(place, None) for place in places]  # pyright: ignore[reportArgumentType]
    real = torch.stack([sample["picture"] for sample in samples]).float() / 127.5 - 1
    labels = torch.stack([sample["label"] for sample in samples])
    whole = Batch(real, labels, torch.randn(PICTURES, PREVIEW.latent))
    for side in ("discriminator", "generator"):
        at_once = gradient(recipe, nets, whole, side, 1)
        for parts in (8, 16, 64):
            summed = gradient(recipe, nets, whole, side, parts)
            apart = float((summed - at_once).norm() / at_once.norm())
            cosine = float(torch.cosine_similarity(summed, at_once, dim=0))
            print(f"{side}, {parts} x {PICTURES // parts}: {apart:.3f} apart, cosine {cosine:.4f}", flush=True)


if __name__ == "__main__":
    main()
