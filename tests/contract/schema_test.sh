#!/bin/sh
# The encoders' output against schemas/: schema_test.sh SAMPLES-PROGRAM SOURCE-ROOT PYTHON
set -eu
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" trace "$scratch/trace" > "$scratch/trace.jsonl"
"$1" fs_diff > "$scratch/fs_diff.jsonl"
for name in trace fs_diff; do
    status=0
    "$3" "$2/tests/contract/validate_schemas.py" "$2/schemas/$name.schema.json" < "$scratch/$name.jsonl" || status=$?
    [ "$status" = 0 ] || exit "$status"
done
