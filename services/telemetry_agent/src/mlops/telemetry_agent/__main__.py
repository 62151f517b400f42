# SPDX-License-Identifier: Apache-2.0
"""`python -m mlops.telemetry_agent [run]` runs the service; `parse FILE…` prints the samples of recordings, `record` makes one."""

import sys


def _run(_: list[str]) -> int:
    from mlops.chassis.service import main  # noqa: PLC0415 - parsing does without the bus
    from mlops.telemetry_agent.app import build  # noqa: PLC0415 - the same
    from mlops.telemetry_agent.settings import Settings  # noqa: PLC0415 - the same

    main("telemetry_agent", Settings, build)
    return 0


def _parse(arguments: list[str]) -> int:
    from mlops.telemetry_agent.adapters.parsing import command  # noqa: PLC0415 - the agent does without

    return command.run(arguments)


def _record(arguments: list[str]) -> int:
    from mlops.telemetry_agent.adapters import recorder  # noqa: PLC0415 - the same

    return recorder.main(arguments)


# A word each; none of them is `run`.
WORDS = {"run": _run, "parse": _parse, "record": _record}

if __name__ == "__main__":
    word, *rest = sys.argv[1:] or ["run"]
    if word not in WORDS:
        sys.exit(f"unknown word {word!r}; there are {', '.join(WORDS)}")
    sys.exit(WORDS[word](rest))
