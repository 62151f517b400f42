# SPDX-License-Identifier: Apache-2.0
"""A version of a dataset is read where it lies in the cache: mapped, read-only, whatever becomes of the file after."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather
from safetensors.numpy import save_file

from mlops.client import Dataset, MLOpsClient
from mlops.client.endpoints import Endpoints
from mlops.client.errors import BadInputError, MLOpsClientError, NoAnswerError, NotFoundError
from mlops.client.system.datasets import Opened, opened

ROWS = {"day": [1, 2, 3], "rain": [0.5, None, 1.5]}


class Cache:
    """A cache in DVC's layout, and versioning's answers about what is in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.answers: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []

    def keep(self, content: bytes, ending: str = "") -> str:
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest() + ending
        path = self.root / oid[:2] / oid[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o444)
        return oid

    def holds(self, name: str, content: bytes) -> None:
        """Let the next answer be a version that is one file."""
        self._answer(self.keep(content), name, len(content))

    def holds_folder(self, files: dict[str, bytes]) -> None:
        """Let the next answer be a version that is a folder."""
        entries = [{"md5": self.keep(held), "relpath": name} for name, held in files.items()]
        listing = self.keep(json.dumps(entries).encode(), ".dir")
        self._answer(listing, "wind", sum(map(len, files.values())))

    def _answer(self, oid: str, path: str, size: int) -> None:
        told = {"project": "meadow", "name": "days", "version": 3, "hash": oid, "size_bytes": size}
        self.answers.append(
            {"ready": True, **told, "path": f"data/{path}", "objects": str(self.root)}
        )

    def reply(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(dict(request.url.params))
        return httpx.Response(200, json=self.answers.pop(0))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def client(cache: Cache) -> MLOpsClient:
    where = Endpoints("http://gateway", "secret")
    return MLOpsClient("meadow", where, transport=httpx.MockTransport(cache.reply))


def written(folder: Path, name: str) -> bytes:
    table, file = pa.table(ROWS), folder / name
    if name.endswith("parquet"):
        pq.write_table(table, file)
    elif name.endswith("arrow"):
        feather.write_feather(table, str(file), compression="uncompressed")
    elif name.endswith("stream.feather"):
        with pa.ipc.new_stream(str(file), table.schema) as writer:
            writer.write_table(table)
    elif name.endswith("jsonl"):
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    else:
        mark = "\t" if name.endswith("tsv") else ","
        file.write_text(f"day{mark}rain\n1{mark}0.5\n2{mark}\n3{mark}1.5\n")
    return file.read_bytes()


def test_a_file_is_its_bytes_in_the_cache_and_stays_when_it_is_removed(
    client: MLOpsClient, cache: Cache
) -> None:
    cache.holds("days.bin", b"content")

    data = client.open_dataset("days", version=3)
    held = data.bytes()
    data.path().unlink()

    assert held.tobytes() == b"content"
    assert held.readonly
    assert (data.name, data.version, data.size_bytes, data.files) == ("days", 3, 7, ("days.bin",))
    assert cache.asked == [{"project": "meadow", "name": "days", "version": "3"}]


def test_a_folder_is_its_files_by_name(client: MLOpsClient, cache: Cache) -> None:
    cache.holds_folder({"a/north.txt": b"one\r\ntwo\n\nfour", "south.txt": b""})

    data = client.open_dataset("days", alias="golden")

    assert data.files == ("a/north.txt", "south.txt")
    assert [line.tobytes() for line in data.lines("a/north.txt")] == [b"one", b"two", b"", b"four"]
    assert list(data.lines("south.txt")) == []
    assert cache.asked[0]["version"] == "golden"


@pytest.mark.parametrize(
    "name", ["a.parquet", "a.arrow", "a.stream.feather", "a.csv", "a.tsv", "a.jsonl"]
)
def test_tables_are_read_whole_or_in_batches(
    client: MLOpsClient, cache: Cache, tmp_path: Path, name: str
) -> None:
    cache.holds(name, written(tmp_path, name))

    data = client.open_dataset("days")

    assert data.table().to_pydict() == ROWS
    assert pa.Table.from_batches(list(data.batches())).to_pydict() == ROWS


def test_arrow_columns_are_the_mapped_file_itself(
    client: MLOpsClient, cache: Cache, tmp_path: Path
) -> None:
    cache.holds("a.arrow", written(tmp_path, "a.arrow"))
    data = client.open_dataset("days")
    before = pa.total_allocated_bytes()

    table = data.table()

    assert pa.total_allocated_bytes() == before
    assert table.num_rows == 3


def test_arrays_are_views_that_nobody_can_write_to(
    client: MLOpsClient, cache: Cache, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    weights = {"w": np.arange(4, dtype=np.float32), "b": np.array([[True, False]])}
    save_file(weights, str(tmp_path / "m.safetensors"))
    names = ("a.npy", "m.safetensors")
    cache.holds_folder({name: (tmp_path / name).read_bytes() for name in names})

    data = client.open_dataset("days")
    array, arrays = data.array("a.npy"), data.arrays("m.safetensors")

    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert isinstance(array, np.memmap)
    assert {name: found.tolist() for name, found in arrays.items()} == {
        "w": [0, 1, 2, 3],
        "b": [[True, False]],
    }
    assert not array.flags.writeable
    assert not any(found.flags.writeable or found.flags.owndata for found in arrays.values())


def of_tensors(**tensors: dict[str, Any]) -> bytes:
    header = json.dumps(tensors).encode()
    return len(header).to_bytes(8, "little") + header + bytes(16)


def test_tensors_that_numpy_does_not_know_keep_nobody_from_the_others(
    client: MLOpsClient, cache: Cache
) -> None:
    known = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    content = of_tensors(a=known, b={"dtype": "BF16", "shape": [4], "data_offsets": [8, 16]})
    cache.holds("m.safetensors", content)
    data = client.open_dataset("days")

    with pytest.raises(BadInputError, match=r"holds BF16 \('b'.*use mlx\(\), or name the other"):
        data.arrays()
    assert {name: found.tolist() for name, found in data.arrays(only=["a"]).items()} == {
        "a": [0.0, 0.0]
    }
    with pytest.raises(BadInputError, match=r"no tensor 'c'.*it has: a, b"):
        data.arrays(only=["c"])


@pytest.mark.parametrize("offsets", [[-4, 99], [8, 4], [-8, -4], [12, 20], [0]])
def test_tensors_outside_of_their_file_are_refused(
    client: MLOpsClient, cache: Cache, offsets: list[int]
) -> None:
    told = {"dtype": "F32", "shape": [-1], "data_offsets": offsets}
    cache.holds("m.safetensors", of_tensors(a=told))

    with pytest.raises(BadInputError, match="header that does not fit its bytes"):
        client.open_dataset("days").arrays()


def test_an_archive_is_not_an_array(client: MLOpsClient, cache: Cache, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3))
    cache.holds("a.npz", (tmp_path / "a.npz").read_bytes())

    with pytest.raises(BadInputError, match="archive of several arrays"):
        client.open_dataset("days").array()


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "a.arrow", "a.csv", "a.jsonl"])
def test_an_empty_file_is_refused_by_name(client: MLOpsClient, cache: Cache, name: str) -> None:
    cache.holds(name, b"")
    data = client.open_dataset("days")

    with pytest.raises(BadInputError, match=name):
        data.array() if name == "a.npy" else data.table()


