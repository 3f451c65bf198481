"""Sizes computed from architecture numbers, against the published figures."""

import pytest

from serving.catalog import Catalog, DeepseekV3, Model
from serving.catalog.arithmetic import (
    active_parameters,
    kv_bytes_per_token,
    kv_elements_per_token,
    mtp_parameters,
    parameters,
)
from serving.catalog.model import Published

BILLION = 1_000_000_000
CATALOG = Catalog.load()
PUBLISHED = [model for model in CATALOG if model.published is not None]
SPARSE = [model for model in PUBLISHED if isinstance(model.architecture, DeepseekV3)]


def figures(model: Model) -> Published:
    assert model.published is not None
    return model.published


def sparse(name: str) -> DeepseekV3:
    architecture = CATALOG.resolve(name).architecture
    assert isinstance(architecture, DeepseekV3)
    return architecture


def test_every_real_model_has_published_figures() -> None:
    assert len(PUBLISHED) == 8
    assert len(SPARSE) == 2


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_parameters_are_the_published_ones(model: Model) -> None:
    total = parameters(model.architecture).total / BILLION
    # Published to the last digit given: 671.03 to two decimals, the distills to three.
    digits = 2 if model in SPARSE else 3
    assert round(total, digits) == figures(model).parameters_billion


@pytest.mark.parametrize("model", SPARSE, ids=lambda model: model.id)
def test_active_parameters_count_the_head_and_not_the_embedding(model: Model) -> None:
    architecture = model.architecture
    active = active_parameters(architecture)
    assert round(active / BILLION, 1) == figures(model).active_parameters_billion
    embedding = parameters(architecture).embedding
    assert round((active + embedding) / BILLION, 1) == 37.6
    assert round((active - embedding) / BILLION, 1) == 35.7


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_kv_cache_per_token_is_the_published_one(model: Model) -> None:
    published = figures(model)
    assert kv_bytes_per_token(model.architecture) == published.kv_bytes_per_token
    with_mtp = kv_bytes_per_token(model.architecture, mtp=True)
    extra = published.mtp_kv_bytes_per_token or 0
    assert with_mtp == published.kv_bytes_per_token + extra


def test_fp8_halves_the_kv_cache() -> None:
    r1 = sparse("deepseek-r1")
    assert kv_bytes_per_token(r1, element_bytes=1) == 35_136
    assert kv_elements_per_token(r1) == 35_136


@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_weight_files_have_the_published_size(model: Model) -> None:
    published, size = figures(model), model.weight_bytes
    assert size.total / BILLION == pytest.approx(published.weights_gb, abs=0.006)
    if published.weights_without_mtp_gb is not None:
        assert round(size.without_mtp / BILLION, 2) == published.weights_without_mtp_gb


def test_r1_down_to_the_last_parameter() -> None:
    count = parameters(sparse("deepseek-r1"))
    assert count.total == 671_026_419_200
    assert count.routed == 58 * 256 * 3 * 7168 * 2048
    # One expert index over all its layers in FP8, scales included.
    routed = CATALOG.resolve("deepseek-r1").weight_bytes.routed
    assert routed / 256 == pytest.approx(2.554e9, rel=1e-3)


def test_mtp_is_part_of_the_sparse_models_only() -> None:
    # A 13.46-billion layer: 11.5 of experts, 1.85 of copied vocabulary matrices, the rest.
    assert round(mtp_parameters(sparse("deepseek-r1")) / BILLION, 2) == 13.46
    assert mtp_parameters(sparse("r1-nano")) == 0
    assert mtp_parameters(CATALOG.resolve("deepseek-r1:7b").architecture) == 0


def test_tied_embeddings_count_once_and_still_multiply() -> None:
    architecture = CATALOG.resolve("r1-distill-nano").architecture
    count = parameters(architecture)
    assert architecture.tie_word_embeddings
    assert count.head == 0
    assert active_parameters(architecture) == count.total
