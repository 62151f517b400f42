#!/bin/sh
# Show what is said, as server-sent events, until stopped: sh http_stream.sh TYPE PROJECT
set -eu
home=${MLOPS_HOME:-.mlops}
of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
gateway=$(of "$home/endpoints.json" gateway)
token=$(of "$home/credentials.json" gateway_token)
exec curl -sSN --fail-with-body -H "Authorization: Bearer $token" \
    "$gateway/api/v1/events/stream?type=$1&project=$2"
