# SPDX-License-Identifier: Apache-2.0
"""Folders of mlx-lm, wrapped as they are; with mlx-lm itself where it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from mlops.client.callbacks.mlx import MLXCallback
from mlops.client.errors import MLOpsClientError
from mlops.client.models import ModelWarning, save

pytestmark = [
    pytest.mark.timeout(240),
    # MLflow with a newer pandas than the platform's.
    pytest.mark.filterwarnings("ignore:Operation with range:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Operation with range:FutureWarning"),
]
_WHY = "mlx-lm is not installed here: pip install mlx-lm, and run this file"
CONFIG = {
    "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "vocab_size": 64,
    "head_dim": 8, "max_position_embeddings": 128, "rope_theta": 10000,
    "tie_word_embeddings": False, "eos_token_id": 2,
}  # fmt: skip


def _need(module: str) -> Any:
    return pytest.importorskip(module, reason=_WHY)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(b"\x02\x00\x00\x00\x00\x00\x00\x00{}")
    return folder


def test_a_folder_is_wrapped_with_its_files(tmp_path: Path, files: Path) -> None:
    package = save(files, tmp_path / "m", name="chat")

    assert package.flavors == ("mlx_lm", "python_function")
    assert (package.folder / "model" / "config.json").read_text() == json.dumps(CONFIG)
    info = mlflow.models.get_model_info(str(package.folder))
    assert info.signature.inputs.input_names() == ["prompt"]
    assert info.metadata["mlops"]["apple_compatibility"]["mlx"] == "yes"


def test_an_adapter_needs_the_name_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapters.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text("{}")

    with pytest.raises(MLOpsClientError, match="does not name the model that it adapts"):
        save(tmp_path, tmp_path.with_name("out"), name="chat")


def test_an_adapter_of_a_base_on_this_disk_warns(tmp_path: Path, files: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapters.safetensors").write_bytes(b"")
    (adapter / "adapter_config.json").write_text(json.dumps({"model": str(files)}))

    with pytest.warns(ModelWarning, match="on this machine only"):
        package = save(adapter, tmp_path / "m", name="chat")

    assert json.loads((package.folder / "spec.json").read_text())["base"] == str(files)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A language model of random weights and 61 words."""
    llama = _need("mlx_lm.models.llama")
    writing = _need("mlx_lm.utils")
    tokenizers = _need("tokenizers")
    folder = tmp_path / "tiny"
    words = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(61))]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({one: at for at, one in enumerate(words)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    _need("transformers").PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    writing.save_model(folder, llama.Model(llama.ModelArgs.from_dict(CONFIG)))
    writing.save_config(dict(CONFIG), folder / "config.json")
    return folder


def test_a_wrapped_folder_writes_text(tmp_path: Path, tiny: Path) -> None:
    package = save(tiny, tmp_path / "m", name="chat")

    loaded = mlflow.pyfunc.load_model(str(package.folder))
    prompts = pd.DataFrame({"prompt": ["w1 w2", "w3"]})
    said = loaded.predict(prompts, params={"max_tokens": 4})
    assert [len(text.split()) <= 4 for text in said] == [True, True]


def test_a_loaded_model_knows_how_it_was_made(tmp_path: Path, tiny: Path) -> None:
    model, _ = _need("mlx_lm").load(str(tiny))
    tokens = np.array([[1, 2, 3]])

    package = save(model, tmp_path / "m", name="chat", input_example=tokens)

    said = mlflow.pyfunc.load_model(str(package.folder)).predict(tokens)
    assert said.shape == (1, 3, 64)


def test_the_training_loop_of_mlx_lm_is_logged(tmp_path: Path, tiny: Path) -> None:
    trainer = _need("mlx_lm.tuner.trainer")
    optimiser = _need("mlx.optimizers").Adam(1e-3)
    logged: list[tuple[int | None, dict[str, float]]] = []

    class Run:
        def log_metrics(self, metrics: Any, /, *, step: int | None = None) -> None:
            logged.append((step, dict(metrics)))

    model, _ = _need("mlx_lm").load(str(tiny))
    rows = [([1, 5, 6, 7, 8, 2], 0) for _ in range(8)]
    arguments = trainer.TrainingArgs(
        batch_size=4, iters=4, val_batches=1, steps_per_report=2, steps_per_eval=2,
        steps_per_save=4, max_seq_length=32, adapter_file=str(tmp_path / "adapters.safetensors"),
    )  # fmt: skip
    trainer.train(
        model,
        optimiser,
        rows,
        rows,
        arguments,
        training_callback=MLXCallback(Run()),
    )

    assert [(step, "train_loss" in one, "val_loss" in one) for step, one in logged] == [
        (0, False, True), (1, False, True), (2, True, False), (3, False, True), (4, True, False),
    ]  # fmt: skip
    trained = logged[2][1]
    assert {"learning_rate", "tokens_per_second", "iterations_per_second"} <= trained.keys()
    assert trained["system/mlx_peak_memory_gb"] > 0
