#!/usr/bin/env python3
"""Holds schemas/policy.schema.json against what the program's reader says.

usage: policy_schema.py SCHEMA < ROWS

A row is {"name", "ok", "value"}. Exit 0: both agree about all; 1: they do not;
77: the jsonschema package is missing.
"""
import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)


def main() -> int:
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)
    rows = differences = 0
    for line in sys.stdin:
        row = json.loads(line)
        rows += 1
        errors = [error.message for error in validator.iter_errors(row["value"])]
        if (not errors) != row["ok"]:
            differences += 1
            print(f"{row['name']}: the reader says {'valid' if row['ok'] else 'invalid'}, the schema: {errors or 'valid'}")
    print(f"{rows} policies, {differences} differences")
    return 1 if differences or rows == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
