"""Pictures from label maps: styles gathered, drawn and chosen; whole and in strips; sizes, files and bad input."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from ganvas import cli
from ganvas.data.styles import Observed, Styles, class_of, cluster, k_means
from ganvas.errors import UserError
from ganvas.inference.labels.files import find_maps, make_pictures
from ganvas.inference.labels.options import Options
from ganvas.inference.labels.painter import LabelPainter, MapFiles, Regions
from ganvas.inference.styles import gather
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.recipes.pix2pixhd.recipe import PREVIEW, Pix2PixHD
from ganvas.settings import from_json
from ganvas.training import loop
from ganvas.training.trainer import Plan

NAMES = ["sky", "road", "car", "ghost"]


def write_scenes(root, number=6, size=(64, 32), seed=0):
    """Write scenes with two cars each, whose brightness is 40 or 220: two styles that can be told apart."""
    width, height = size
    random = np.random.default_rng(seed)
    for folder in ("frames", "labels", "instances"):
        (root / folder).mkdir(parents=True)
    for index in range(number):
        labels = np.zeros((height, width), np.uint8)
        labels[height // 2 :] = 1
        instances, picture = labels.astype(np.uint16), np.where(labels[..., None], 90, 200).repeat(3, 2)
        for car, x in enumerate((2, width // 2 + 2)):
            shade = (40, 220)[int(random.integers(2))]
            part = np.s_[height // 4 : 3 * height // 4, x : x + width // 3]
            labels[part], instances[part], picture[part] = 2, 2000 + car, shade
        for folder, plane in (("frames", picture.astype(np.uint8)), ("labels", labels), ("instances", instances)):
            images.write(root / folder / f"{index:03}.png", plane)
    legend = [{"id": n, "name": name, "color": [60 * n, 9, 9], "thing": n == 2} for n, name in enumerate(NAMES)]
    (root / "legend.json").write_text(json.dumps({"labels": legend}))
    return root


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("world") / "scenes")


@pytest.fixture(scope="module")
def run(scenes, tmp_path_factory):
    settings = replace(
        PREVIEW, data=str(scenes), width_px=64, height_px=32, global_width=8, downs=1, blocks=0, local_blocks=0,
        encoder_width=4, discriminator_scales=1, discriminator_layers=1, gan_weight=0.0, feature_matching_weight=0.0,
        pixel_weight=10.0, global_steps=20, enhancer_steps=1, joint_steps=1, rate=5e-3, precision="float32", threads=1,
        workers=1, checkpoint_every=100, preview_every=100, average_half_life=0.0,
    )  # fmt: skip
    return trained(settings, tmp_path_factory.mktemp("runs") / "run")


def trained(settings, folder):
    recipe = Pix2PixHD(settings)
    return loop.train(Plan("pix2pixhd", recipe, recipe.source(settings.data)), folder, quiet=True)


@pytest.fixture(scope="module")
def styled(run):
    gather(run)
    return run


def painter_of(run, **options):
    return LabelPainter(run, device="cpu", precision="float32", **options)


# Styles


def test_k_means_finds_what_scikit_learn_finds():
    random = np.random.default_rng(0)
    middles = random.normal(0, 10, (4, 3))
    points = np.concatenate([middle + random.normal(0, 0.3, (n, 3)) for middle, n in zip(middles, (40, 30, 20, 10))])
    found, counts = k_means(torch.from_numpy(points), 4, np.random.default_rng(1))
    oracle = KMeans(4, n_init=5, random_state=0).fit(points).cluster_centers_
    assert counts.tolist() == [40, 30, 20, 10]
    distances = np.linalg.norm(found.numpy()[:, None] - oracle[None], axis=-1)
    assert distances.min(1).max() < 1e-4 and sorted(distances.argmin(1)) == [0, 1, 2, 3]


def test_k_means_of_fewer_points_than_centres():
    found, counts = k_means(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), 10, np.random.default_rng(0))
    assert found.tolist() == [[1, 0], [0, 2]] and counts.tolist() == [2, 1]


def test_small_instances_count_only_where_a_class_has_no_others():
    observed = Observed(
        torch.tensor([2, 2, 5, 5]), torch.tensor([0.5, 0.001, 0.001, 0.002]), torch.tensor([[1.0], [9.0], [3.0], [4.0]])
    )
    styles = cluster(observed, centers=3)
    assert styles.of(2).flatten().tolist() == [1] and sorted(styles.of(5).flatten().tolist()) == [3, 4]
    assert len(styles.of(7)) == 0
    with pytest.raises(UserError, match="0 styles"):
        cluster(observed, centers=0)
    with pytest.raises(UserError, match="No instance"):
        cluster(Observed(torch.zeros(0), torch.zeros(0), torch.zeros(0, 3)))


def test_a_new_class_leaves_the_styles_of_the_others():
    random = torch.Generator().manual_seed(0)
    features, shares = torch.randn(60, 3, generator=random), torch.ones(60)
    labels = torch.arange(60) % 3
    few = labels < 2
    both = cluster(Observed(labels[few], shares[few], features[few])), cluster(Observed(labels, shares, features))
    assert torch.equal(both[0].of(1), both[1].of(1))


def test_classes_by_name_and_number():
    legend = [{"id": 26, "name": "car"}, {"id": 3, "name": "7"}]
    assert class_of("car", legend, 35) == 26 and class_of("12", legend, 35) == 12 and class_of("7", legend, 35) == 3
    with pytest.raises(UserError, match="car"):
        class_of("cat", legend, 35)
    with pytest.raises(UserError, match="0 to 34"):
        class_of("35", [], 35)


def test_styles_are_stored_with_the_run_and_packed_with_its_weights(styled, scenes, tmp_path):
    read = weights.read_run(styled)
    styles = Styles.from_attachments(read.attachments)
    assert styles is not None and set(styles.labels.tolist()) == {0, 1, 2}
    table = runs.read_attachments(styled)
    assert len(table["instances.label"]) == 6 * 4 and int((table["instances.label"] == 2).sum()) == 12
    per_scene = torch.zeros(6).index_add(0, table["instances.scene"], table["instances.share"])
    assert torch.allclose(per_scene, torch.ones(6), atol=1e-5)
    file = weights.save(tmp_path / "g.safetensors", read.tensors, read.card, read.attachments)
    assert torch.equal(painter_of(file).styles.centers, styles.centers)


def test_bright_and_dark_cars_get_different_features(styled, scenes):
    """The encoder averages over each instance: what it says follows the picture, not the place."""
    table = runs.read_attachments(styled)
    cars = table["instances.label"] == 2
    shades = []
    for scene, instance in zip(table["instances.scene"][cars].tolist(), table["instances.instance"][cars].tolist()):
        picture = images.read(scenes / "frames" / f"{scene:03}.png")[0]
        where = images.read(scenes / "instances" / f"{scene:03}.png")[0][..., 0] == instance
        shades.append(picture[where].mean() > 128)
    features, shades = table["instances.features"][cars], torch.tensor(shades)
    gap = (features[shades].mean(0) - features[~shades].mean(0)).norm()
    assert gap > 3 * features[shades].std(0).norm()


def test_styles_of_a_run_without_an_encoder_are_refused(tmp_path, scenes):
    settings = replace(
        PREVIEW, data=str(scenes), width_px=64, height_px=32, global_width=4, downs=1, blocks=0, enhancers=0,
        instance_features=0, gan_weight=0.0, feature_matching_weight=0.0, pixel_weight=1.0, discriminator_layers=1,
        discriminator_scales=1, global_steps=1, preview_every=9, threads=1,
    )  # fmt: skip
    recipe = Pix2PixHD(settings)
    run = loop.train(Plan("pix2pixhd", recipe, recipe.source(str(scenes))), tmp_path / "plain", quiet=True)
    with pytest.raises(UserError, match="no encoder"):
        gather(run)
    with pytest.raises(UserError, match="is no run"):
        gather(tmp_path)
    painter = painter_of(run)
    regions = painter.read(find_maps(scenes)[0])
    assert painter.picture(regions, painter.draw(regions).features).shape == (32, 64, 3)
    with pytest.raises(UserError, match="no styles"):
        painter.draw(regions, 0, {2: 0})


# Drawing


def regions_of(scenes, painter, index=0):
    return painter.read(find_maps(scenes)[index])


def test_a_seed_draws_the_same_and_another_another(styled, scenes):
    painter = painter_of(styled)
    regions = regions_of(scenes, painter)
    drawn = [painter.draw(regions, seed).features for seed in range(12)]
    assert torch.equal(drawn[0], painter.draw(regions, 0).features)
    assert any(not torch.equal(drawn[0], other) for other in drawn[1:])


def test_a_region_keeps_its_style_when_others_are_edited(styled, scenes):
    painter = painter_of(styled)
    regions = regions_of(scenes, painter)
    label_map = torch.where(regions.label_map == 0, 1, regions.label_map)
    edited = Regions.of(label_map, regions.region_map // 4096)
    before = dict(zip(regions.ids.tolist(), painter.draw(regions, 5).features.tolist()))
    after = dict(zip(edited.ids.tolist(), painter.draw(edited, 5).features.tolist()))
    shared = before.keys() & after.keys()
    assert len(shared) >= 3 and all(before[region] == after[region] for region in shared)


def test_the_wanted_style_of_a_class_is_given_to_its_instances_only(styled, scenes):
    painter = painter_of(styled)
    regions = regions_of(scenes, painter)
    styles = painter.styles.of(2)
    drawn, wanted = painter.draw(regions, 1).features, painter.draw(regions, 1, {2: 1}).features
    is_car = torch.tensor(regions.labels) == 2
    assert torch.equal(wanted[is_car], styles[1].expand(2, -1)) and torch.equal(wanted[~is_car], drawn[~is_car])
    with pytest.raises(UserError, match=f"Use 0 to {len(styles) - 1}"):
        painter.draw(regions, 0, {2: 99})
    with pytest.raises(UserError, match="style 0 of ghost"):
        painter.draw(regions, 0, {3: 0})


def test_a_class_without_styles_has_the_mean_of_all_and_says_so(styled, scenes):
    painter = painter_of(styled)
    label_map = torch.full((1, 1, 8, 8), 3)
    chosen = painter.draw(Regions.of(label_map, label_map))
    counts = painter.styles.counts[:, None]
    assert torch.allclose(chosen.features[0], (painter.styles.centers * counts).sum(0) / counts.sum())
    assert "ghost has no styles" in chosen.notes[0]


def test_styles_from_a_picture(styled, scenes):
    painter = painter_of(styled)
    regions, table = regions_of(scenes, painter), runs.read_attachments(styled)
    picture = torch.from_numpy(images.read(scenes / "frames" / "000.png")[0] / np.float32(255)).permute(2, 0, 1)[None]
    under = painter.copy(regions, picture).features
    first = table["instances.scene"] == 0
    assert torch.allclose(under, table["instances.features"][first], atol=1e-5)
    # With maps of its own, each region takes the style of one of its class.
    own = painter.copy(regions_of(scenes, painter, 1), picture, regions).features
    options = {label: under[torch.tensor(regions.labels) == label] for label in (0, 1, 2)}
    for label, style in zip(regions.labels, own):
        assert any(torch.allclose(style, option, atol=1e-6) for option in options[label])


# Pictures


def test_one_style_changes_what_it_covers(styled, scenes):
    painter = painter_of(styled)
    regions = regions_of(scenes, painter)
    features = painter.draw(regions, 0).features
    other = features.clone()
    car = regions.labels.index(2)
    other[car] = -other[car] + 0.5
    change = np.abs(painter.picture(regions, features) - painter.picture(regions, other)).mean(-1)
    inside = (regions.region_map == regions.ids[car])[0, 0].numpy()
    assert change[inside].mean() > 2 * change[~inside].mean() > 0


@pytest.mark.parametrize("size", [(32, 64), (33, 47), (5, 9)])
def test_strips_make_the_picture_that_the_whole_makes(styled, size):
    whole, strips = painter_of(styled, strips="never"), painter_of(styled, strips="always")
    random = torch.Generator().manual_seed(0)
    label_map = torch.randint(-1, 3, (1, 1, *size), generator=random)
    regions = Regions.of(label_map, torch.randint(0, 3, (1, 1, *size), generator=random))
    features = whole.draw(regions, 3).features
    one, other = whole.picture(regions, features), strips.picture(regions, features)
    assert one.shape == (*size, 3) and np.abs(one - other).max() < 1e-4
    assert not painter_of(styled).runs_in_strips(32, 64) and painter_of(styled).runs_in_strips(1 << 17, 1 << 17)


def test_a_folder_with_bad_maps_makes_all_the_others(styled, tmp_path):
    root = write_scenes(tmp_path / "world", 5)
    images.write(root / "labels" / "001.png", np.full((32, 64), 9, np.uint8), overwrite=True)
    (root / "labels" / "002.png").write_bytes(b"no picture")
    images.write(root / "instances" / "003.png", np.zeros((16, 16), np.uint16), overwrite=True)
    (root / "instances" / "004.png").unlink()
    results = make_pictures(painter_of(styled), Options(labels=root, out=tmp_path / "out"))
    assert [bool(result.error) for result in results] == [False, True, True, True, True]
    assert "has no instance map" in results[4].error
    assert "id 9" in results[1].error and "001.png" in results[1].error and "differ in size" in results[3].error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["000.png"]


def test_a_run_in_its_first_stage_says_that_its_pictures_are_noise(run, scenes, tmp_path):
    settings = from_json(Pix2PixHD.Settings, runs.read_json(run / runs.SETTINGS)["settings"])
    early = trained(replace(settings, global_steps=1, enhancer_steps=0, joint_steps=0), tmp_path / "run")
    gather(early)
    results = make_pictures(painter_of(early), Options(labels=scenes, out=tmp_path / "out", num=2))
    assert ["stage global" in result.note for result in results] == [True, False]
    assert not painter_of(run).warning


def test_large_maps_are_kept_in_few_bytes(scenes):
    """The maps of 8192 x 4096 pixels would take half a gigabyte in int64, the condition of strips a tenth."""
    random = np.random.default_rng(0)
    for highest, dtype in ((65_535, torch.int32), (1 << 24, torch.int64)):
        labels = torch.from_numpy(random.integers(-1, 35, (1, 1, 600, 7)).astype(np.int16))
        instances = torch.from_numpy(random.integers(0, highest, (1, 1, 600, 7)))
        instances[0, 0, 0, 0] = highest
        regions = Regions.of(labels, instances)
        assert regions.region_map.dtype == dtype and torch.equal(regions.ids, regions.region_map.unique().long())
        assert torch.equal(regions.region_map.long() % 4096 - 1, labels.long())
        assert torch.equal(regions.region_map.long() // 4096, instances)


def test_depth_and_format_are_as_asked(styled, scenes, tmp_path):
    make_pictures(painter_of(styled), Options(labels=scenes, out=tmp_path, num=1, bits=16, extension="tif"))
    picture, header = images.read(tmp_path / "000.tif")
    assert picture.dtype == np.uint16 and (header.width, header.height) == (64, 32)


def test_maps_are_found_in_every_layout(tmp_path):
    root = write_scenes(tmp_path / "a", 2)
    for given, instances in ((root, ""), (root / "labels", ""), (root / "labels", root / "instances")):
        found = find_maps(given, instances)
        assert [file.name for file in found] == ["000", "001"]
        assert all(file.instances == root / "instances" / file.labels.name for file in found)
    assert find_maps(root / "labels" / "001.png")[0].instances == root / "instances" / "001.png"
    clips = tmp_path / "clips"
    for number in range(2):
        write_scenes(clips / f"clip_00{number}", 1)
    assert [file.name for file in find_maps(clips)] == ["clip_000/000", "clip_001/000"]
    city = tmp_path / "gtFine" / "val" / "ulm"
    city.mkdir(parents=True)
    for kind in ("labelIds", "instanceIds", "color"):
        images.write(city / f"ulm_1_gtFine_{kind}.png", np.zeros((4, 4), np.uint8))
    found = find_maps(tmp_path / "gtFine" / "val")
    assert [(file.labels.name, file.instances.name) for file in found] == [
        ("ulm_1_gtFine_labelIds.png", "ulm_1_gtFine_instanceIds.png")
    ]
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(UserError, match="holds no label maps"):
        find_maps(bare)
    images.write(bare / "5.png", np.zeros((4, 4), np.uint8))
    assert find_maps(bare) == [MapFiles("5", bare / "5.png")]


# The command line


def run_cli(*arguments):
    return cli.main([str(argument) for argument in arguments])


def test_from_styles_to_pictures_on_the_command_line(styled, scenes, tmp_path, capsys):
    assert run_cli("styles", styled, "--centers", 3, "--table", tmp_path / "t.csv", "--device", "cpu") == 0
    assert "car" in capsys.readouterr().out
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].startswith("scene,instance,label,share,feature_0") and len(lines) == 1 + 6 * 4
    common = ["--labels", scenes, "--precision", "float32", "--device", "cpu"]
    assert run_cli("generate", styled, *common, "--out", tmp_path / "one", "--style", "car=0", "--quiet") == 0
    assert run_cli("generate", styled, *common, "--out", tmp_path / "two", "--style", "2=0") == 0
    pairs = zip(sorted((tmp_path / "one").iterdir()), sorted((tmp_path / "two").iterdir()), strict=True)
    assert all(np.array_equal(images.read(a)[0], images.read(b)[0]) for a, b in pairs)
    assert run_cli("generate", styled, *common, "--out", tmp_path / "one") == 1  # nothing is overwritten
    assert run_cli("generate", styled, *common, "--out", tmp_path / "sheets", "--styles", "all") == 0
    sheet, _ = images.read(tmp_path / "sheets" / "000_car.png")
    assert sheet.shape == (18 + 32, 64 * len(painter_of(styled).styles.of(2)), 3)
    parts = np.split(sheet[18:], len(painter_of(styled).styles.of(2)), axis=1)
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(parts))
    source = scenes / "frames" / "001.png"
    assert run_cli("generate", styled, *common, "--out", tmp_path / "from", "--style-from", source) == 0
    gather(styled)


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--style", "car=77"], "no style 77"),
        (["--style", "car"], "car=3"),
        (["--style", "cat=1"], "no class"),
        (["--seed", "-1"], "0 or more"),
        (["--styles", "ghost"], "ghost"),
        (["--instances", "nowhere"], "does not exist"),
    ],
)
def test_wrong_options_are_named(styled, scenes, tmp_path, capsys, extra, named):
    assert run_cli("generate", styled, "--labels", scenes, "--out", tmp_path / "x", "--device", "cpu", *extra) == 1
    assert named in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_run_whose_styles_were_not_gathered_says_how(run, scenes, tmp_path, capsys):
    folder = run / "attachments"
    kept = folder.rename(run / "aside") if folder.exists() else None
    try:
        assert run_cli("generate", run, "--labels", scenes, "--out", tmp_path / "x", "--device", "cpu") == 1
        assert f"ganvas styles {run}" in capsys.readouterr().err
    finally:
        if kept:
            kept.rename(folder)
