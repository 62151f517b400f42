#!/bin/sh
# Say it over HTTP: sh http_post.sh PROJECT MODEL REQUEST_ID LABEL
set -eu
home=${MLOPS_HOME:-.mlops}
of() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
gateway=$(of "$home/endpoints.json" gateway)
token=$(of "$home/credentials.json" gateway_token)
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
curl -sS --fail-with-body "$gateway/api/v1/events" \
    -H "Authorization: Bearer $token" -H "Content-Type: application/cloudevents+json" -d @- <<END
{"specversion": "1.0", "id": "curl-$3", "source": "/tools/curl", "type": "label.recorded",
 "time": "$now", "project": "$1",
 "data": {"model": "$2", "labels": [{"request_id": "$3", "label": $4, "at": "$now"}]}}
END
