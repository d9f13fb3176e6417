"""What the recipe vid2vid asks of flows, of warped pictures and of masks, and how it scores a generated sequence."""

from __future__ import annotations

from torch import Tensor

from ganvas.flow import is_inside, warp
from ganvas.losses import temporal
from ganvas.losses.reconstruction import l1
from ganvas.protocol import Outputs
from ganvas.recipes.vid2vid.batch import Batch
from ganvas.recipes.vid2vid.settings import Settings


def temporal_losses(s: Settings, scales: int, batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    """Return the losses of flow, mask, and of pictures fetched along a flow.

    Args:
        s: the settings.
        scales: how many of the scales are at work.
        batch: the real frames.
        outputs: what was generated for them.
    """
    losses: dict[str, Tensor] = {}
    real, real_before = batch.target.flatten(0, 1), batch.target_before.flatten(0, 1)
    fake, before = outputs["fake"].flatten(0, 1), outputs["before"].flatten(0, 1).detach()
    flow, mask = outputs["flow"].flatten(0, 1), outputs["mask"].flatten(0, 1)
    has_before = outputs["has_before"].flatten()[:, None, None, None].to(fake.dtype)
    learns_flow = s.with_flow and s.flow_use == "teach"
    trust: Tensor | None = None
    if batch.flow is not None and batch.trust is not None:
        target = batch.flow.flatten(0, 1)
        known = batch.trust.flatten(0, 1)
        trust = known * temporal.confidence(real, warp(real_before, target))
        losses["made_warp"] = s.warp_weight * temporal.warp_loss(fake, warp(before, target), trust * has_before)
        if learns_flow:
            # A finer scale counts more pixels for the same movement.
            losses["flow"] = s.flow_weight / 2 ** (scales - 1) * temporal.flow_loss(flow, target, trust)
        if s.mask_from == "exact" and s.mask_use == "teach" and s.with_flow:
            losses["mask_teacher"] = temporal.masked_l1(mask, 1 - known, has_before)
    if learns_flow:
        losses["flow_warp"] = s.warp_weight * temporal.warp_loss(warp(real_before, flow), real, trust)
    if s.mask_weight and s.with_flow:
        fetched = trust if trust is not None else is_inside(flow.detach())
        losses["mask"] = s.mask_weight * temporal.mask_loss(mask, fetched * has_before)
    return losses


def scores(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    """Return the likeness to real frames, the warping errors of generated and real ones, and the flow's error."""
    real, fake = batch.target.flatten(0, 1), outputs["fake"].flatten(0, 1)
    found = {"minus_l1": -l1(fake, real) / 2}
    if batch.flow is not None and batch.trust is not None:
        flow, trust = batch.flow.flatten(0, 1), batch.trust.flatten(0, 1)
        before, real_before = outputs["before"].flatten(0, 1), batch.target_before.flatten(0, 1)
        found["warping_error"] = temporal.warp_loss(fake, warp(before, flow), trust) / 2
        found["warping_error_of_real"] = temporal.warp_loss(real, warp(real_before, flow), trust) / 2
        found["flow_error_px"] = temporal.end_point_error(outputs["flow"].flatten(0, 1), flow, trust)
    return found
