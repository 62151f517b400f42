# SPDX-License-Identifier: Apache-2.0
"""SaveOnRequest: a callback of mlx-lm that saves, and ends the training, when the machine's heat asks for it.

callback = SaveOnRequest(lambda folder: save_adapters(model, folder), wrapped=MLXCallback(run))
train(…, training_callback=callback)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops.client.checkpoints import Checkpoints


class SaveOnRequest:
    """Looks for a request at each report of the loss; *save* gets the folder to write to, *wrapped* is told first."""

    def __init__(
        self,
        save: Callable[[Path], object],
        *,
        checkpoints: Checkpoints | None = None,
        wrapped: Any = None,
    ) -> None:
        self.checkpoints = checkpoints or Checkpoints()
        self._save = save
        self._wrapped = wrapped

    def on_train_loss_report(self, train_info: Mapping[str, Any]) -> None:
        """Save if it is asked for; called by mlx-lm."""
        if self._wrapped is not None:
            self._wrapped.on_train_loss_report(train_info)
        request = self.checkpoints.requested()
        if request is not None:
            self._save(self.checkpoints.folder)
            self.checkpoints.done(request)

    def on_val_loss_report(self, val_info: Mapping[str, Any]) -> None:
        """Pass it on; called by mlx-lm."""
        if self._wrapped is not None:
            self._wrapped.on_val_loss_report(val_info)
