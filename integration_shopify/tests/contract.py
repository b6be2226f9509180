"""Judges what tests send by every version of Shopify's schema that may answer us.

Tests of the whole are judged elsewhere, from what the simulated shop was asked (tests/contract).
"""

import gzip
import json
import os
from functools import cache
from pathlib import Path
from unittest import SkipTest

from ..lib.versions import VERSIONS as KNOWN

#: Every version that may answer while we write.
VERSIONS = tuple(sorted(KNOWN))


@cache
def schema(version):
    """Return the schema of a version; skips the test where it is not here, which CI may not."""
    from graphql import build_client_schema

    folder = os.environ.get("SHOPIFY_SCHEMA_DIR")
    file = Path(folder or "") / f"admin_{version}.json.gz"
    if not folder or not file.exists():
        if os.environ.get("CI") == "true":
            raise AssertionError("CI needs Shopify's schemas: set SHOPIFY_SCHEMA_DIR.")
        raise SkipTest("Shopify's schema is not here: set SHOPIFY_SCHEMA_DIR.")
    return build_client_schema(json.loads(gzip.decompress(file.read_bytes()))["data"])


@cache
def _judged(query, version):
    from graphql import parse, validate

    document = parse(query)
    problems = [error.message for error in validate(schema(version), document)]
    return document.definitions[0].variable_definitions, problems


def refusals(query, variables):
    """Return what the versions have against a request, as texts beginning with the version."""
    from graphql.execution.values import get_variable_values

    found = []
    for version in VERSIONS:
        definitions, problems = _judged(query, version)
        found += [f"{version}: {problem}" for problem in problems]
        if problems:
            continue
        values = get_variable_values(schema(version), definitions, variables)
        if isinstance(values, list):
            found += [f"{version}: {error.message}" for error in values]
        unknown = variables.keys() - {row.variable.name.value for row in definitions}
        found += [f"{version}: ${name} is not declared" for name in sorted(unknown)]
    return found


def judge(query, variables):
    """Fail the test that sends what a version refuses; without schemas nothing is judged.

    :raises AssertionError: naming versions and reasons.
    """
    try:
        problems = refusals(query, variables or {})
    except SkipTest:
        return
    if problems:
        raise AssertionError("Shopify refuses this request: " + "; ".join(problems))