def test_a_damaged_table_is_refused_by_name(
    client: MLOpsClient, cache: Cache, tmp_path: Path
) -> None:
    content = bytearray(written(tmp_path, "a.parquet"))
    content[-20:-8] = b"\xff" * 12  # in the middle of its description
    cache.holds("a.parquet", bytes(content))
    data = client.open_dataset("days")

    with pytest.raises(BadInputError, match=r"'a\.parquet' cannot be read"):
        data.table()
    with pytest.raises(BadInputError, match=r"'a\.parquet' cannot be read"):
        list(data.batches())


@pytest.mark.parametrize("read", ["bytes", "array", "table"])
def test_too_many_open_files_are_said_to_be_that(
    client: MLOpsClient, cache: Cache, tmp_path: Path, read: str
) -> None:
    cache.holds("a.arrow", written(tmp_path, "a.arrow"))
    data = client.open_dataset("days")
    pa.ipc.open_file(pa.memory_map(str(data.path())))  # what loads at first use is loaded
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened_until = os.dup(0)
    os.close(opened_until)
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened_until, limits[1]))
    try:
        with pytest.raises(MLOpsClientError, match=r"too many files are open.*ulimit -n"):
            getattr(data, read)()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_mlx_loads_what_has_no_ending_in_the_cache(
    client: MLOpsClient, cache: Cache, tmp_path: Path
) -> None:
    mx.save_safetensors(str(tmp_path / "m"), {"w": mx.array([1.0, 2.0], mx.bfloat16)})
    cache.holds("m.safetensors", (tmp_path / "m.safetensors").read_bytes())

    found = client.open_dataset("days").mlx()

    assert isinstance(found, dict)
    assert found["w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("name", "read", "problem"),
    [
        ("a.npy", "array", "no .npy file"),
        ("a.safetensors", "arrays", "no safetensors file"),
        ("a.safetensors", "mlx", "a.safetensors"),
        ("a.txt", "mlx", "is none of npy"),
        ("a.txt", "table", "is none of .arrow"),
        ("a.parquet", "table", "cannot be read"),
    ],
)
def test_what_is_something_else_is_refused_by_name(
    client: MLOpsClient, cache: Cache, name: str, read: str, problem: str
) -> None:
    cache.holds(name, b"\xff\xff\xff\xff nothing of the kind, but long enough for a header")
    data = client.open_dataset("days")

    with pytest.raises(BadInputError, match=problem):
        getattr(data, read)()


