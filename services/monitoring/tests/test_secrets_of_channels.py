# SPDX-License-Identifier: Apache-2.0
"""Why a channel could not be told is said without the secrets of its address, however a library writes them."""

from __future__ import annotations

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.monitoring.adapters.apprise_worker import by_apprise, by_web_hook

NOWHERE = "127.0.0.1:1"
SECRETS = ["se cret|tokenvalue", "tok^envalue", 'tok"envalue', "tokenvälue", "tokenvalue#frag"]


def letters(text: str) -> list[str]:
    """Return the runs of letters that give a secret away."""
    return [part for part in ("secret", "tokenvalue", "envalue", "tokenv") if part in text]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("place", ["hooks/{}", "hooks?key={}", "{}"])
def test_a_web_hook_that_is_away_tells_no_secret(secret: str, place: str) -> None:
    url = f"http://{NOWHERE}/{place.format(secret)}"

    with pytest.raises(UnavailableError) as error:
        by_web_hook(url, None, "n-1", {})

    assert letters(str(error.value)) == []
    assert str(error.value) == "ConnectionError: Connection refused"


@pytest.mark.parametrize(
    "url",
    ["tokenvalue", "http://[tokenvalue/x", "http://tokenvalue℀.example/x", "x y://tokenvalue"],
)
def test_what_is_no_address_tells_no_secret(url: str) -> None:
    with pytest.raises(UnavailableError) as error:
        by_web_hook(url, None, "n-1", {})

    assert str(error.value)
    assert letters(str(error.value)) == []


@pytest.mark.filterwarnings(
    "ignore:'imghdr' is deprecated"
)  # one of apprise's services reads pictures
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("scheme", ["json", "mmost", "nonsense", "slack"])
def test_an_address_of_apprise_tells_no_secret(secret: str, scheme: str) -> None:
    with pytest.raises(UnavailableError) as error:
        by_apprise(f"{scheme}://{NOWHERE}/{secret}", "title", "text", ["text"], "warning")

    assert letters(str(error.value)) == []
