"""Stages: pooled outputs of blocks, wherever an output goes, and nothing else changes."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from holdfast.core.errors import ConfigError
from holdfast.core.output import outputs
from holdfast.core.rows import Rows
from holdfast.learner import Learner
from holdfast.learner.backbone import make_backbone
from holdfast.learner.stages import gridded, moments, pooled, showing_stages, side, stages_of
from holdfast.learner.wrapped import Wrapped
from holdfast.testing import check_backbone
from reference_representation import grid
from reference_representation import moments as moments_twin

WIDTHS = {"convnet": (4, 8, 16), "resnet18": (4, 8, 16, 32), "mlp": (4, 4)}
SHAPES = {"convnet": (1, 8, 8), "resnet18": (3, 16, 16), "mlp": (12,)}


class Blocks(nn.Module):
    """A network from outside, whose blocks change their inputs in place."""

    def __init__(self, stages=True):
        super().__init__()
        blocks = [nn.Conv2d(1, 3, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 5, 3))]
        self.blocks = nn.ModuleList(blocks)
        if stages:
            self.stages = blocks

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x.relu_().mean((2, 3))


@pytest.mark.parametrize("name", WIDTHS)
def test_each_stage_is_pooled_and_the_last_one_is_the_features(name):
    network = make_backbone(name, SHAPES[name], 4).eval()
    x = torch.rand(6, *SHAPES[name])
    features, shown = stages_of(network, x)
    stages = shown["stages"]
    assert tuple(stage.shape[1] for stage in stages) == WIDTHS[name]
    assert torch.equal(stages[-1], features)
    assert torch.equal(features, network(x))


def test_a_stage_is_the_mean_over_places_of_its_block():
    network = make_backbone("convnet", (1, 8, 8), 4).eval()
    x = torch.rand(3, 1, 8, 8)
    stages = stages_of(network, x)[1]["stages"]
    after = network.layers[:6](x).detach()
    twin = [[[float(v) for v in c.flatten()] for c in row] for row in after]
    for row, stage in zip(twin, stages[1].tolist()):
        assert stage == pytest.approx([sum(c) / len(c) for c in row], rel=1e-5)
    tokens = torch.rand(2, 5, 3)
    torch.testing.assert_close(pooled(tokens)[1, 2], tokens[1, :, 2].sum() / 5)


@pytest.mark.parametrize(("height", "width", "features"), [(8, 8, 12), (7, 5, 27), (2, 9, 27)])
def test_a_grid_is_the_mean_of_each_cell(height, width, features):
    x = torch.rand(2, 3, height, width)
    torch.testing.assert_close(gridded(x, features), torch.from_numpy(grid(x, features)))


@pytest.mark.parametrize(
    ("height", "width", "features", "columns"),
    [(8, 8, 12, 24), (7, 5, 27, 54), (2, 9, 27, 36), (3, 2, 27, 18), (4, 4, 3, 6)],
)
def test_moments_are_the_means_and_deviations_of_each_cell(height, width, features, columns):
    x = 100 + torch.rand(2, 3, height, width)  # far from 0: squares would cancel
    twin = torch.from_numpy(moments_twin(x.double(), features))
    got = moments(x, features)
    assert_close(got, twin, rtol=1e-4, atol=1e-4)
    assert got.shape == (2, columns)


def test_moments_of_what_is_no_map():
    tokens, rows = torch.rand(2, 5, 3), torch.rand(4, 3)
    twin = torch.cat([tokens.mean(1), tokens.std(1, correction=0)], 1)
    assert_close(moments(tokens, 3), twin)
    assert_close(moments(tokens[:, :1], 3), tokens[:, 0])
    assert_close(moments(rows, 3), rows)


def test_grids_of_moments_are_coarser_where_a_backbone_is_wide():
    network = make_backbone("resnet18", (3, 16, 16), 4).eval()
    x = torch.rand(2, 3, 16, 16)

    def widths():
        return [s.shape[1] for s in stages_of(network, x, ("moments",))[1]["moments"]]

    assert widths() == [2 * 9 * 4, 2 * 4 * 8, 2 * 16, 2 * 32]
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.learner.stages.side", lambda c, f: asked.append((c, f)) or 1)
        network.features = 3000
        assert widths() == [2 * 4, 2 * 8, 2 * 16, 2 * 32]
    assert {f for _, f in asked} == {2048 // 4}


def test_the_mirror_image_is_averaged_in_where_it_is_asked():
    learner = Learner((3, 16, 16), "resnet18", 4, dim=8, classes=3).eval()
    x = torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        learner.show_stages(("moments", "mirrored"))
        plain = learner(x)
        for one, same in zip(plain.moments, plain.mirrored, strict=True):
            assert torch.equal(one, same)
        learner.mirror = True
        out, turned = learner(x), learner(x.flip(-1))
        for a, b, got, other in zip(out.moments, turned.moments, out.mirrored, turned.mirrored):
            assert_close(got, (a + b) / 2)
            assert not torch.equal(got, a)
            assert torch.equal(got, other)  # an image and its mirror image are one
        assert all(torch.equal(a, b) for a, b in zip(out[:4], plain[:4]))
        learner.show_stages(("mirrored",))
        alone = learner(x)
    assert alone.moments is None and alone.stages is None
    assert all(torch.equal(a, b) for a, b in zip(alone.mirrored, out.mirrored))


def test_the_earlier_a_stage_the_finer_its_grid():
    network = make_backbone("resnet18", (3, 16, 16), 4).eval()
    _, shown = stages_of(network, torch.rand(2, 3, 16, 16), ("stages", "pyramid"))
    stages, pyramid = shown["stages"], shown["pyramid"]
    assert [grid.shape[1] for grid in pyramid] == [9 * 4, 4 * 8, 16, 32]
    assert all(torch.equal(*both) for both in zip(stages[2:], pyramid[2:]))
    assert [side(c, 1280) for c in (16, 80, 320, 1280, 4000)] == [3, 3, 2, 1, 1]
    tokens = torch.rand(2, 5, 3)  # no map: the mean over all
    torch.testing.assert_close(gridded(tokens, 3), pooled(tokens))


def test_a_network_from_outside_names_its_stages():
    check_backbone(lambda shape: Blocks())
    torch.manual_seed(0)  # of a block with channels below 0
    network = Wrapped(Blocks(), (1, 8, 8), "Blocks")
    x = torch.rand(4, 1, 8, 8)
    first, second = stages_of(network, x)[1]["stages"]
    torch.testing.assert_close(first, network.network.blocks[0](x).mean((2, 3)))
    assert second.shape == (4, 5)
    assert float(first.detach().min()) < 0  # as the block left it, before the next one's ReLU


def test_a_backbone_without_stages_says_so():
    learner = Learner((1, 8, 8), dim=0, width=4)
    learner.backbone = Wrapped(Blocks(stages=False), (1, 8, 8), "Blocks")
    with pytest.raises(ConfigError, match=r"the backbone Blocks has no stages.*attribute `stages`"):
        learner.show_stages()
    assert not learner.shown


def test_a_block_that_is_not_called_is_named():
    network = Wrapped(Blocks(), (1, 8, 8), "Blocks")
    network.network.stages = [*network.network.blocks, nn.Linear(1, 1)]
    with pytest.raises(ConfigError, match="a stage of Wrapped does not say one thing"):
        stages_of(network, torch.rand(2, 1, 8, 8))


def test_outputs_have_stages_only_while_they_are_shown():
    learner, rows = Learner((1, 8, 8), width=4, dim=8, classes=3).eval(), torch.rand(7, 1, 8, 8)
    plain = learner(rows)
    with showing_stages(learner):
        shown = learner(rows)
    assert plain.stages is None and learner(rows).stages is None
    assert all(torch.equal(a, b) for a, b in zip(plain[:4], shown[:4]))
    mask = torch.arange(7) % 2 == 0
    for some, whole in zip(shown.rows(mask).stages, shown.stages):
        assert torch.equal(some, whole[mask])


def test_rows_at_rest_come_batch_by_batch_with_their_stages():
    learner = Learner((1, 8, 8), width=4, dim=0).eval()
    x, y = torch.rand(7, 1, 8, 8), torch.zeros(7, dtype=torch.long)
    rows = Rows(x, y, y, torch.arange(7))
    with showing_stages(learner):
        out, whole = outputs(learner, rows, batch=3), learner(x)
    assert outputs(learner, rows).stages is None
    for some, all_rows in zip(out.stages, whole.stages, strict=True):
        torch.testing.assert_close(some, all_rows)


def test_copies_show_what_the_learner_shows():
    learner = Learner((12,), width=4, dim=0)
    learner.show_stages()
    assert len(learner.freeze()(torch.rand(2, 12)).stages) == 2
    learner.show_stages(())
    assert learner.freeze()(torch.rand(2, 12)).stages is None
