# SPDX-License-Identifier: Apache-2.0
"""Artifacts that cannot be reached make the service unready, with the fix, until they can be again."""

from __future__ import annotations

import threading

import pytest

from mlops.tracking.adapters import artifact_watch
from mlops.tracking.adapters.artifact_watch import ArtifactWatch, explain


class Shelf:
    """An artifact store that answers or refuses."""

    def __init__(self, *answers: Exception | None) -> None:
        self._answers = list(answers)
        self.asked = 0

    def list_artifacts(self, path: str | None) -> list[str]:
        del path
        self.asked += 1
        if (error := self._answers.pop(0)) is not None:
            raise error
        return []


async def test_a_folder_is_taken_for_well() -> None:
    shelf = Shelf()

    assert await ArtifactWatch("/home/artifacts", shelf).check() is None
    assert shelf.asked == 0


async def test_what_fails_is_said_until_it_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifact_watch, "_ILL_FOR_S", 0.0)
    shelf = Shelf(RuntimeError("The specified bucket does not exist"), None)
    watch = ArtifactWatch("s3://bucket", shelf)

    first, second, third = [await watch.check() for _ in range(3)]

    assert first == (
        "artifacts s3://bucket: The specified bucket does not exist; "
        "create the bucket, or correct TRACKING_ARTIFACTS"
    )
    assert (second, third) == (None, None)
    assert shelf.asked == 2


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("The request signature we calculated does not match", "correct AWS_SECRET_ACCESS_KEY"),
        ("Unable to locate credentials", "set AWS_ACCESS_KEY_ID"),
        ('Could not connect to the endpoint URL: "http://x"', "AWS_ENDPOINT_URL_S3"),
        ("something else", "see the error"),
    ],
)
def test_an_error_comes_with_its_fix(error: str, fix: str) -> None:
    assert fix in explain("s3://bucket", error).rpartition("; ")[2]


class SilentShelf:
    """An artifact store that accepts connections and says nothing."""

    def __init__(self) -> None:
        self.asked = 0
        self.speak = threading.Event()

    def list_artifacts(self, path: str | None) -> list[str]:
        del path
        self.asked += 1
        self.speak.wait(10)
        return []


async def test_a_store_that_keeps_silent_holds_one_thread_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(artifact_watch, "_ILL_FOR_S", 0.0)
    monkeypatch.setattr(artifact_watch, "_PATIENCE_S", 0.01)
    shelf = SilentShelf()
    watch = ArtifactWatch("s3://bucket", shelf)

    said = [await watch.check() for _ in range(5)]
    shelf.speak.set()
    monkeypatch.setattr(artifact_watch, "_PATIENCE_S", 5.0)

    assert all("no answer within" in str(each) for each in said)
    assert await watch.check() is None
    assert shelf.asked == 1
