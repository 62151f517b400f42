# SPDX-License-Identifier: Apache-2.0
"""What Evidently's own interface shows: a project for each model with its curves, snapshots that grow old and go."""

from __future__ import annotations

import uuid

from evidently.core.report import Snapshot
from evidently.sdk.models import PanelMetric, ProjectModel
from evidently.sdk.panels import line_plot_panel
from evidently.ui.workspace import Workspace

from mlops.monitoring.adapters.report_store import Kept, prune


def show(snapshot: Snapshot, folder: str, name: str, project_id: uuid.UUID, kept: Kept) -> None:
    """Add a snapshot to the project of a model, which is made when it is the first."""
    workspace = Workspace.create(folder)
    if workspace.get_project(project_id) is None:
        _make(workspace, name, project_id)
    workspace.add_run(project_id, snapshot, include_data=False)
    prune(f"{folder}/{project_id}/snapshots", ".json", kept)


def _make(workspace: Workspace, name: str, project_id: uuid.UUID) -> None:
    project = workspace.add_project(ProjectModel(id=project_id, name=name))
    curves: tuple[tuple[str, str, str, dict[str, str]], ...] = (
        ("Share of columns that drifted", "share", "DriftedColumnsCount", {"value_type": "share"}),
        ("Rows", "rows", "RowCount", {}),
        (
            "Missing values of all columns",
            "share",
            "DatasetMissingValueCount",
            {"value_type": "share"},
        ),
    )
    for title, legend, metric, labels in curves:
        shown = PanelMetric(legend=legend, metric=metric, metric_labels=labels)
        project.dashboard.add_panel(line_plot_panel(title, [shown], size="half"), tab="Windows")
