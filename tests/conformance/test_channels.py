# SPDX-License-Identifier: Apache-2.0
"""The promises of channels, each held by the memory fake and by apprise; and what real servers are sent."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import Sidecar
from mlops.contracts.monitoring import Severity
from mlops.monitoring.adapters.apprise import WORKER, AppriseChannels
from mlops.monitoring.adapters.channels_file import ChannelsFile
from mlops.monitoring.adapters.memory_channels import MemoryChannels
from mlops.monitoring.model.notices import Channel
from mlops.monitoring.ports import Alert, Channels, Letter
from servers.listeners import Hook, Mailbox, open_hook, open_mailbox

pytestmark = pytest.mark.timeout(60)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECRET = "hush-hush-99"
GATEWAY = "http://mlops.example.org"
ALERT = Alert(
    alert_id="a-1",
    project="rainfall",
    model="rain",
    kind="performance",
    severity=Severity.CRITICAL,
    title="rain v1: accuracy is 0.600, worse than 0.850",
    suggestion="Retrain. A retraining takes about 42 s and 310 J (as the last one did).",
    links=("file:///srv/mlops/reports/rainfall/rain/w-7.html",),
    raised_by="e-1",
    raised_at=NOON,
    heard_at=NOON,
    count=2,
)
LETTER = Letter("n-1", "raised", "rainfall.rain.performance", ALERT)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    async with open_hook() as found:
        yield found


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    async with open_mailbox() as found:
        yield found


@pytest.fixture
async def real(tmp_path: Path, hook: Hook) -> AsyncIterator[AppriseChannels]:
    """Return channels of which `hook` arrives and `gone` does not."""
    away = "http://127.0.0.1:1/hooks/${TOKEN}"
    write(
        tmp_path,
        f'[channels.hook]\nwebhook = "{hook.url}/in"\n[channels.gone]\nwebhook = "{away}"\n',
    )
    file = ChannelsFile(tmp_path / "alerts.toml", {"TOKEN": SECRET})
    found = AppriseChannels(file, lambda: Sidecar(WORKER, idle=timedelta(seconds=5)), GATEWAY)
    yield found
    await found.close()


@pytest.fixture(params=["memory", pytest.param("apprise", marks=pytest.mark.server)])
def channels(request: pytest.FixtureRequest) -> Channels:
    if request.param == "memory":
        return MemoryChannels(rules={"hook": Channel(2), "gone": Channel(2)}, broken={"gone"})
    found: Channels = request.getfixturevalue("real")
    return found


def write(folder: Path, text: str, mode: int = 0o600) -> None:
    path = folder / "alerts.toml"
    path.write_text(text)
    path.chmod(mode)


async def test_a_channel_is_known_by_its_name_and_told(channels: Channels) -> None:
    known = await channels.known()

    await channels.tell("hook", [LETTER])

    assert known["hook"] == Channel(least=2)
    assert await channels.problem() is None


@pytest.mark.parametrize("name", ["gone", "nobody-knows"])
async def test_who_cannot_be_told_is_unavailable_and_no_secret_is_said(
    channels: Channels, name: str
) -> None:
    with pytest.raises(UnavailableError) as error:
        await channels.tell(name, [LETTER])

    assert str(error.value)
    assert SECRET not in str(error.value)


async def test_the_log_is_always_there(channels: Channels) -> None:
    await channels.tell("log", [LETTER])

    assert "log" in await channels.known()
    assert await channels.usual() == ("log",)


@pytest.mark.server
async def test_a_web_hook_gets_signed_json_with_the_ids_to_drop_repeats_by(
    real: AppriseChannels, hook: Hook, tmp_path: Path
) -> None:
    write(
        tmp_path, f'[channels.hook]\nwebhook = "{hook.url}/in?k=${{TOKEN}}"\nsecret = "${{TOKEN}}"'
    )

    await real.tell("hook", [LETTER])

    ((path, headers, content),) = hook.taken
    body = json.loads(content)
    signature = hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()
    assert path == f"/in?k={SECRET}"
    assert headers["X-MLOps-Signature"] == f"sha256={signature}"
    assert headers["Idempotency-Key"] == body["notice_id"] == "n-1"
    assert (body["alert_id"], body["dedup_key"]) == ("a-1", "rainfall.rain.performance")
    assert (body["severity"], body["state"], body["why"]) == ("critical", "open", "raised")
    assert body["suggestion"] == ALERT.suggestion


@pytest.mark.server
@pytest.mark.parametrize("status", [302, 401, 500])
async def test_a_web_hook_that_does_not_take_it_has_failed(
    real: AppriseChannels, hook: Hook, status: int
) -> None:
    hook.status = status

    with pytest.raises(UnavailableError, match=f"answers {status}"):
        await real.tell("hook", [LETTER])

    assert len(hook.taken) == 1


@pytest.mark.server
async def test_a_slack_compatible_server_gets_its_text(
    real: AppriseChannels, hook: Hook, tmp_path: Path
) -> None:
    write(tmp_path, f'[channels.chat]\nurl = "mmost://{hook.place}/${{TOKEN}}"')

    await real.tell("chat", [LETTER])

    ((path, headers, content),) = hook.taken
    text = json.loads(content)["text"]
    assert path == f"/hooks/{SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert "[critical] rainfall: rain v1: accuracy is 0.600, worse than 0.850" in text
    assert "A retraining takes about 42 s and 310 J" in text
    assert "It has begun 2 times" in text
    assert f"{GATEWAY}/reports/rainfall/rain/w-7.html" in text
    assert "mlops alerts ack a-1" in text


@pytest.mark.server
async def test_a_channel_that_is_slow_holds_back_no_other(
    real: AppriseChannels, hook: Hook, tmp_path: Path
) -> None:
    async with open_hook() as slow:
        slow.may_answer = asyncio.Event()
        write(
            tmp_path,
            f'[channels.hook]\nwebhook = "{hook.url}/in"\n[channels.slow]\nwebhook = "{slow.url}/in"\n',
        )
        waiting = asyncio.create_task(real.tell("slow", [LETTER]))
        await slow.came.wait()

        await real.tell("hook", [LETTER])
        slow.may_answer.set()
        await waiting  # it would have been given up if the other had waited for it

    assert (len(hook.taken), len(slow.taken)) == (1, 1)


@pytest.mark.server
async def test_what_came_together_is_one_message_the_worst_first(
    real: AppriseChannels, hook: Hook, tmp_path: Path
) -> None:
    write(tmp_path, f'[channels.chat]\nurl = "mmost://{hook.place}/${{TOKEN}}"')
    minor = {"alert_id": "a-2", "severity": Severity.WARNING, "title": "snow v3 is slow"}
    minor_letter = Letter("n-2", "raised", "rainfall.snow.latency", ALERT.model_copy(update=minor))

    await real.tell("chat", [minor_letter, LETTER])

    ((_, _, content),) = hook.taken
    text = json.loads(content)["text"]
    assert "[critical] 2 alerts: rainfall" in text
    assert text.index("accuracy is 0.600") < text.index("snow v3 is slow")
    assert "mlops alerts ack a-1" in text
    assert "mlops alerts ack a-2" in text


@pytest.mark.server
async def test_what_is_longer_than_a_server_takes_is_told_briefly_or_in_parts(
    real: AppriseChannels, hook: Hook, tmp_path: Path
) -> None:
    longest = 4000  # what apprise knows of this server
    long = ALERT.model_copy(update={"suggestion": "Look at the replicas. " * 99})
    storm = [
        Letter(f"n-{number}", "raised", f"rainfall.m{number}.latency", alert)
        for number in range(20)
        for alert in [long.model_copy(update={"title": f"m-{number} is slow: " + "p" * 280})]
    ]
    links = tuple(f"https://reports.example.org/{number:0100}" for number in range(50))
    many_links = replace(LETTER, alert=ALERT.model_copy(update={"links": links}))
    plain = f"mmost://{hook.place}/${{TOKEN}}"
    write(
        tmp_path,
        f'[channels.chat]\nurl = "{plain}"\n[channels.whole]\nurl = "{plain}?overflow=upstream"',
    )

    await real.tell("chat", storm)
    await real.tell("whole", storm)
    await real.tell("chat", [many_links])

    together, whole, *parts = [json.loads(content)["text"] for _, _, content in hook.taken]
    assert [f"m-{number} is slow" in together for number in range(20)] == [True] * 20
    assert len(whole) > longest
    assert len(parts) > 1
    assert max(len(text) for text in (together, *parts)) <= longest
    assert [sum(link in part for part in parts) for link in links] == [1] * len(links)
    assert "mlops alerts ack a-1" in parts[-1]


@pytest.mark.server
async def test_a_mail_says_when_it_is_over(
    real: AppriseChannels, mailbox: Mailbox, tmp_path: Path
) -> None:
    address = f"mailto://{mailbox.place}?smtp=127.0.0.1&mode=insecure&from=mlops@example.org&to=ada@example.org"
    write(tmp_path, f'[channels.mail]\nurl = "{address}"')
    update = {"resolved_by": "e-2", "ended_at": NOON, "reason": "accuracy is 0.910 again"}

    await real.tell(
        "mail", [Letter("n-2", "resolved", LETTER.dedup_key, ALERT.model_copy(update=update))]
    )

    ((receivers, letter),) = mailbox.letters
    content: Any = letter.get_payload(decode=True)
    assert receivers == ["ada@example.org"]
    assert letter["Subject"].startswith("[critical] rainfall: over: rain v1")
    assert content.decode().strip() == "Since 2026-05-01 12:00 UTC. accuracy is 0.910 again"


@pytest.mark.server
@pytest.mark.parametrize(
    "url", ["nonsense://somewhere", "slack://", "mmost://127.0.0.1:1/${TOKEN}"]
)
async def test_an_address_that_does_not_work_says_why(
    real: AppriseChannels, tmp_path: Path, url: str
) -> None:
    write(tmp_path, f'[channels.chat]\nurl = "{url}"')

    with pytest.raises(UnavailableError, match=r"no address that works|was not taken") as error:
        await real.tell("chat", [LETTER])

    assert SECRET not in str(error.value)
    assert "no reason given" not in str(error.value)
