# SPDX-License-Identifier: Apache-2.0
"""Tokens: the installation's opens everything, a signed one its projects and acts until it expires, any other nothing."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.chassis.tokens import LEEWAY, Caller, ExpiredTokenError, Tokens, WrongTokenError

SECRET = "correct-horse-battery-staple"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TOKENS = Tokens(SECRET)
CLAIMS: dict[str, Any] = {
    "sub": "ann",
    "projects": ["fraud"],
    "can": ["infer"],
    "iat": int(NOON.timestamp()),
    "exp": int((NOON + DAY).timestamp()),
}


def signed(**changed: object) -> str:
    """Return a token with the platform's own signature, whatever it claims."""
    claims = {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}
    return jwt.encode(claims, TOKENS._key, "HS256")


def test_the_installations_token_opens_everything_for_ever() -> None:
    caller = TOKENS.judge(SECRET, datetime(9000, 1, 1, tzinfo=UTC))

    assert caller == Caller("installation")
    assert caller.may("fraud", "write")
    assert caller.sees("any")


def test_a_signed_token_opens_its_projects_for_what_it_may() -> None:
    token = TOKENS.sign("ann", ["fraud", "rain"], ["infer", "read"], NOON, DAY)

    caller = TOKENS.judge(token, NOON)

    assert (caller.name, caller.expires_at) == ("ann", NOON + DAY)
    assert caller.may("fraud", "infer")
    assert caller.may("rain", "read")
    assert not caller.may("fraud", "write")
    assert not caller.may("other", "infer")
    assert not caller.sees("other")


def test_a_token_is_right_in_another_process_with_the_same_secret() -> None:
    token = TOKENS.sign("ann", ["fraud"], ["infer"], NOON, DAY)

    assert Tokens(SECRET).judge(token, NOON).may("fraud", "infer")


def test_a_token_of_another_installation_is_wrong() -> None:
    token = Tokens("another-secret-of-24-letters").sign("ann", ["fraud"], ["infer"], NOON, DAY)

    with pytest.raises(WrongTokenError, match=r"signature does not hold.*`mlops token create`"):
        TOKENS.judge(token, NOON)


def test_the_secret_itself_signs_nothing() -> None:
    token = jwt.encode(CLAIMS, SECRET.ljust(32, "x").encode(), "HS256")

    with pytest.raises(WrongTokenError):
        TOKENS.judge(token, NOON)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_wrong_even_with_the_right_key(algorithm: str) -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(CLAIMS, TOKENS._key, algorithm)

    with pytest.raises(WrongTokenError):
        TOKENS.judge(token, NOON)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "RS256", "ES256"])
def test_a_token_that_names_no_or_a_foreign_algorithm_is_wrong(algorithm: str) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    _, body, signature = signed().split(".")

    with pytest.raises(WrongTokenError):
        TOKENS.judge(f"{head.decode().rstrip('=')}.{body}.", NOON)
    with pytest.raises(WrongTokenError):
        TOKENS.judge(f"{head.decode().rstrip('=')}.{body}.{signature}", NOON)


def test_a_token_whose_claims_were_changed_is_wrong() -> None:
    head, _, signature = signed().split(".")
    _, other, _ = signed(projects=["other"]).split(".")

    with pytest.raises(WrongTokenError):
        TOKENS.judge(f"{head}.{other}.{signature}", NOON)


@pytest.mark.parametrize("after", [DAY - timedelta(seconds=1), DAY + LEEWAY / 2])
def test_a_token_lasts_until_its_time_and_what_clocks_differ(after: timedelta) -> None:
    assert TOKENS.judge(signed(), NOON + after).name == "ann"


def test_a_token_that_has_expired_says_when_and_what_to_do() -> None:
    with pytest.raises(ExpiredTokenError, match=r"2026-11-23.*make a new one") as expired:
        TOKENS.judge(signed(), NOON + DAY + LEEWAY)

    assert expired.value.caller.name == "ann"


def test_a_token_that_was_judged_right_still_expires() -> None:
    tokens, token = Tokens(SECRET), signed()
    tokens.judge(token, NOON)

    with pytest.raises(ExpiredTokenError):
        tokens.judge(token, NOON + 2 * DAY)


def test_a_token_of_a_clock_that_is_seconds_ahead_is_right_of_one_far_ahead_wrong() -> None:
    token = signed()

    assert TOKENS.judge(token, NOON - LEEWAY / 2).name == "ann"
    with pytest.raises(WrongTokenError, match="set the clocks"):
        TOKENS.judge(token, NOON - DAY)


@pytest.mark.parametrize(
    "changed",
    [
        {"models": ["rain"]},
        {"nbf": 1},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"sub": 3},
        {"projects": None},
        {"projects": []},
        {"projects": "fraud"},
        {"projects": [3]},
        {"projects": [""]},
        {"can": []},
        {"can": ["infer", "administer"]},
        {"exp": "soon"},
        {"exp": True},
        {"exp": -1},
        {"exp": 10**30},
        {"exp": 1.5},
    ],
)
def test_a_token_that_claims_anything_else_opens_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(WrongTokenError):
        TOKENS.judge(signed(**changed), NOON)


@pytest.mark.parametrize(
    "shown",
    ["", "x", "a.b", "a.b.c", "....", "ünsinn", SECRET + " ", SECRET[:-1], "x" * 5000, "a." * 3000],
)
def test_what_is_no_token_opens_nothing(shown: str) -> None:
    with pytest.raises(WrongTokenError):
        TOKENS.judge(shown, NOON)


@pytest.mark.parametrize("part", [0, 1])
def test_a_deeply_nested_token_is_only_wrong(part: int) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 1500).decode().rstrip("=")
    parts = signed().split(".")
    parts[part] = deep

    with pytest.raises(WrongTokenError):
        TOKENS.judge(".".join(parts), NOON)


@given(st.text(max_size=300))
def test_no_text_breaks_the_judge(shown: str) -> None:
    with pytest.raises(WrongTokenError):
        TOKENS.judge(shown, NOON)


@pytest.mark.parametrize(
    ("projects", "acts"), [([], ["infer"]), (["fraud"], []), (["fraud"], ["fly"])]
)
def test_a_token_that_opens_nothing_is_not_signed(projects: list[str], acts: list[str]) -> None:
    with pytest.raises(WrongTokenError):
        TOKENS.sign("ann", projects, acts, NOON, DAY)


def test_many_tokens_are_judged_and_few_remembered() -> None:
    tokens = Tokens(SECRET)

    names = {tokens.judge(signed(sub=str(number)), NOON).name for number in range(1100)}

    assert len(names) == 1100
    assert len(tokens._known) == 1024


def test_without_a_secret_there_are_no_tokens() -> None:
    with pytest.raises(ValueError, match="secret"):
        Tokens("")


def test_the_library_is_not_loaded_before_a_signed_token_comes() -> None:
    program = (
        "import sys, datetime; from mlops.chassis.tokens import Tokens;"
        "Tokens('s' * 24).judge('s' * 24, datetime.datetime.now(datetime.UTC));"
        "print('jwt' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"False\n"
