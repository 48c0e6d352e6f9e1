#!/bin/sh
# The reader of policies and the schema say the same: policy_schema_test.sh SAMPLES-PROGRAM SOURCE-ROOT PYTHON
set -eu
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
"$1" "$2/tests/policy/samples.txt" "$2"/packaging/policies/*.yaml "$2"/packaging/policies/*/*.yaml > "$rows"
status=0
"$3" "$2/tests/contract/policy_schema.py" "$2/schemas/policy.schema.json" < "$rows" || status=$?
exit "$status"
