# Recipes for people who change the platform; `./mlops setup` makes the environment they use.

set shell := ["bash", "-euo", "pipefail", "-c"]

bin := ".venv/bin"
no_servers := "not server and not mlflow and not airflow and not ray and not e2e"

# List the recipes
default:
    @{{ just_executable() }} --list --unsorted

# Format, lint, types, imports and the tests that need no server
check:
    {{ bin }}/ruff format --check .
    {{ bin }}/ruff check .
    {{ bin }}/mypy .
    {{ bin }}/lint-imports
    {{ bin }}/python -m mlops.contracts.generate --check
    {{ bin }}/python -m mlops.cli.reference --check
    {{ bin }}/pytest -q -m "{{ no_servers }}"

# Format, and fix what can be fixed without thinking
fmt:
    {{ bin }}/ruff check --fix-only .
    {{ bin }}/ruff format .

# Run every test that this machine can run; options go to pytest
test *options:
    ./mlops test {{ options }}

# Run the tests on real servers only
integration *options:
    ./mlops test -m "(server or mlflow or airflow or ray) and not e2e" {{ options }}

# Write schemas, AsyncAPI document, examples and reference pages from the messages
contracts:
    {{ bin }}/python -m mlops.contracts.generate

# Write docs/reference/cli.md from the words of the command
reference:
    {{ bin }}/python -m mlops.cli.reference

# Resolve requirements.lock anew (UV names another uv)
lock:
    UV="${UV:-$(command -v uv || sed -n 2p .venv/.mlops-stamp)}" deploy/lock.sh

# Start the platform
up *options:
    ./mlops up {{ options }}

# Stop the platform; no process stays
down *options:
    ./mlops down {{ options }}

# Show every component
status *options:
    ./mlops status {{ options }}

# Show the closed loop, from nothing
demo *options:
    ./mlops demo {{ options }}

# Measure against the peers: all benchmarks, or one by name
bench NAME="":
    {{ bin }}/mlops bench {{ NAME }}

# Tell why something happened: an id, a run, a workflow, or model:version
story ID:
    ./mlops explain {{ ID }}
