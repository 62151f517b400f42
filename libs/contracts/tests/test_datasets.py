# SPDX-License-Identifier: Apache-2.0
"""A remote that people write holds no credentials; what was stored before that rule grew is read all the same."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mlops.contracts.datasets import DataSettings, remote_problem
from mlops.contracts.settings import ProjectSettings


@pytest.mark.parametrize(
    "remote",
    [
        "",
        "/mnt/nas/a:b@c?d",
        "s3://bucket/mlops",
        "s3://bucket/a:b@c",
        "ssh://me@host/data",
        "ssh://me@host:2222/data/you@lab",
        "ssh://nas:2222/data/me@lab",
        "ssh://[fe80::1]:2222/data/me@lab",
    ],
)
def test_a_users_name_a_port_and_a_path_are_no_credentials(remote: str) -> None:
    assert remote_problem(remote) is None


@pytest.mark.parametrize(
    "remote",
    [
        "s3://key:secret@bucket/mlops",
        "s3://AKIA:sec/ret+ef@bucket/mlops",
        "webdavs://me@corp:secret@host/data",
        "webdavs://u:123456/secret@host",
        "ssh://me:secret@host:22/data",
        "s3://bucket?access_key=A&secret=z",
        "azure://container/path?sig=secret",
    ],
)
def test_credentials_in_what_people_write_are_named_and_not_repeated(remote: str) -> None:
    problem = remote_problem(remote)

    assert problem is not None
    assert "must hold no credentials" in problem
    assert "secret@" not in problem


@pytest.mark.parametrize(
    "remote", ["ssh://nas:2222/data/me@lab", "s3://bucket/a:b@c", "azure://container?sig=x"]
)
def test_what_was_stored_before_the_rule_grew_is_still_read(remote: str) -> None:
    stored = DataSettings.model_construct(remote=remote).model_dump_json()

    assert DataSettings.model_validate_json(stored).remote == remote


def test_an_error_does_not_repeat_what_was_read() -> None:
    told = {"name": "rain", "data": {"remote": "s3://key:hunter2@bucket"}}

    with pytest.raises(ValidationError, match="must hold no credentials") as refused:
        ProjectSettings.model_validate(told)

    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(refused.value)
