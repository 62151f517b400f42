# SPDX-License-Identifier: Apache-2.0
"""Texts: a language model of mlx-lm that writes text piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MAX_TOKENS = 256


class Texts:
    """A folder with config, safetensors and tokenizer, as mlx-lm keeps a model; nothing is fetched from anywhere."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        import mlx_lm  # noqa: PLC0415 - seconds and half a gigabyte: only this backend pays for it

        self._lm = mlx_lm
        self._model, self._tokenizer = mlx_lm.load(str(folder / spec["file"]))[:2]

    def answer(self, values: Any) -> list[str]:
        """Return one text for each prompt."""
        prompts = next(iter(values.values())) if isinstance(values, dict) else values
        return [
            "".join(piece["text"] for piece in self.generate(str(prompt), max_tokens=_MAX_TOKENS))
            for prompt in prompts.ravel()
        ]

    def generate(
        self,
        messages: list[dict[str, str]] | str,
        *,
        max_tokens: int = _MAX_TOKENS,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: list[str] | None = None,
        seed: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield pieces of text; the last one has the `finish_reason`."""
        from mlx_lm.sample_utils import make_sampler  # noqa: PLC0415 - as above

        if seed is not None:
            import mlx.core as mx  # noqa: PLC0415 - as above

            mx.random.seed(seed)
        told = self._lm.stream_generate(
            self._model,
            self._tokenizer,
            self._prompt(messages),
            max_tokens=max_tokens,
            sampler=make_sampler(temp=temperature, top_p=top_p),
        )
        yield from until_stopped((_piece(one) for one in told), stop or [])

    def _prompt(self, messages: list[dict[str, str]] | str) -> Any:
        if isinstance(messages, str):
            return messages
        if getattr(self._tokenizer, "chat_template", None):
            return self._tokenizer.apply_chat_template(messages, add_generation_prompt=True)
        return "\n".join([*(f"{one['role']}: {one['content']}" for one in messages), "assistant:"])


def until_stopped(pieces: Iterator[dict[str, Any]], stop: list[str]) -> Iterator[dict[str, Any]]:
    """Yield pieces until one of the *stop* texts, which is not told itself, or the end.

    What may become a stop text is held back until the next piece shows whether it does.
    """
    held = ""
    for piece in pieces:
        held += piece["text"]
        ends = [place for place in (held.find(one) for one in stop) if place >= 0]
        if ends:
            yield {**piece, "text": held[: min(ends)], "finish_reason": "stop"}
            return
        safe = len(held) if piece["finish_reason"] else len(held) - _open(held, stop)
        yield {**piece, "text": held[:safe]}
        held = held[safe:]


def _open(text: str, stop: list[str]) -> int:
    """Return how many characters at the end may be the beginning of a stop text."""
    longest = max((len(one) for one in stop), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(one.startswith(text[-length:]) for one in stop):
            return length
    return 0


def _piece(one: Any) -> dict[str, Any]:
    return {
        "text": one.text,
        "finish_reason": one.finish_reason,
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.generation_tokens,
    }
