# SPDX-License-Identifier: Apache-2.0
"""What plain clients log can be asked for on the bus."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.chassis.errors import RejectedError

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(180)]

WORK = """
import mlflow
from mlflow import MlflowClient

class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return model_input

apple = {"mlops": {"apple_compatibility": {"mlx": "no: pickled Python", "mps": "yes"}}}
for technique, accuracy in (("lora", 0.9), ("baseline", 0.8)):
    tags = {"mlops.technique": technique, "mlops.system.chip": "M4", "hw.energy_j": str(accuracy * 10)}
    mlflow.set_experiment("rain")
    with mlflow.start_run(run_name=technique, tags=tags) as run:
        for step in range(3):
            mlflow.log_metric("accuracy", accuracy * step / 2, step=step)
        if technique == "lora":
            mlflow.pyfunc.log_model(name="model", python_model=Same(), metadata=apple, registered_model_name="rain", pip_requirements=["mlflow"])
    print(run.info.run_id)
MlflowClient().set_registered_model_tag("rain", "team", "sky")
"""


async def test_runs_and_models_are_told_to_who_asks(tracking: Any, listener: Any) -> None:
    await listener.register("rain", metric="accuracy")
    await tracking.run_client(WORK)
    await listener.wait_for(1, "model.promoted")

    async def ask(verb: str, **question: str) -> dict[str, Any]:
        found: dict[str, Any] = await listener.bus.ask("tracking", verb, question)
        return found

    runs = {run["name"]: run for run in (await ask("runs", project="rain"))["runs"]}
    lora, baseline = runs["lora"]["run_id"], runs["baseline"]["run_id"]
    compared = await ask("compare", runs=f"{baseline},{lora}")
    (chip,) = (await ask("techniques", project="rain"))["chips"]
    points = await ask("points", run_id=lora, limit="2")
    (model,) = (await ask("models", tag="team=sky", compatible="mps"))["models"]
    (version,) = (await ask("model", project="rain", name="rain"))["model"]["versions"]
    with pytest.raises(
        RejectedError, match="no project 'snow' in tracking; there are default, rain"
    ):
        await ask("runs", project="snow")

    rows = {row["name"]: row for row in compared["rows"]}
    assert (rows["accuracy"]["best"], rows["energy_j"]["best"]) == (1, 0)
    assert runs["lora"]["models"] == [{"name": "rain", "version": 1}]
    assert chip["best"]["metric"] == "lora"
    assert len(points["points"]) >= 2
    assert (model["champion"], model["apple_compatibility"]["mps"]) == (1, "yes")
    assert version["gate"]["decision"] == "promoted"
    assert version["flavors"] == ["python_function"]
    assert (await ask("models", compatible="mlx"))["models"] == []
