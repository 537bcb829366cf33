"""kube-score's checks of the default chart, with reasons for those we do not follow."""

import json
import subprocess
from typing import Any

import pytest

from chart.rendering import render_text
from zitadel_notification_operator.demo.binaries import find_binaries

EXEMPT = {
    "container-image-pull-policy": (
        "a released tag is never pushed again, and Always keeps a pod from starting "
        "while the registry is away; image.pullPolicy is a value"
    ),
    "pod-networkpolicy": (
        "opt-in: where ZITADEL and the API server are, only the user knows; "
        "networkPolicy.enabled makes one"
    ),
    "container-security-context-user-group-id": (
        "the image has a numeric user above 10000, and OpenShift refuses a pod that "
        "names one; podSecurityContext is a value"
    ),
    "deployment-has-host-podantiaffinity": (
        "topologySpreadConstraints keep the pods on different nodes"
    ),
}
"""Checks that fail at defaults, and are right to do so."""

FLAGS = (
    # A CPU limit slows down a program that has work to do; the conventions leave it to
    # the user (resources.limits.cpu).
    "--ignore-container-cpu-limit",
    *("--kubernetes-version", "v1.31"),
    *("--enable-optional-test", "container-seccomp-profile"),
    *("--enable-optional-test", "container-ports-check"),
    *("--output-format", "json"),
)
BAD = 5
"""kube-score's grades: 1 critical, 5 warning, 7 almost good, 10 good."""


def score(text: str) -> dict[str, set[str]]:
    """Return the objects that fail a check, by check."""
    done = subprocess.run(
        [str(find_binaries(("kube-score",)) / "kube-score"), "score", *FLAGS, "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    objects: list[dict[str, Any]] = json.loads(done.stdout)
    assert objects, done.stderr
    found: dict[str, set[str]] = {}
    for one in objects:
        checks = one["checks"]
        assert any(not check["skipped"] for check in checks)
        for check in checks:
            if not check["skipped"] and check["grade"] <= BAD:
                found.setdefault(check["check"]["id"], set()).add(one["object_name"])
    return found


def test_nothing_but_the_exempt_is_found() -> None:
    """Each exemption is still needed."""
    assert set(score(render_text())) == set(EXEMPT)


def test_a_network_policy_satisfies_its_check() -> None:
    """This holds for the operator; the test's pod is exempt."""
    found = score(render_text("--set", "networkPolicy.enabled=true"))
    assert found["pod-networkpolicy"] == {
        "Pod/v1/operators/rel-zitadel-notification-operator-test"
    }


@pytest.mark.parametrize(
    ("option", "check"),
    [
        ("securityContext.readOnlyRootFilesystem=false", "readonlyrootfilesystem"),
        ("resources.limits.memory=null", "container-resources"),
        ("podDisruptionBudget.enabled=false", "deployment-has-poddisruptionbudget"),
        ("image.tag=latest", "container-image-tag"),
    ],
)
def test_it_finds_what_is_broken(option: str, check: str) -> None:
    """Otherwise the scanner would be useless."""
    assert any(check in found for found in score(render_text("--set", option)))
