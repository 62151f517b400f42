# SPDX-License-Identifier: Apache-2.0
"""Dataset: one version of a dataset, its files mapped into memory where they lie; nothing is copied, nothing can be changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlops.client.datasets import mapped, tabular, tensors
from mlops.client.errors import BadInputError, NotFoundError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from mlops.client.adapters.mlx_arrays import Loaded

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Dataset:
    """A version, as `MLOpsClient.open_dataset` returns it; `paths` tells where each file lies, by its name.

    The files are the cache's own: read-only, called by their content, shared by every process that opens them. What
    is open stays readable whatever becomes of the version. Where no *file* is named, the dataset's only one is meant.

    Example:
        data = client.open_dataset("rain", version=3)
        table = data.table()
        weights = data.arrays("encoder.safetensors")
    """

    project: str
    name: str
    version: int
    hash: str
    size_bytes: int
    paths: Mapping[str, Path] = field(repr=False)

    @property
    def files(self) -> tuple[str, ...]:
        """Return the names of the files, as they are called in the dataset."""
        return tuple(self.paths)

    def path(self, file: str = "") -> Path:
        """Return where a file lies; its name there has no ending, so tell readers its format."""
        return self.paths[self._named(file)]

    def bytes(self, file: str = "") -> memoryview:
        """Return a file's bytes, mapped; what is not looked at is not read.

        Each view keeps its file open until nobody has it any more: hold fewer at once than `ulimit -n` allows.
        """
        return mapped.view(self.path(file))

    def lines(self, file: str = "") -> Iterator[memoryview]:
        """Yield the lines of a text file (JSON lines, say) without their ends, as views of the mapped bytes."""
        return mapped.lines(self.bytes(file))

    def array(self, file: str = "") -> np.ndarray:
        """Return the array of a `.npy` file, mapped and read-only."""
        return tensors.array(self.path(file), self._named(file))

    def arrays(self, file: str = "", *, only: Sequence[str] = ()) -> dict[str, np.ndarray]:
        """Return the tensors of a `.safetensors` file by name, as read-only views of the mapped bytes.

        *only* names some of them; BF16 and FP8, which NumPy does not know, are for `mlx`.
        """
        return tensors.arrays(self.bytes(file), self._named(file), only)

    def mlx(self, file: str = "") -> Loaded:
        """Return what a `.npy`, `.npz`, `.safetensors` or `.gguf` file holds, as MLX loads it: when it is first used."""
        return tensors.of_mlx(self.path(file), self._named(file))

    def table(self, file: str = "") -> pa.Table:
        """Return an Arrow table; of Arrow IPC (`.arrow`, `.feather`) its columns are the mapped bytes themselves.

        Parquet, CSV, TSV and JSON lines are decoded. For what does not fit into memory see `batches`.
        """
        return tabular.table(self.path(file), self._named(file))

    def batches(self, file: str = "") -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table in Arrow's record batches, so that never all of them are in memory.

        All batches have the same columns and types. A large CSV or a file of JSON lines is read twice for that: a
        column of CSV that is not what it began as is float64 or text, a field that some lines lack is null in those.
        """
        return tabular.batches(self.path(file), self._named(file))

    def _named(self, file: str) -> str:
        if not file and len(self.paths) == 1:
            return next(iter(self.paths))
        if file in self.paths:
            return file
        some = ", ".join(list(self.paths)[:_MOST_SHOWN])
        if not file:
            told = f"{self.name} has {len(self.paths)} files"
            raise BadInputError("dataset", "read", told, f"name one: {some} …")
        told = f"{self.name} version {self.version} has no file {file!r}"
        raise NotFoundError("dataset", "read", told, f"it has: {some} …")
