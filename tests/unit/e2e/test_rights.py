"""Rights read from what kubectl says."""

import pytest

from tests.e2e.release import merged
from tests.e2e.rights import parsed

EVERYBODY = """\
selfsubjectreviews.authentication.k8s.io        []                    []           [create]
                                                [/healthz]            []           [get]
"""
OWN = """\
pods                                            []                    []           [get list]
secrets                                         []                    [r1-secrets] [get patch]
*.*                                             []                    []           [*]
"""


def test_what_everybody_may_is_nothing() -> None:
    assert parsed(EVERYBODY) == set()


def test_own_rights_have_verb_resource_and_name() -> None:
    assert parsed(EVERYBODY + OWN) == {
        "get pods",
        "list pods",
        "get secrets/r1-secrets",
        "patch secrets/r1-secrets",
        "* *.*",
    }


def test_a_line_that_is_not_understood_is_not_passed_over() -> None:
    with pytest.raises(ValueError, match="no line"):
        parsed("error: you must be logged in")


def test_values_are_put_over_each_other_as_helm_does() -> None:
    base = {"gateway": {"replicas": 2, "config": {"a": 1}}, "list": [1, 2]}
    more = {"gateway": {"config": {"b": 2}}, "list": [3]}
    assert merged(base, more) == {
        "gateway": {"replicas": 2, "config": {"a": 1, "b": 2}},
        "list": [3],
    }
    assert base["list"] == [1, 2]
