"""Other projects' BigGAN files: tiny ones written out in their layouts give what a plain writing of theirs gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ganvas.errors import UserError
from ganvas.inference.open import load
from ganvas.networks.biggan.layouts import LAYOUTS

PLAN = (16, 16, 8, 4, 2)
D_PLAN = (1, 2, 4, 8, 16)
PLAN_128, D_PLAN_128 = (16, 16, 8, 4, 2, 1), (1, 2, 4, 8, 16, 16)


# Their layouts, as shapes by name


def spectral(name, *shape, bias=True):
    entries = {f"{name}.weight": shape, f"{name}.u0": (1, shape[0]), f"{name}.sv0": (1,)}
    return entries | ({f"{name}.bias": (shape[0],)} if bias else {})


def attention(name, channels):
    parts = {"theta": (channels // 8, channels), "phi": (channels // 8, channels), "g": (channels // 2, channels),
             "o": (channels, channels // 2)}  # fmt: skip
    entries = {f"{name}.gamma": ()}
    for part, (out, into) in parts.items():
        entries |= spectral(f"{name}.{part}", out, into, 1, 1, bias=False)
    return entries


def pytorch_generator(plan, width, classes, chunk, attended):
    channels = [width * m for m in plan]
    shapes = {"shared.weight": (classes, 128)} | spectral("linear", channels[0] * 16, chunk)
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        shapes |= spectral(f"blocks.{i}.0.conv1", after, before, 3, 3)
        shapes |= spectral(f"blocks.{i}.0.conv2", after, after, 3, 3)
        shapes |= spectral(f"blocks.{i}.0.conv_sc", after, before, 1, 1)
        for number, size in ((1, before), (2, after)):
            name = f"blocks.{i}.0.bn{number}"
            shapes |= {f"{name}.stored_mean": (size,), f"{name}.stored_var": (size,)}
            shapes |= spectral(f"{name}.gain", size, 128 + chunk, bias=False)
            shapes |= spectral(f"{name}.bias", size, 128 + chunk, bias=False)
    shapes |= attention(f"blocks.{attended}.1", channels[attended + 1])
    shapes |= {f"output_layer.0.{part}": (channels[-1],) for part in ("gain", "bias", "stored_mean", "stored_var")}
    return shapes | spectral("output_layer.2", 3, channels[-1], 3, 3)


def pytorch_discriminator(plan, width, classes, attended):
    channels = [3, *(width * m for m in plan)]
    shapes = {}
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        shapes |= spectral(f"blocks.{i}.0.conv1", after, before, 3, 3)
        shapes |= spectral(f"blocks.{i}.0.conv2", after, after, 3, 3)
        if i < len(plan) - 1 or before != after:
            shapes |= spectral(f"blocks.{i}.0.conv_sc", after, before, 1, 1)
    shapes |= attention(f"blocks.{attended}.1", channels[attended + 1])
    return shapes | spectral("linear", 1, channels[-1]) | spectral("embed", classes, channels[-1], bias=False)


def old_spectral(name, *shape, bias=True):
    columns = int(np.prod(shape[1:]))
    entries = {f"{name}.weight_orig": shape, f"{name}.weight_u": (shape[0],), f"{name}.weight_v": (columns,)}
    return entries | ({f"{name}.bias": (shape[0],)} if bias else {})


def hugging_face(plan, width, classes, latent, position, rgb):
    channels = [width * m for m in plan]
    shapes = {"embeddings.weight": (128, classes)} | old_spectral("generator.gen_z", channels[0] * 16, latent + 128)
    layers = [pair for a, b in itertools.pairwise(channels) for pair in ((a, a), (a, b))]
    place = 0
    for number, (before, after) in enumerate(layers):
        if number == position:
            entries = attention("x", before)
            shapes[f"generator.layers.{place}.gamma"] = (1,)
            for part in ("theta", "phi", "g", "o"):
                target = f"generator.layers.{place}.snconv1x1_{part}{'_conv' if part == 'o' else ''}"
                shapes |= old_spectral(target, *entries[f"x.{part}.weight"], bias=False)
            place += 1
        name, inner = f"generator.layers.{place}", before // 4
        sizes = [(inner, before, 1, 1), (inner, inner, 3, 3), (inner, inner, 3, 3), (after, inner, 1, 1)]
        for k, size in enumerate(sizes):
            shapes |= old_spectral(f"{name}.conv_{k}", *size)
            shapes |= {f"{name}.bn_{k}.running_{part}": (51, size[1]) for part in ("means", "vars")}
            for part in ("scale", "offset"):
                shapes |= old_spectral(f"{name}.bn_{k}.{part}", size[1], latent + 128, bias=False)
        place += 1
    shapes |= {f"generator.bn.{part}": (channels[-1],) for part in ("weight", "bias")}
    shapes |= {f"generator.bn.running_{part}": (51, channels[-1]) for part in ("means", "vars")}
    return shapes | old_spectral("generator.conv_to_rgb", rgb, channels[-1], 3, 3)


def filled(shapes, seed=0):
    random = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes.items():
        value = torch.randn(shape, generator=random) * (0.3 if len(shape) > 1 else 1)
        if "var" in name:
            value = value.abs() + 0.5
        if name.endswith(("u0", "weight_u", "weight_v")):
            value = value / value.norm()
        tensors[name] = value
    for name in list(tensors):
        if name.endswith("weight_orig"):
            # Singular vectors that belong to the weight, up to a few iterations.
            stem, rows = name.removesuffix("orig"), tensors[name].flatten(1)
            u = tensors[f"{stem}u"]
            for _ in range(3):
                v = torch.nn.functional.normalize(u @ rows, dim=0)
                u = torch.nn.functional.normalize(rows @ v, dim=0)
            tensors[f"{stem}u"], tensors[f"{stem}v"] = u, v
    return tensors


def count(shapes):
    left_out = ("u0", "sv0", "stored_mean", "stored_var", "weight_u", "weight_v", "running_means", "running_vars")
    return sum(int(np.prod(shape)) for name, shape in shapes.items() if not name.endswith(left_out))


def test_the_layouts_written_here_are_the_published_ones():
    g = pytorch_generator(PLAN_128, 96, 1000, 20, 3)
    assert len(g) == 166 and count(g) == 70_433_988
    d = pytorch_discriminator(D_PLAN_128, 96, 1000, 0)
    assert len(d) == 88 and count(d) == 87_982_370
    deep = hugging_face(PLAN_128, 128, 1000, 128, 8, 128)
    assert len(deep) == 506 and count(deep) == 50_388_609


# Their forward passes, plainly, in float64


def weight_of(t, name):
    w = t[f"{name}.weight"].double()
    rows, u = w.flatten(1), t[f"{name}.u0"].double()[0]
    v = u @ rows / (u @ rows).norm()
    u = rows @ v / (rows @ v).norm()
    return w / (u @ rows @ v)


def conv(t, name, x, pad):
    bias = t.get(f"{name}.bias")
    return torch.nn.functional.conv2d(x, weight_of(t, name), None if bias is None else bias.double(), padding=pad)


def attend(weights, gamma, x):
    theta, phi, g, o = weights
    query = torch.einsum("oc,bchw->bohw", theta, x).flatten(2)
    key = torch.nn.functional.max_pool2d(torch.einsum("oc,bchw->bohw", phi, x), 2).flatten(2)
    value = torch.nn.functional.max_pool2d(torch.einsum("oc,bchw->bohw", g, x), 2).flatten(2)
    share = torch.softmax(torch.einsum("bcq,bck->bqk", query, key), -1)
    seen = torch.einsum("bck,bqk->bcq", value, share).reshape(len(x), -1, *x.shape[2:])
    return x + gamma * torch.einsum("oc,bchw->bohw", o, seen)


def attention_weights(t, name):
    return [weight_of(t, f"{name}.{part}")[:, :, 0, 0] for part in ("theta", "phi", "g", "o")]


def up(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def column(values):
    return values[..., None, None]


def normal(x, mean, var, eps):
    return (x - column(mean.double())) / column(var.double() + eps).sqrt()


def run_pytorch_generator(t, z, y, eps, attended):
    blocks = sum(name.endswith("conv_sc.weight") for name in t)
    zs = z.double().chunk(blocks + 1, 1)
    embedded = t["shared.weight"].double()[y]
    x = (zs[0] @ weight_of(t, "linear").T + t["linear.bias"].double()).view(len(z), -1, 4, 4)
    for i in range(blocks):
        name, cond = f"blocks.{i}.0", torch.cat([embedded, zs[i + 1]], 1)

        def norm(x, which, name=name, cond=cond):
            gain, bias = (cond @ weight_of(t, f"{name}.{which}.{part}").T for part in ("gain", "bias"))
            n = normal(x, t[f"{name}.{which}.stored_mean"], t[f"{name}.{which}.stored_var"], eps)
            return n * column(1 + gain) + column(bias)

        h = conv(t, f"{name}.conv1", up(norm(x, "bn1").relu()), 1)
        x = conv(t, f"{name}.conv2", norm(h, "bn2").relu(), 1) + conv(t, f"{name}.conv_sc", up(x), 0)
        if i == attended:
            x = attend(attention_weights(t, f"blocks.{i}.1"), t[f"blocks.{i}.1.gamma"].double(), x)
    n = normal(x, t["output_layer.0.stored_mean"], t["output_layer.0.stored_var"], eps)
    n = n * column(t["output_layer.0.gain"].double()) + column(t["output_layer.0.bias"].double())
    return torch.tanh(conv(t, "output_layer.2", n.relu(), 1))


def close(ours, theirs):
    assert float((ours - theirs).abs().max()) < 1e-3 * float(theirs.abs().max())


def written(tensors, path):
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return load(path)


@pytest.mark.parametrize("spelling", ["stored_{}", "bn.stored_{}", "bn.running_{}"])
def test_biggan_pytorch_generators_give_the_originals_pictures(tmp_path, spelling):
    tensors = filled(pytorch_generator(PLAN, 1, 7, 3, 1))
    z, y = torch.randn(2, 15), torch.tensor([6, 0])
    expected = run_pytorch_generator(tensors, z, y, 1e-5, 1)
    respelt = {}
    for name, value in tensors.items():
        for part in ("mean", "var"):
            name = name.replace(f"stored_{part}", spelling.format(part))
        respelt[name] = value
    net = written(respelt, tmp_path / "G_ema.safetensors")
    assert net.card.settings == {"size_px": 64, "width": 1, "num_classes": 7, "latent": 15, "class_features": 128,
                                 "skip_z": True, "attention_px": 16}  # fmt: skip
    with torch.no_grad():
        close(net(z, y).double(), expected)


def test_biggan_pytorch_discriminators_give_the_originals_scores(tmp_path):
    tensors = filled(pytorch_discriminator(D_PLAN, 8, 5, 0))
    x, y = torch.randn(2, 3, 64, 64), torch.tensor([4, 1])
    h = x.double()
    for i in range(5):
        name, first = f"blocks.{i}.0", i == 0
        hidden = conv(tensors, f"{name}.conv2", conv(tensors, f"{name}.conv1", h if first else h.relu(), 1).relu(), 1)
        short = conv(tensors, f"{name}.conv_sc", h, 0)
        h = hidden + short
        if i < 4:
            h = torch.nn.functional.avg_pool2d(h, 2)
        if i == 0:
            h = attend(attention_weights(tensors, "blocks.0.1"), tensors["blocks.0.1.gamma"].double(), h)
    h = h.relu().sum((2, 3))
    expected = h @ weight_of(tensors, "linear").T + tensors["linear.bias"].double()
    expected = expected + (weight_of(tensors, "embed")[y] * h).sum(1, keepdim=True)
    net = written(tensors, tmp_path / "D.safetensors")
    with torch.no_grad():
        close(net(x, y).score.double(), expected)


def run_hugging_face(t, z, y, entry, position):
    def weight(name):
        w, u, v = (t[f"{name}.weight_{part}"].double() for part in ("orig", "u", "v"))
        return w / (u @ w.flatten(1) @ v)

    def conv_of(name, x, pad):
        return torch.nn.functional.conv2d(x, weight(name), t[f"{name}.bias"].double(), padding=pad)

    cond = torch.cat([z.double(), t["embeddings.weight"].double().T[y]], 1)
    x = cond @ weight("generator.gen_z").T + t["generator.gen_z.bias"].double()
    x = x.view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
    place = 0
    for number in range(8):
        if number == position:
            name = f"generator.layers.{place}"
            parts = [weight(f"{name}.snconv1x1_{part}")[:, :, 0, 0] for part in ("theta", "phi", "g", "o_conv")]
            x = attend(parts, t[f"{name}.gamma"].double(), x)
            place += 1
        name, h = f"generator.layers.{place}", x
        for k in range(4):
            bn = f"{name}.bn_{k}"
            gain, offset = (cond @ weight(f"{bn}.{part}").T for part in ("scale", "offset"))
            n = normal(h, t[f"{bn}.running_means"][entry], t[f"{bn}.running_vars"][entry], 1e-4)
            h = (n * column(1 + gain) + column(offset)).relu()
            h = conv_of(f"{name}.conv_{k}", up(h) if number % 2 and k == 1 else h, 1 if k in (1, 2) else 0)
        short = x[:, : h.shape[1]]
        x = h + (up(short) if number % 2 else short)
        place += 1
    n = normal(x, t["generator.bn.running_means"][entry], t["generator.bn.running_vars"][entry], 1e-4)
    n = n * column(t["generator.bn.weight"].double()) + column(t["generator.bn.bias"].double())
    return torch.tanh(conv_of("generator.conv_to_rgb", n.relu(), 1)[:, :3])


def test_hugging_faces_deep_generators_give_the_originals_pictures(tmp_path):
    tensors = filled(hugging_face(PLAN, 4, 7, 6, 4, 8))
    z, y = torch.randn(2, 6), torch.tensor([6, 0])
    net = written(tensors, tmp_path / "model.safetensors")
    assert net.card.settings["attention_px"] == 16 and net.card.settings["statistics"] == 51
    with torch.no_grad():
        for entry in (0, 20, 50):
            close(net(z, y, entry * 0.02).double(), run_hugging_face(tensors, z, y, entry, 4))
        # A truncation of 0.5 uses entry 25; without one the last entry counts.
        assert torch.equal(net(z, y), net(z, y, 1.0))


def test_tf_hub_variables_are_those_of_biggan_pytorch_by_other_names(tmp_path):
    tensors = filled(pytorch_generator(PLAN_128, 8, 7, 3, 3), seed=2)
    hub = {}

    def put(name, value, averaged=True):
        hub[f"module/{name}" + ("/ema_b999900:0" if averaged else ":0")] = value
        if averaged:
            hub[f"module/{name}:0"] = torch.zeros_like(value)

    def put_conv(name, source):
        put(f"{name}/w", tensors[f"{source}.weight"].permute(2, 3, 1, 0))
        put(f"{name}/u0", tensors[f"{source}.u0"], averaged=False)
        if f"{source}.bias" in tensors:
            put(f"{name}/b", tensors[f"{source}.bias"])

    for i in range(5):
        root = "Generator/GBlock" + (f"_{i}" if i else "")
        for ours, part in (("conv0", "conv1"), ("conv1", "conv2"), ("conv_sc", "conv_sc")):
            put_conv(f"{root}/{ours}", f"blocks.{i}.0.{part}")
        for number, suffix in ((1, ""), (2, "_1")):
            source = f"blocks.{i}.0.bn{number}"
            for part, ours in (("gamma", "gain"), ("beta", "bias")):
                weight = tensors[f"{source}.{ours}.weight"]
                noise_first = torch.cat([weight[:, 128:], weight[:, :128]], 1)
                put(f"{root}/HyperBN{suffix}/{part}/w", noise_first.T)
                put(f"{root}/HyperBN{suffix}/{part}/u0", tensors[f"{source}.{ours}.u0"], averaged=False)
            for part in ("mean", "var"):
                put(f"{root}/CrossReplicaBN{suffix}/accumulated_{part}", tensors[f"{source}.stored_{part}"], False)
    put("linear/w", tensors["shared.weight"].T)
    order = torch.arange(128 * 16).view(128, 4, 4).permute(1, 2, 0).flatten()
    put("Generator/G_Z/G_linear/w", tensors["linear.weight"][order].T)
    put("Generator/G_Z/G_linear/b", tensors["linear.bias"][order])
    put("Generator/G_Z/G_linear/u0", tensors["linear.u0"][:, order], averaged=False)
    put("Generator/attention/gamma", tensors["blocks.3.1.gamma"])
    for part, ours in (("theta", "theta"), ("phi", "phi"), ("g", "g"), ("o_conv", "o")):
        put_conv(f"Generator/attention/{part}", f"blocks.3.1.{ours}")
    put("Generator/ScaledCrossReplicaBN/gamma", tensors["output_layer.0.gain"].view(1, 1, 1, -1))
    put("Generator/ScaledCrossReplicaBN/beta", tensors["output_layer.0.bias"].view(1, 1, 1, -1))
    for part in ("mean", "var"):
        put(f"Generator/ScaledCrossReplicaBNbn/accumulated_{part}", tensors[f"output_layer.0.stored_{part}"], False)
    put_conv("Generator/conv_2d", "output_layer.2")
    net = written(hub, tmp_path / "hub.safetensors")
    z, y = torch.randn(1, 18), torch.tensor([3])
    with torch.no_grad():
        close(net(z, y).double(), run_pytorch_generator(tensors, z, y, 1e-4, 3))


def test_a_cut_or_strange_file_is_named(tmp_path):
    shapes = pytorch_generator(PLAN, 1, 7, 3, 1)
    tensors = filled(shapes)
    del tensors["blocks.2.0.conv2.bias"]
    with pytest.raises(UserError, match=r"lacks the tensor blocks\.2\.0\.conv2\.bias"):
        LAYOUTS[0].convert(tensors)
    with pytest.raises(UserError, match="tensor too many: extra"):
        LAYOUTS[0].convert(filled(shapes | {"extra": (3,)}))
    narrow = {**shapes, "blocks.1.0.conv1.weight": (9, 16, 3, 3)}
    with pytest.raises(UserError, match="No plan of BigGAN has the channels"):
        LAYOUTS[0].convert(filled(narrow))
