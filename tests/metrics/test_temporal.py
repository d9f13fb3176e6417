"""Scores in time: moving pictures with known flow, known flicker, known drift; folders of clips."""

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.evaluation.clips import find_footage, read_frames, score_clips
from ganvas.io.pictures import images
from ganvas.metrics import temporal


def moving(num=12, step=2, height=24, width=40, seed=0):
    """A window gliding over noise by whole pixels, and its flow to the next frame."""
    wide = torch.rand(3, height, width + num * step, generator=torch.Generator().manual_seed(seed))
    frames = torch.stack([wide[..., n * step : n * step + width] for n in range(num)])
    flow = torch.zeros(num - 1, 2, height, width)
    flow[:, 0] = -step
    return frames, flow


def test_motion_along_the_flow_is_no_error_and_against_it_is():
    frames, flow = moving()
    assert float(temporal.warping_error(frames, flow).max()) < 1e-12
    assert float(temporal.warping_error(frames, -flow).min()) > 0.1
    noise = 0.1 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(1))
    # Two frames with independent noise differ by twice its variance.
    assert float(temporal.warping_error(frames + noise, flow).mean()) == pytest.approx(2 * 0.01, rel=0.05)


def test_warping_error_equals_a_loop_and_passes_over_what_is_hidden():
    random = torch.Generator().manual_seed(2)
    frames, flow = (
        torch.rand(2, 3, 5, 6, generator=random),
        torch.randint(-2, 3, (1, 2, 5, 6), generator=random).float(),
    )
    visible = (torch.rand(1, 1, 5, 6, generator=random) > 0.3).float()
    errors = []
    for y in range(5):
        for x in range(6):
            to_x, to_y = x + int(flow[0, 0, y, x]), y + int(flow[0, 1, y, x])
            if 0 <= to_x < 6 and 0 <= to_y < 5 and visible[0, 0, y, x]:
                errors.append(float((frames[0, :, y, x] - frames[1, :, to_y, to_x]).square().mean()))
    assert float(temporal.warping_error(frames, flow, visible)) == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize("period", [2, 3, 8])
def test_spectrum_finds_the_period(period):
    num = 48
    wave = 0.5 + 0.2 * torch.cos(2 * torch.pi * torch.arange(num) / period)
    frames = wave[:, None, None, None].expand(-1, 3, 4, 5)
    spectrum = temporal.temporal_spectrum(frames)
    assert len(spectrum) == 25 and int(spectrum.argmax()) == num // period
    # Parseval: both halves of the spectrum hold the energy of the windowed signal.
    both = float(2 * spectrum[1:-1].sum() + spectrum[0] + spectrum[-1])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(num) + 0.5) / num)
    signal = (wave.double().numpy() - wave.double().numpy().mean()) * 219 / 255 * window
    assert both == pytest.approx(np.mean(signal**2), rel=1e-6)


def test_flicker_is_counted_and_slow_change_is_not():
    frames, _ = moving(num=16)
    assert temporal.flicker(frames, frames) == pytest.approx(1)
    times = torch.arange(16.0)[:, None, None, None]
    slow = frames + 0.2 * torch.sin(2 * torch.pi * times / 16)
    blinking = frames + 0.2 * (-1) ** times
    assert temporal.flicker(slow, frames) == pytest.approx(1, abs=0.05)
    assert temporal.flicker(blinking, frames) > 1.5
    assert temporal.flicker(frames[:1].expand(16, -1, -1, -1), frames) < 1e-3
    with pytest.raises(UserError, match="nothing changes"):
        temporal.flicker(frames, frames[:1].expand(16, -1, -1, -1))


def test_drift_is_the_slope_of_the_colours():
    frames, _ = moving(num=20)
    assert temporal.drift(frames, frames) == 0
    # All three means move by 0.002 a frame and the deviations stay: a root of one half of it.
    drifting = frames + 0.002 * torch.arange(20.0)[:, None, None, None]
    assert temporal.drift(drifting, frames) == pytest.approx(0.2 * 0.5**0.5, rel=1e-3)
    assert temporal.drift(frames + 0.1, frames) == pytest.approx(0, abs=1e-4)


def test_too_short_or_unlike_clips_are_named():
    frames, flow = moving(num=7)
    with pytest.raises(UserError, match="7 frames are too few"):
        temporal.flicker(frames, frames)
    with pytest.raises(UserError, match="do not fit together"):
        temporal.warping_error(frames, flow[:3])
    with pytest.raises(UserError, match="7 and 6 frames"):
        temporal.drift_curve(frames, frames[:6])
    with pytest.raises(UserError, match="Nothing of frame 0"):
        temporal.warping_error(frames, flow, torch.zeros(6, 1, 24, 40))


def write(folder, frames, flow=None):
    (folder / "frames").mkdir(parents=True)
    for number, frame in enumerate(frames):
        picture = (frame.permute(1, 2, 0).numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
        images.write(folder / "frames" / f"{number:06d}.png", picture)
    if flow is not None:
        (folder / "flow").mkdir()
        (folder / "occlusion").mkdir()
        for number, field in enumerate(flow):
            # A third channel, because the second of two would be taken for alpha.
            channels = np.concatenate([field.permute(1, 2, 0).numpy(), np.zeros((*field.shape[1:], 1), np.float32)], 2)
            images.write(folder / "flow" / f"{number:06d}.exr", channels)
            images.write(folder / "occlusion" / f"{number:06d}.png", np.zeros(field.shape[1:], np.uint8))
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    for seed in (0, 1):
        frames, flow = moving(num=10, seed=seed)
        blinking = (frames + 0.1 * (-1) ** torch.arange(10.0)[:, None, None, None]).clamp(0, 1)
        write(root / "real" / f"clip_{seed}", frames, flow)
        write(root / "fake" / f"clip_{seed}", blinking)
    return root


def test_folders_of_clips_are_scored_by_name(clips):
    found = score_clips(clips / "fake", clips / "real")
    values = {score.name: score.value for score in found.scores}
    assert set(found.rows) == {"clip_0", "clip_1"}
    assert values["warping_error_real"] < 1e-5 < values["warping_error"]
    assert values["flicker"] > 1.1
    ours, real = (read_frames(find_footage(clips / side / "clip_0")[0]) for side in ("fake", "real"))
    assert found.rows["clip_0"]["flicker"] == pytest.approx(temporal.flicker(ours, real))
    same = score_clips(clips / "real", clips / "real", ["psnr", "flicker", "drift"])
    assert [score.value for score in same.scores] == [100, pytest.approx(1), 0]


def test_clips_without_flow_or_partner(clips, tmp_path):
    with pytest.raises(UserError, match=r"clip_0 has 0 flow files.*--flow dis"):
        score_clips(clips / "real", clips / "fake")
    with pytest.raises(UserError, match="Name them alike"):
        frames, _ = moving(num=8)
        write(tmp_path / "other" / "a", frames)
        write(tmp_path / "other" / "b", frames)
        score_clips(tmp_path / "other", clips / "real", ["drift"])
    write(tmp_path / "short", moving(num=8)[0])
    with pytest.raises(UserError, match=r"8 frames of 40 x 24 and 10 frames"):
        score_clips(tmp_path / "short", clips / "real" / "clip_0", ["drift"])
    with pytest.raises(UserError, match="Did you mean flicker"):
        score_clips(clips / "fake", clips / "real", ["fliker"])


def test_a_flow_teacher_finds_the_motion(clips):
    pytest.importorskip("cv2")
    found = score_clips(clips / "real" / "clip_0", clips / "real" / "clip_0", ["warping_error"], flow="dis")
    assert found.scores[0].value < 0.06
