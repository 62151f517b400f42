# SPDX-License-Identifier: Apache-2.0
"""Files and models whose upload is killed on either side: whole in the end, and there once."""

from __future__ import annotations

import hashlib
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from mlops.client.mlflow_rest.server import MlflowServer
from mlops.client.mlflow_rest.state import NewRun
from servers.programs import until

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(240)]

SIZE = 60_000_000
UPLOAD = f"""
from pathlib import Path
folder = Path("weights")
folder.mkdir()
(folder / "MLmodel").write_text("flavors:\\n  python_function:\\n    loader_module: none\\n")
with (folder / "weights.bin").open("wb") as file:
    for number in range({SIZE} // 1_000_000):
        file.write(number.to_bytes(4, "big") * 250_000)
run = client.start_run(hardware=False)
run.log_artifact("weights/weights.bin", "deep")
run.log_model("weights", "rain", registered_name=True)
print(run.ref)
run.flush(60)
print("delivered")
os._exit(9)
"""


def digest() -> str:
    made = hashlib.sha256()
    for number in range(SIZE // 1_000_000):
        made.update(number.to_bytes(4, "big") * 250_000)
    return made.hexdigest()


def stored(place: Any) -> list[Path]:
    return [file for file in (place.server.folder / "artifacts").rglob("*") if file.is_file()]


def models_are_whole_and_there_once(place: Any, run_id: str) -> None:
    found = place.server.rows("select model_id, status from logged_models")
    versions = place.server.rows("select version, run_id from model_versions")
    files = {file.name: file for file in stored(place) if "models" in file.parts}
    copies = [file for file in stored(place) if file.name == "weights.bin"]
    assert len(found) == 1
    assert found[0][1] in (2, "READY", "LOGGED_MODEL_READY")
    assert versions == [(1, run_id)]
    assert f"model_id: {found[0][0]}" in files["MLmodel"].read_text()
    assert "python_function" in files["MLmodel"].read_text()
    assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in copies] == [digest()] * 2


@pytest.mark.parametrize("killed", ["client", "server", "both"])
def test_upload_that_is_killed_is_whole_and_there_once_in_the_end(shaky: Any, killed: str) -> None:
    shaky.server.start()
    shaky.server.call("POST", "experiments/search", json={"max_results": 1})
    child = shaky.program(UPLOAD)
    ref = next(line.strip() for line in child.stdout if not line.startswith("mlops:"))
    until(lambda: bool(stored(shaky)), 60, shaky.server.log)
    if killed != "client":
        shaky.server.kill()
    if killed != "server":
        child.kill()
    if killed != "client":
        shaky.server.start()

    said, _ = child.communicate(timeout=120)
    shaky.flush(60)

    left = shaky.listing()
    assert (left.journals, left.refused) == ((), ())
    assert ("delivered" in said) == (killed == "server")
    run_id = shaky.run_of(ref)
    assert shaky.status(run_id) == "KILLED"
    models_are_whole_and_there_once(shaky, run_id)


def test_client_that_is_killed_at_any_moment_of_a_model_leaves_one(shaky: Any) -> None:
    shaky.server.start()
    shaky.server.call("POST", "experiments/search", json={"max_results": 1})
    small = UPLOAD.replace(f"{SIZE} //", "2_000_000 //").replace("mkdir()", "mkdir(exist_ok=True)")
    for number in range(6):
        child = shaky.program(small.replace('"rain", registered', f'"rain{number}", registered'))
        next(line for line in child.stdout if not line.startswith("mlops:"))
        time.sleep(0.03 * number)
        child.kill()
        child.communicate()
    shaky.flush(60)

    models = shaky.server.rows("select name, status from logged_models")
    versions = shaky.server.rows("select name, version from model_versions")
    assert sorted(name for name, _ in models) == [f"rain{number}" for number in range(6)]
    assert sorted(versions) == [(f"rain{number}", 1) for number in range(6)]
    assert shaky.listing().journals == ()


def test_twin_that_a_lost_answer_made_is_removed_unless_anything_was_logged_to_it(
    place: Any,
) -> None:
    server = MlflowServer(place.server.uri, "rain", "rain")
    ref = uuid.uuid4().hex
    kept, empty, used = (server.create_run(NewRun(ref, "twin", 1000, {})) for _ in range(3))
    place.server.call(
        "POST",
        "runs/log-metric",
        "rain",
        json={"run_id": used, "key": "a", "value": 1, "timestamp": 1},
    )

    server.remove_twins(ref, kept)
    server.remove_twins(ref, kept)

    states = {run_id: server.run(run_id).deleted for run_id in (kept, empty, used)}
    server.close()
    assert states == {kept: False, empty: True, used: False}
    assert "mlops.client_run" not in place.tags(empty)
