#!/usr/bin/env python3
"""Validates JSON lines on standard input against a draft-07 schema.

usage: validate_schemas.py SCHEMA < RECORDS

References to other schemas resolve to files beside SCHEMA. Exit 0: every line
is valid; 1: some are not (each is named); 77: the jsonschema package is missing.
"""
import json
import pathlib
import sys
import warnings

try:
    warnings.simplefilter("ignore", DeprecationWarning)
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)


def main() -> int:
    path = pathlib.Path(sys.argv[1]).resolve()
    schema = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    store = {}
    for other in path.parent.glob("*.schema.json"):
        loaded = json.loads(other.read_text(encoding="utf-8"))
        store[loaded["$id"]] = loaded
    resolver = jsonschema.RefResolver.from_schema(schema, store=store)
    validator = jsonschema.Draft7Validator(schema, resolver=resolver)
    records = failures = 0
    for number, line in enumerate(sys.stdin, 1):
        records += 1
        for error in validator.iter_errors(json.loads(line)):
            failures += 1
            where = "/".join(str(part) for part in error.absolute_path)
            print(f"line {number}: /{where}: {error.message}")
    print(f"{records} records, {failures} violations of {path.name}")
    return 1 if failures or records == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
