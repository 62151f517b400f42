# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PLC0415 - only the kind that is asked for needs its library
"""A language model of a few kilobytes, made here: random weights and a tokenizer of sixteen words, as mlx-lm keeps them."""

from __future__ import annotations

import json
from pathlib import Path

WORDS = [
    "<s>",
    "</s>",
    "<unk>",
    *[
        "the",
        "rain",
        "falls",
        "on",
        "green",
        "hills",
        "while",
        "small",
        "birds",
        "sing",
        "and",
        "rivers",
        "rise",
    ],
]
CONFIG = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "vocab_size": len(WORDS),
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
CHAT = "{% for m in messages %}{{ m['content'] }} {% endfor %}"


def write(folder: Path) -> None:
    """Write config, weights and tokenizer."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models import llama
    from tokenizers import Tokenizer, models, pre_tokenizers

    mx.random.seed(7)
    model = llama.Model(llama.ModelArgs.from_dict(CONFIG))
    mx.save_safetensors(
        str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"}
    )
    (folder / "config.json").write_text(json.dumps(CONFIG))
    vocabulary = {word: place for place, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "chat_template": CHAT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
