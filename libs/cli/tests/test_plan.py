# SPDX-License-Identifier: Apache-2.0
"""The plan of the whole platform: who needs whom, what stands in endpoints.json, what children inherit."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import ports
from mlops.cli.supervisor.component import selected, stop_order
from mlops.cli.supervisor.parts import airflow, nats, ray
from mlops.cli.supervisor.parts.environment import inherited
from mlops.cli.supervisor.parts.site import Site
from mlops.cli.supervisor.plan import endpoints_of, everything, settle


@pytest.fixture(autouse=True)
def _short_folders(tmp_path: Path) -> Iterator[None]:
    """The short folder lies outside of the test's own folder: remove what the test made."""
    yield
    for home in (tmp_path, tmp_path / "a", tmp_path / "b"):
        shutil.rmtree(Home(home).short, ignore_errors=True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    secrets = dict.fromkeys(
        (
            "nats_token",
            "gateway_token",
            "airflow_password",
            "airflow_admin_password",
            "evidently_secret",
            "airflow_jwt_secret",
            "airflow_secret_key",
        ),
        "s3cret",
    )
    return Site(Home(tmp_path), ports.PREFERRED, ports.blocks(1), secrets)


def test_every_need_is_a_component_and_nothing_goes_in_a_circle(site: Site) -> None:
    components = everything(site)
    known = {one.name for one in components}

    assert {name for one in components for name in one.needs} <= known
    assert sum(len(group) for group in stop_order(components)) == len(components)


def test_the_bus_stops_last_and_evidently_starts_last(site: Site) -> None:
    components = everything(site)

    assert "nats" in [one.name for one in stop_order(components)[-1]]
    assert components[-1].name == "evidently"
    assert set(components[-1].needs) == {one.name for one in components[:-1]}


def test_all_eight_services_are_modules_with_their_port(site: Site) -> None:
    services = {one.name: one for one in everything(site) if one.command[1:2] == ("-m",)}
    services.pop("ray")

    assert sorted(services) == [
        "gateway",
        "monitoring",
        "orchestration_bridge",
        "serving",
        "telemetry_agent",
        "tracking",
        "versioning",
        "workspaces",
    ]
    assert services["tracking"].env == {"MLOPS_HTTP_PORT": "5000", "MALLOC_ARENA_MAX": "2"}
    assert services["gateway"].command[1:] == ("-m", "mlops.gateway")
    assert services["gateway"].env["GATEWAY_GRPC_PORT"] == "8001"


@pytest.mark.parametrize(
    ("url", "workspace"),
    [("", "{home}/evidently"), ("s3://reports/ml/", "s3://reports/ml/evidently")],
)
def test_evidently_shows_what_monitoring_keeps(
    site: Site, monkeypatch: pytest.MonkeyPatch, url: str, workspace: str
) -> None:
    monkeypatch.setenv("MONITORING_REPORTS_URL", url)

    command = everything(site)[-1].command

    shown = command[command.index("--workspace") + 1]
    assert shown == workspace.format(home=site.home.root)


def test_addresses_are_complete_and_without_evidently_when_it_is_left_out(site: Site) -> None:
    all_of_it = endpoints_of(site, everything(site))
    without = endpoints_of(site, selected(everything(site), [], ["evidently"]))

    assert all_of_it == {
        "nats": "nats://127.0.0.1:4222",
        "gateway": "http://127.0.0.1:8090",
        "grpc": "127.0.0.1:8001",
        "mlflow": "http://127.0.0.1:5000",
        "airflow": "http://127.0.0.1:8080",
        "serve": "http://127.0.0.1:8300",
        "evidently": "http://127.0.0.1:8000",
        "ray": "127.0.0.1:6379",
    }
    assert set(all_of_it) - set(without) == {"evidently"}


def test_a_port_that_another_running_installation_has_chosen_is_left_to_it(tmp_path: Path) -> None:
    first = settle(Home(tmp_path / "a"), {}, ["nats"], [])
    second = settle(Home(tmp_path / "b"), {}, ["nats"], [])

    assert set(first.site.ports.values()).isdisjoint(second.site.ports.values())


def test_ports_and_secrets_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    first = settle(Home(tmp_path), {}, ["nats"], [])
    second = settle(Home(tmp_path), {}, ["nats"], [])

    assert first.site.ports == second.site.ports
    assert first.site.secrets == second.site.secrets
    assert read_json(tmp_path / "endpoints.json")["nats"] == first.site.nats


def test_children_inherit_neither_harmful_nor_foreign_settings(site: Site) -> None:
    caller = {
        "PATH": "/usr/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": "/elsewhere",
        "RAY_ADDRESS": "10.0.0.1:6379",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "MLFLOW_TRACKING_URI": "http://elsewhere",
        "LANG": "de_DE.UTF-8",
    }

    found = inherited(caller, site)

    assert {
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
        "RAY_ADDRESS",
        "AIRFLOW__CORE__EXECUTOR",
    }.isdisjoint(found)
    assert found["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5000"
    assert found["LANG"] == "de_DE.UTF-8"
    assert found["PATH"].endswith(":/usr/bin")
    assert (found["NATS_URL"], found["NATS_TOKEN"]) == ("nats://127.0.0.1:4222", "s3cret")
    assert (found["DO_NOT_TRACK"], found["DVC_NO_ANALYTICS"]) == ("1", "1")


def test_the_bus_listens_on_loopback_and_wants_the_token(site: Site) -> None:
    nats.nats(site).prepare()
    path = site.home.root / "nats" / "nats.conf"

    assert 'listen: "127.0.0.1:4222"' in path.read_text()
    assert 'authorization { token: "s3cret" }' in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_airflow_is_lean_and_its_passwords_private(site: Site) -> None:
    airflow.airflow(site)[0].prepare()
    passwords = site.home.root / "airflow" / "passwords.json"

    assert json.loads(passwords.read_text()) == {"admin": "s3cret", "bridge": "s3cret"}
    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert airflow.settings(site)["AIRFLOW__API__WORKERS"] == "1"
    assert "triggerer" not in str([one.command for one in airflow.airflow(site)])


def test_haproxy_keeps_its_files_in_a_private_folder_of_this_installation(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")

    ray.ray(site).prepare()

    folder = ray.haproxy_folder(site.home)
    files = [
        value
        for name, value in ray.settings(site).items()
        if name.endswith(("_LOC", "_PATH", "_BASE", "_FILE"))
    ]
    assert len(files) >= 5
    assert all(len(value) + 1 + 56 <= 97 for value in files if value.endswith(".sock"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(site.home.short.stat().st_mode) == 0o700
    assert all(
        value.startswith(str(folder))
        for value in files
        if "BINARY" not in value and "deploy" not in value
    )


def test_on_macos_replicas_are_reached_directly(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")

    found = ray.settings(site)

    assert found["RAY_SERVE_ENABLE_DIRECT_INGRESS"] == "1"
    assert not [name for name in found if "HAPROXY" in name or "HA_PROXY" in name]
