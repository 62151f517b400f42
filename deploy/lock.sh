#!/bin/sh
# Write requirements.lock: universal, hashed, without registry addresses. Run by `just lock`.
set -eu
cd "$(dirname "$0")/.."
members=$(ls -d libs/*/ services/*/)
set -- --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --group dev
for member in $members; do
    name=mlops-$(basename "$member" | tr _ -)
    set -- "$@" --no-emit-package "$name" "${member}pyproject.toml"
done
exec "${UV:-uv}" pip compile "$@" pyproject.toml -o requirements.lock
