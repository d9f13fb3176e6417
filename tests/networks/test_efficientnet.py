"""EfficientNet-Lite: its size as published, and its function against one written out with batch norms unfolded."""

import pytest
import torch
import torch.nn.functional as F

from ganvas import networks
from ganvas.errors import UserError
from ganvas.io.weights import published
from ganvas.networks.efficientnet import EfficientNetLite, blocks_of

# As TensorFlow's code spells the blocks: repeats, kernel, stride, expansion, channels in, channels out.
SPELLED = ("r1_k3_s11_e1_i32_o16", "r2_k3_s22_e6_i16_o24", "r2_k5_s22_e6_i24_o40", "r3_k3_s22_e6_i40_o80",
           "r3_k5_s11_e6_i80_o112", "r4_k5_s22_e6_i112_o192", "r1_k3_s11_e6_i192_o320")  # fmt: skip


def spelled_blocks():
    for text in SPELLED:
        repeats, kernel, stride, expansion, inner, outer = (int(part[1:]) for part in text.split("_"))
        for number in range(repeats):
            yield kernel, stride % 10 if number == 0 else 1, expansion, inner if number == 0 else outer, outer


def random_state(random):
    """The authors' layout of Lite0 with random values, batch norms that do something included."""
    state = {}

    def conv(name, out, inner, side, norm):
        state[f"{name}.weight"] = torch.randn(out, inner, side, side, generator=random) * (2 / (inner * side**2)) ** 0.5
        for part, low, high in (("weight", 0.5, 1.5), ("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2),
                                ("running_var", 0.5, 1.5)):  # fmt: skip
            state[f"{norm}.{part}"] = torch.rand(out, generator=random) * (high - low) + low

    conv("_conv_stem", 32, 3, 3, "_bn0")
    for number, (kernel, _, expansion, inner, outer) in enumerate(spelled_blocks()):
        wide, name = inner * expansion, f"_blocks.{number}."
        if expansion > 1:
            conv(f"{name}_expand_conv", wide, inner, 1, f"{name}_bn0")
        conv(f"{name}_depthwise_conv", wide, 1, kernel, f"{name}_bn1")
        conv(f"{name}_project_conv", outer, wide, 1, f"{name}_bn2")
    conv("_conv_head", 1280, 320, 1, "_bn1")
    state["_fc.weight"], state["_fc.bias"] = torch.randn(1000, 1280, generator=random) * 0.03, torch.zeros(1000)
    return state


def plain_logits(state, picture):
    """The network as its authors run it, for sides that are multiples of 32: there TensorFlow pads (0, 1) or (1, 2)."""

    def conv(x, name, norm, stride=1, groups=1, active=True):
        weight = state[f"{name}.weight"]
        side = weight.shape[-1]
        pads = {(3, 2): (0, 1), (5, 2): (1, 2)}.get((side, stride), (side // 2, side // 2))
        x = F.conv2d(F.pad(x, pads * 2), weight, stride=stride, groups=groups)
        parts = [state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *parts, eps=1e-3)
        return x.clamp(0, 6) if active else x

    x = conv((picture * 255 - 127) / 128, "_conv_stem", "_bn0", 2)
    for number, (_, stride, expansion, inner, outer) in enumerate(spelled_blocks()):
        name = f"_blocks.{number}."
        y = conv(x, f"{name}_expand_conv", f"{name}_bn0") if expansion > 1 else x
        y = conv(y, f"{name}_depthwise_conv", f"{name}_bn1", stride, groups=y.shape[1])
        y = conv(y, f"{name}_project_conv", f"{name}_bn2", active=False)
        x = y + x if stride == 1 and inner == outer else y
    return conv(x, "_conv_head", "_bn1").mean((2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


@torch.no_grad()
def test_folded_it_computes_what_the_authors_network_computes(tmp_path):
    state = random_state(torch.Generator().manual_seed(0))
    torch.save(state, tmp_path / "lite0.pth")
    item = published.PUBLISHED["efficientnet-lite0"]
    net = networks.build(item.card).eval()
    net.load_state_dict(item.convert(tmp_path / "lite0.pth"))
    picture = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    wanted = plain_logits(state, picture)
    assert (net.logits(picture) - wanted).abs().max() < 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("version, millions", [(0, 4.652), (1, 5.417), (2, 6.092), (3, 8.197), (4, 13.007)])
def test_the_sizes_are_those_published(version, millions):
    with torch.device("meta"):
        net = EfficientNetLite(version, classes=1000)
    folded = sum(value.numel() for value in net.parameters())
    # Published counts have a batch norm's gain, which is folded here, for each channel that a convolution makes.
    gains = sum(value.shape[0] for key, value in net.named_parameters() if key.endswith("bias")) - 1000
    assert round((folded + gains) / 1e6, 3) == millions


@torch.no_grad()
def test_layers_are_the_ends_of_stages_at_their_sizes():
    torch.manual_seed(0)
    names = [f"stage{number}" for number in range(1, 8)] + ["head"]
    net = EfficientNetLite(0, layers=names)
    seen = net(torch.rand(1, 3, 64, 64))
    assert {name: (value.shape[1], value.shape[-1]) for name, value in seen.items()} == {
        "stage1": (16, 32), "stage2": (24, 16), "stage3": (40, 8), "stage4": (80, 4), "stage5": (112, 4),
        "stage6": (192, 2), "stage7": (320, 2), "head": (1280, 2),
    }  # fmt: skip
    assert torch.equal(EfficientNetLite.embed(net, torch.zeros(1, 3, 64, 64)).isfinite().all(), torch.tensor(True))
    # Asked for early layers it stops there.
    net.layers = ("stage2",)
    net.head.register_forward_hook(lambda *_: pytest.fail("the head was run"))
    assert list(net(torch.rand(1, 3, 64, 64))) == ["stage2"]


def test_mistakes_are_named():
    for make, says in [
        (lambda: EfficientNetLite(7), "Lite7"),
        (lambda: EfficientNetLite(0, layers=("stage9",)), "stage"),
        (lambda: EfficientNetLite(0)(torch.rand(1, 3, 20, 40)), "too small"),
        (lambda: EfficientNetLite(0).logits(torch.rand(1, 3, 32, 32)), "no classifier"),
    ]:
        with pytest.raises(UserError, match=says):
            make()
    assert len(blocks_of(2)) == 21
