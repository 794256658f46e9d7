"""Claim: a checkpoint folder belongs to one configuration on one set of tiles, as run.json in it says."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

from geomeld.core.config import to_json
from geomeld.core.errors import CheckpointError
from geomeld.dataset import Dataset
from geomeld.dataset.files import write_atomically
from geomeld.models.weights import WEIGHTS
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.start import Tiles

RUN = "run.json"

HOW_NOT_WHAT = ("workers", "strict", "save_every", "keep", "best_of", "accumulate", "compile")
"""Fields that a resumed run may change: they decide how it is computed, not what."""


def claim(out: Path, config: PretrainConfig, dataset: Dataset, tiles: Tiles) -> None:
    """Take the folder for this configuration and these tiles. Raises CheckpointError where it is another's."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out} is a file; give a folder for the checkpoint.")
    if any(out.glob("*.tar")):
        raise CheckpointError(f"{out} holds a dataset; give another folder for the checkpoint.")
    out.mkdir(parents=True, exist_ok=True)
    held = json.dumps([tiles.train, tiles.captions, to_json(dataset.statistics())]).encode()
    inputs = blake2b(held, digest_size=16).hexdigest()
    wanted = {"config": to_json(config), "tiles": len(dataset), "inputs": inputs}
    if (out / RUN).exists():
        _check_same(out, _stored_run(out / RUN), json.loads(json.dumps(wanted)))
    elif (out / WEIGHTS).exists():
        raise CheckpointError(f"{out} holds a checkpoint that no run of this folder wrote; give another folder.")
    write_atomically(out / RUN, (json.dumps(wanted, indent=1, sort_keys=True) + "\n").encode())


def _stored_run(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
        return {"config": dict(stored["config"]), "inputs": stored.get("inputs")}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}. Give another folder.") from None


def _check_same(out: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    differ = [k for k, v in wanted["config"].items() if k not in HOW_NOT_WHAT and stored["config"].get(k) != v]
    if differ:
        raise CheckpointError(
            f"{out} holds a run with another configuration ({', '.join(differ)}; see {RUN}); give another folder."
        )
    if stored["inputs"] != wanted["inputs"]:
        raise CheckpointError(
            f"{out} holds a run on other tiles or captions than the dataset has now; give another folder."
        )