def test_a_file_that_is_not_in_it_is_refused_with_those_that_are(
    client: MLOpsClient, cache: Cache
) -> None:
    cache.holds_folder({"north.txt": b"1", "south.txt": b"2"})
    data = client.open_dataset("days")

    with pytest.raises(NotFoundError, match=r"no file 'west.txt'.*north.txt, south.txt"):
        data.bytes("west.txt")
    with pytest.raises(BadInputError, match="has 2 files"):
        data.bytes()


@pytest.mark.parametrize("read", ["bytes", "array", "table"])
def test_a_content_that_left_the_cache_says_so(
    client: MLOpsClient, cache: Cache, read: str
) -> None:
    cache.holds("a.npy" if read == "array" else "a.csv", b"1,2\n")
    data = client.open_dataset("days")
    data.path().unlink()

    with pytest.raises(NotFoundError, match="no longer in the cache"):
        getattr(data, read)()


def test_it_waits_for_what_is_still_being_fetched(client: MLOpsClient, cache: Cache) -> None:
    cache.answers.append({"ready": False})
    cache.holds("days.csv", b"1\n")

    assert client.open_dataset("days").bytes().tobytes() == b"1\n"


def test_it_waits_no_longer_than_it_was_told(client: MLOpsClient, cache: Cache) -> None:
    cache.answers.append({"ready": False})

    with pytest.raises(NoAnswerError, match="not in the cache after 0 s"):
        client.open_dataset("days", wait_s=0)


def test_a_version_and_an_alias_are_one_too_many(client: MLOpsClient) -> None:
    with pytest.raises(BadInputError, match="give one of them"):
        client.open_dataset("days", 3, alias="golden")


def test_what_was_opened_is_what_a_run_that_begins_later_has_read(
    client: MLOpsClient, cache: Cache
) -> None:
    cache.holds("days.csv", b"1\n")
    data = client.open_dataset("days", 3)
    told: list[dict[str, str]] = []

    newest = {"mlops.dataset.days": "9@newer", "mlops.dataset.wind": "1@same"}
    opened.tell("meadow", newest, lambda tags: told.append(dict(tags)))

    assert told == [{"mlops.dataset.days": f"3@{data.hash}", "mlops.dataset.wind": "1@same"}]


def test_what_another_project_has_is_no_version_of_ours(client: MLOpsClient, cache: Cache) -> None:
    cache.holds("days.csv", b"1\n")
    cache.answers[0]["project"] = "snow"
    told: list[dict[str, str]] = []

    found = client.open_dataset("days", project="snow")

    opened.tell("snow", {}, lambda tags: told.append(dict(tags)))
    assert (found.project, told) == ("snow", [{}])
    assert cache.asked[0]["project"] == "snow"


def test_a_project_that_opened_nothing_tells_what_is_newest() -> None:
    told: list[dict[str, str]] = []

    Opened().tell("rain", {"a": "1"}, lambda tags: told.append(dict(tags)))

    assert told == [{"a": "1"}]


def test_opening_needs_neither_numpy_nor_arrow() -> None:
    program = (
        "import sys; from mlops.client import Dataset; from mlops.client.datasets import opening; "
        "print(sorted({'numpy', 'pyarrow', 'mlx', 'pydantic'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
    assert Dataset.__name__ == "Dataset"
