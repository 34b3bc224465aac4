"""Capacity that a VAE in training gains."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from bbcompress.train.grow import revive, with_coarser_scale, with_sharpest_mixtures, with_stage_blocks  # noqa: E402
from bbcompress.train.loop import TrainingOptions, evaluate, train  # noqa: E402
from bbcompress.train.spatial_vae import Residual, SpatialConfig, SpatialVAE  # noqa: E402

SILENT = 3


def small(phases=True, stage_blocks=0):
    torch.manual_seed(0)
    config = SpatialConfig(1, 2, width=16, blocks=1, latent_channels=1, phases=phases, stage_blocks=stage_blocks)
    model = SpatialVAE(config)
    for module in model.modules():  # branches of a new model add nothing
        if isinstance(module, Residual):
            torch.nn.init.normal_(module.branch[1].convolution.weight, 0, 0.05)
    return model


def pixels(count=20):
    return torch.randint(0, 256, (count, 1, 16, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def generator():
    return torch.Generator().manual_seed(2)


@pytest.mark.parametrize("before", [0, 1])
def test_deeper_stages_begin_as_the_model_was_and_learn(before):
    old = small(stage_blocks=before)
    new = with_stage_blocks(old, 2)
    assert new.config.stage_blocks == 2 and len(new.decoder.stages[0]) == len(old.decoder.stages[0]) + 2 - before
    assert evaluate(new, pixels()) == evaluate(old, pixels())
    new.negative_elbo_bits_per_dim(pixels(), generator()).mean().backward()
    for stage in new.decoder.stages:
        assert stage[-2].branch[1].convolution.weight.grad.abs().max() > 0


def test_what_has_no_stages_or_more_blocks_is_refused():
    with pytest.raises(ValueError, match="no stages"):
        with_stage_blocks(small(phases=False), 1)
    with pytest.raises(ValueError, match="2 residual blocks, more than 1"):
        with_stage_blocks(small(stage_blocks=2), 1)


def test_a_coarser_scale_begins_with_the_weights_of_finer_ones_and_learns():
    old = small(stage_blocks=1)
    new = with_coarser_scale(old)
    assert new.posterior(pixels()).mean.shape == (20, 1, 2, 1)
    assert [(scale.stride, len(scale.stages)) for scale in new.decoder.scales] == [(8, 1), (8, 3), (4, 3), (2, 3)]
    for place, stage in enumerate(new.decoder.stages):
        like = old.decoder.stages[place if place < 4 else place - 3]
        assert all(map(torch.equal, stage.state_dict().values(), like.state_dict().values()))
    new.negative_elbo_bits_per_dim(pixels(), generator()).mean().backward()
    for network in (new.encoder, *new.decoder.features, *new.decoder.stages):
        assert max(parameter.grad.abs().max() for parameter in network.parameters()) > 0
    with pytest.raises(ValueError, match="no stages"):
        with_coarser_scale(small(phases=False))


def test_mixtures_may_become_sharper_and_then_are_surer_of_flat_pixels():
    old = small()
    old = SpatialVAE(replace(old.config, least_log_scale=-7))
    flat = torch.full((4, 1, 16, 8), 100, dtype=torch.uint8)
    with torch.no_grad():
        for stage in old.decoder.stages:  # the mean is 100, and scales are as small as they may be
            stage[-1].convolution.weight.zero_()
            stage[-1].convolution.bias[:] = torch.tensor([100 / 256] * 2 + [-20.0] * 2 + [0.0] * 2)
    new = with_sharpest_mixtures(old)
    latent = torch.zeros(4, 1, 4, 2)
    dims = flat[0].numel()
    assert old.log_likelihood_nats(flat, latent).mean() / dims < -0.2
    assert -1e-4 < new.log_likelihood_nats(flat, latent).mean() / dims < 0
    assert (new.sample_pixels(latent) == 100).all() and not (old.sample_pixels(latent) == 100).all()
    assert new.state_dict().keys() == old.state_dict().keys()


def test_silent_channels_begin_anew_and_nothing_else_changes():
    model = small()
    branch = model.decoder.features[2][-1].branch
    with torch.no_grad():
        branch[0].convolution.bias[:SILENT] = -1e3
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    bits = evaluate(model, pixels())
    silent = revive(model, model, pixels(), generator())
    assert evaluate(model, pixels()) == pytest.approx(bits, abs=1e-6)
    model.negative_elbo_bits_per_dim(pixels(), generator()).mean().backward()
    assert (branch[1].convolution.weight.grad[:, :SILENT].abs().amax((0, 2, 3)) > 0).all()
    assert revive(model, model, pixels(), generator()) == 0
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    own = {"0.convolution.weight", "0.convolution.bias", "1.convolution.weight"}
    assert silent >= SILENT and {f"decoder.features.2.2.branch.{name}" for name in own} <= changed
    assert (branch[1].convolution.weight[:, SILENT:] != 0).any()


def test_training_revives_what_it_trains_and_only_that(tmp_path):
    for encoder_only in (False, True):
        model = small()
        for branch in (model.encoder[2].branch, model.decoder.features[2][-1].branch):
            with torch.no_grad():
                branch[0].convolution.bias[:SILENT] = -1e3
        options = TrainingOptions(epochs=1, batch=10, learning_rate=1e-6, ema=0.999, encoder_only=encoder_only)
        output = tmp_path / str(encoder_only)
        state = train(model, pixels(), pixels(), options, output, lambda row: None)
        for own, average in zip(state.model.parameters(), state.average.parameters(), strict=True):
            assert torch.allclose(own, average, atol=1e-4)
        trained = state.model
        assert (trained.encoder[2].branch[0].convolution.bias[:SILENT] > -1).all()
        alive = trained.decoder.features[2][-1].branch[0].convolution.bias[:SILENT] > -1
        assert alive.all() if not encoder_only else not alive.any()
