# SPDX-License-Identifier: Apache-2.0
"""The `mlops` command: which words it knows; exit codes 0 ok, 1 failed, 2 input, 3 not running."""

from __future__ import annotations

from mlops.cli import words
from mlops.cli.commands import (
    administration,
    alerts,
    bench,
    checks,
    dashboard,
    data,
    data_diff,
    data_keeping,
    data_labels,
    demo,
    deployments,
    energy,
    events,
    explain,
    models,
    monitor,
    node,
    node_here,
    package,
    platform,
    policy,
    projects,
    report,
    runs,
    simulate,
    spool,
    telemetry,
    telemetry_record,
    testing,
    token,
    top,
    validate,
    workflows,
)

app = words.new("mlops", "The MLOps platform on this machine: start it, use it, understand it.")

_PLATFORM, _WORK, _MODELS = "Platform", "Projects and runs", "Models in production"
_BUS, _KEEP, _HERE = "The bus", "Keeping and moving", "This checkout"
_PASSING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app.command(rich_help_panel=_PLATFORM)(platform.up)
app.command(rich_help_panel=_PLATFORM)(platform.down)
app.command(rich_help_panel=_PLATFORM)(platform.status)
app.command(rich_help_panel=_PLATFORM)(platform.logs)
app.command(rich_help_panel=_PLATFORM)(checks.doctor)
app.command(rich_help_panel=_PLATFORM)(dashboard.dashboard)
app.command(rich_help_panel=_WORK)(validate.validate)
app.command(rich_help_panel=_WORK)(projects.register)
app.command(rich_help_panel=_WORK)(projects.projects)
data.app.command()(data_diff.diff)
data.app.command()(data_labels.alias)
data.app.command()(data_labels.tag)
data.app.command()(data_labels.remove)
data.app.command()(data_keeping.verify)
data.app.command()(data_keeping.gc)
app.add_typer(data.app, name="data", rich_help_panel=_WORK)
app.add_typer(workflows.app, name="workflow", rich_help_panel=_WORK)
app.add_typer(runs.app, name="run", rich_help_panel=_WORK)
app.command(rich_help_panel=_WORK)(energy.energy)
app.add_typer(models.app, name="model", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MODELS)(deployments.deploy)
app.command(rich_help_panel=_MODELS)(deployments.undeploy)
app.command(rich_help_panel=_MODELS)(deployments.deployments)
app.add_typer(package.app, name="package", rich_help_panel=_MODELS)
app.add_typer(monitor.app, name="monitor", rich_help_panel=_MODELS)
app.add_typer(policy.app, name="policy", rich_help_panel=_MODELS)
app.add_typer(alerts.app, name="alerts", rich_help_panel=_MODELS)
app.command(rich_help_panel=_MODELS)(report.report)
app.command(rich_help_panel=_BUS)(explain.explain)
app.add_typer(events.app, name="events", rich_help_panel=_BUS)
app.command(rich_help_panel=_PLATFORM)(top.top)
node.app.command()(node_here.start)
node.app.command()(node_here.stop)
node.app.command()(node_here.ticket)
node.app.command()(node_here.join)
app.add_typer(node.app, name="node", rich_help_panel=_PLATFORM)
app.add_typer(token.app, name="token", rich_help_panel=_PLATFORM)
telemetry.app.command()(telemetry_record.record)
app.add_typer(telemetry.app, name="telemetry", rich_help_panel=_PLATFORM)
app.add_typer(spool.app, name="spool", rich_help_panel=_KEEP)
app.command(rich_help_panel=_KEEP)(administration.backup)
app.command(rich_help_panel=_KEEP)(administration.restore)
app.command("import-mlflow", rich_help_panel=_KEEP)(administration.import_mlflow)
app.add_typer(simulate.app, name="simulate", rich_help_panel=_HERE)
app.command(rich_help_panel=_HERE)(demo.demo)
app.command("test", rich_help_panel=_HERE, context_settings=_PASSING)(testing.test)
app.command(rich_help_panel=_HERE)(bench.bench)
app.command(rich_help_panel=_HERE)(testing.version)
