"""Evaluators: contrastive models that must prove themselves, and a control; AUC against scikit-learn."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from geomeld.caption.evaluators import contrast, random
from geomeld.caption.evaluators.contrast import Contrast, Pair, Proof, auc, phrases_of, prove, standing
from geomeld.caption.facts import facts_of
from geomeld.core.errors import CheckpointError, ConfigError
from geomeld.dataset import Dataset
from geomeld.testing import tiny_dataset
from geomeld.testing.scenes import SCENES

FARM = SCENES["farm"]
DRAFTS = (
    "Cropland covers the flat land.",
    "Cropland dominates the flat land, with patches of trees.",
    "Cropland covers the flat land, crossed by a river.",
)
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


class Words:
    """A model in which a tile looks like the words that are put down for it."""

    def __init__(self, seen: dict[int, str]) -> None:
        self.seen = seen

    def identity(self) -> dict[str, Any]:
        """A name."""
        return {"backend": "words"}

    def image(self, tile_id: int) -> NDArray[np.float32] | None:
        """The vector of the tile's words."""
        return self.texts([self.seen[tile_id]])[0][0] if tile_id in self.seen else None

    def texts(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Hashed bags of words of unit length."""
        out = np.zeros((len(texts), 64), np.float32)
        for row, text in zip(out, texts, strict=True):
            for word in text.lower().strip(".").split():
                row[sum(map(ord, word)) % 64] += 1
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9), np.zeros(len(texts), bool)


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matched, shuffled = rng.integers(0, 12, 40) / 10 + 0.2, rng.integers(0, 12, 300) / 10  # with ties
    labels = np.r_[np.ones(40), np.zeros(300)]
    assert auc(matched, shuffled) == pytest.approx(roc_auc_score(labels, np.r_[matched, shuffled]))
    assert np.isnan(auc(matched, np.array([])))


def pairs(n: int) -> list[Pair]:
    things = ("forest", "lake", "river", "town", "desert", "marsh", "snow", "road")
    return [Pair(k, 10.0, f"{things[k % 8]} number {k} on flat land") for k in range(n)]


def test_a_model_that_sees_earns_its_weight_and_a_blind_one_does_not() -> None:
    told = pairs(40)
    sharp = prove(Words({p.tile_id: p.text for p in told}), told)[10.0]
    blind = prove(Words({p.tile_id: told[(7 * p.tile_id + 3) % 40].text for p in told}), told)[10.0]
    few = prove(Words({p.tile_id: p.text for p in told}), told[:5])[10.0]
    assert sharp.earned
    assert sharp.auc > 0.95
    assert not blind.earned
    assert blind.auc < contrast.EARNED_FROM
    assert (few.tiles, few.earned) == (5, False)
    assert prove(Words({}), told)[10.0].tiles == 0


def test_equal_sentences_are_no_shuffled_pairs() -> None:
    same = [Pair(k, 10.0, "forest" if k % 2 else "lake") for k in range(30)]
    proof = prove(Words({p.tile_id: p.text for p in same}), same)[10.0]
    assert proof == Proof(1.0, 30)


def test_the_total_is_the_weighed_sum_of_its_parts() -> None:
    facts = facts_of(FARM)
    model = Words({FARM.tile_id: "cropland crossed by a river"})
    table = Contrast(model, {FARM.gsd_m: Proof(0.9, 50)})(DRAFTS, FARM, facts)
    parts = [s.parts for s in sorted(table, key=lambda s: s.candidate)]
    for name in ("caption", "phrases"):
        values = np.array([p[name] for p in parts])
        image = model.image(FARM.tile_id)
        assert image is not None
        if name == "caption":
            assert values == pytest.approx(model.texts(DRAFTS)[0] @ image, abs=1e-5)
    z = {n: standing(np.array([p[n] for p in parts])) for n in ("caption", "phrases")}
    for k, score in enumerate(sorted(table, key=lambda s: s.candidate)):
        p = parts[k]
        wanted = 0.25 * z["caption"][k] + 0.25 * z["phrases"][k] + 0.35 * p["agreement"] + 0.15 * p["coverage"]
        assert score.total == pytest.approx(wanted - p["conflicts"], abs=1e-4)
        assert p["weight"] == 0.5
    assert [s.total for s in table] == sorted((s.total for s in table), reverse=True)
    assert table[0].candidate == 2


@pytest.mark.parametrize(("proof", "seen"), [(Proof(0.59, 50), True), (Proof(0.99, 5), True), (Proof(0.99, 50), False)])
def test_without_proof_or_picture_signals_alone_decide(proof: Proof, seen: bool) -> None:
    model = Words({FARM.tile_id: "a river crosses"} if seen else {})
    table = Contrast(model, {FARM.gsd_m: proof})(DRAFTS, FARM, facts_of(FARM))
    for score in table:
        wanted = 0.35 * score.parts["agreement"] + 0.15 * score.parts["coverage"] - score.parts["conflicts"]
        assert score.total == pytest.approx(wanted, abs=1e-5)
        assert score.parts.get("weight", 0.0) == 0.0
        assert ("caption" in score.parts) == seen  # raw cosines are kept, whatever they count for


def test_broken_cosines_are_no_cosines() -> None:
    class Broken(Words):
        def texts(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
            vectors, cut = super().texts(texts)
            return np.full_like(vectors, np.nan), cut

    told = pairs(30)
    broken = Broken({**{p.tile_id: p.text for p in told}, FARM.tile_id: "x"})
    proof = prove(broken, told)[10.0]
    assert np.isnan(proof.auc)
    assert not proof.earned
    table = Contrast(broken, {FARM.gsd_m: Proof(0.9, 50)})(DRAFTS, FARM, facts_of(FARM))
    assert all(np.isfinite(s.total) and "caption" not in s.parts for s in table)


def test_the_record_says_what_was_tested_and_what_it_counts() -> None:
    said = Contrast(Words({}), {10.0: Proof(0.55, 80), 1.0: Proof(0.7123456, 30)}).identity()
    assert said == {
        "backend": "words",
        "tests": {
            "1 m": {"auc": 0.7123, "tiles": 30, "weight": 0.5},
            "10 m": {"auc": 0.55, "tiles": 80, "weight": 0.0},
        },
    }
    json.dumps(said)


def test_phrases_reach_from_the_first_adjective_to_the_noun() -> None:
    assert phrases_of("Dense forest covers the hills, with a few small lakes but no snow.") == [
        "dense forest", "hills", "a few small lakes"
    ]  # fmt: skip
    assert phrases_of("") == []


def test_the_control_is_random_and_repeats_itself() -> None:
    facts = facts_of(FARM)
    first = random.rank(DRAFTS, FARM, facts, seed=1)
    assert first == random.rank(DRAFTS, FARM, facts, seed=1)
    tops = [random.rank(DRAFTS, FARM, facts, seed=s)[0].candidate for s in range(300)]
    assert all(60 < tops.count(k) < 140 for k in range(3))


# --- open_clip itself ---

pytestmark_clip = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.fixture(scope="module")
def tiny_arch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small architecture that open_clip has been told of."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    folder = tmp_path_factory.mktemp("architectures")
    (folder / "tiny-vit-test.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder)
    return "tiny-vit-test"


@pytest.fixture(scope="module")
def checkpoint(tiny_arch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of it in a file."""
    import open_clip
    import torch

    torch.manual_seed(0)
    network = open_clip.create_model(tiny_arch)
    file = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, file)
    return file


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four small tiles."""
    return tiny_dataset(tmp_path_factory.mktemp("data") / "d", 4)


@pytestmark_clip
def test_openclip_embeds_what_open_clip_embeds(tiny_arch: str, checkpoint: Path, dataset: Dataset) -> None:
    import open_clip
    import torch
    from PIL import Image

    from geomeld.caption.evaluators import openclip
    from geomeld.caption.images import picture_of

    evaluator = openclip.open_model(f"{tiny_arch}:{checkpoint}", dataset, [])
    tile_id = dataset.tile_ids[0]
    image = evaluator.model.image(tile_id)
    texts, cut = evaluator.model.texts([*DRAFTS, "word " * 200])
    assert image is not None
    assert image.shape == (16,)
    assert texts.shape == (4, 16)
    assert np.linalg.norm(texts, axis=1) == pytest.approx(1, abs=1e-5)
    assert cut.tolist() == [False, False, False, True]
    network = open_clip.create_model(tiny_arch, force_quick_gelu=True).eval()
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    network.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    shown = picture_of(dataset[tile_id], 32)
    assert shown is not None
    import io

    transform = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        own = network.encode_image(transform(Image.open(io.BytesIO(shown.data)))[None], normalize=True)[0].numpy()
        said = network.encode_text(open_clip.get_tokenizer(tiny_arch)(list(DRAFTS)), normalize=True).numpy()
    assert image == pytest.approx(own, abs=1e-4)
    assert texts[:3] == pytest.approx(said, abs=1e-4)


@pytestmark_clip
def test_quick_gelu_is_decided_by_the_pairs(tiny_arch: str, checkpoint: Path, dataset: Dataset) -> None:
    from geomeld.caption.evaluators import openclip

    told = [Pair(t, 10.0, DRAFTS[k % 3]) for k, t in enumerate(dataset.tile_ids)]
    said = openclip.open_model(f"{tiny_arch}:{checkpoint}", dataset, told).identity()
    aucs = said["quick_gelu_auc"]
    assert said["quick_gelu"] == (aucs["with"] >= aucs["without"])
    assert said["tests"]["10 m"]["auc"] == pytest.approx(max(aucs.values()), abs=1e-4)
    assert said["tests"]["10 m"]["weight"] == 0.0  # four tiles prove nothing
    assert len(said["weights"]) == 12
    again = openclip.open_model(f"{tiny_arch}:{checkpoint}", dataset, told)
    assert again.identity() == said


@pytestmark_clip
def test_openclip_says_what_is_wrong(tiny_arch: str, tmp_path: Path, dataset: Dataset) -> None:
    from geomeld.caption.evaluators.openclip import open_model

    with pytest.raises(ConfigError, match="RemoteCLIP-ViT-L-14"):
        open_model("NoSuchCLIP", dataset, [])
    with pytest.raises(CheckpointError, match=r"no file .*gone\.pt"):
        open_model(f"{tiny_arch}:{tmp_path / 'gone.pt'}", dataset, [])
    with pytest.raises(ConfigError, match="SkyScript"):
        open_model("SkyCLIP-ViT-L-14", dataset, [])
    (tmp_path / "bad.pt").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="holds no weights"):
        open_model(f"{tiny_arch}:{tmp_path / 'bad.pt'}", dataset, [])


def test_open_clip_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    import sys

    from geomeld.caption.evaluators.openclip import open_model
    from geomeld.core.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"geomeld\[clip\]"):
        open_model("RemoteCLIP-ViT-L-14", dataset, [])


# --- our own model, and whole runs ---


def own_checkpoint(folder: Path, seed: int) -> Path:
    """A small model of random weights that knows captions."""
    import torch

    from geomeld.modalities import MODALITIES
    from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
    from geomeld.models.spec import LayerSpec
    from geomeld.models.text import TextConfig, train_tokenizer
    from geomeld.models.weights import save_checkpoint

    torch.manual_seed(seed)
    tokenizer = train_tokenizer(DRAFTS, 280)
    spec = LayerSpec.of(MODALITIES["sentinel2"], tuple(range(1000, 2200, 100)), (500.0,) * 12)
    text = TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=1, heads=2)
    config = ModelConfig(spec, (spec,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
    save_checkpoint(GeoMeldFM(config, tokenizer), folder)
    return folder


def test_own_model_embeds_what_search_embeds(tmp_path: Path, dataset: Dataset) -> None:
    from geomeld.caption.evaluators.geomeld import OwnModel
    from geomeld.search.index import embed

    folder = own_checkpoint(tmp_path / "model", 0)
    model, index = OwnModel(folder, dataset), embed(dataset, folder, tmp_path / "index")
    for tile_id in dataset.tile_ids:
        assert model.image(tile_id) == pytest.approx(index.vector_of(tile_id), abs=1e-5)
    assert model.texts(DRAFTS)[0][0] == pytest.approx(index.encode(DRAFTS[0]), abs=1e-5)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        OwnModel(tmp_path / "nothing", dataset)


def test_a_run_keeps_the_score_table_and_what_the_model_proved(tmp_path: Path) -> None:
    from geomeld.caption.config import CaptionConfig
    from geomeld.caption.run import caption_dataset
    from geomeld.caption.table import NAME, read_captions

    path, folder = tiny_dataset(tmp_path / "d", 3).path, own_checkpoint(tmp_path / "model", 0)
    config = CaptionConfig(evaluator=f"geomeld:{folder}")
    summary = caption_dataset(path, config)
    assert summary.evaluator["tests"]["10 m"]["tiles"] == 3
    assert summary.evaluator["tests"]["10 m"]["weight"] == 0.0
    records = read_captions(path)
    for record in records.values():
        assert record["provenance"]["evaluator"] == {"name": config.evaluator, **summary.evaluator}
        assert len(record["scores"]) == len(record["candidates"])
        assert all({"caption", "phrases", "agreement", "weight"} <= set(s["parts"]) for s in record["scores"])
    table = (path / NAME).stat().st_mtime_ns
    assert caption_dataset(path, config).evaluator == summary.evaluator
    assert (path / NAME).stat().st_mtime_ns == table  # nothing is done twice
    own_checkpoint(folder, 1)  # other weights under the same name
    assert caption_dataset(path, config).evaluator["weights"] != summary.evaluator["weights"]
    assert read_captions(path) != records


@pytest.mark.parametrize("name", ["clip", "openclip", "geomeld", "signals:x", ""])
def test_an_evaluator_that_does_not_exist(name: str) -> None:
    from geomeld.caption.config import CaptionConfig

    with pytest.raises(ConfigError, match="openclip:NAME"):
        CaptionConfig(evaluator=name)
