"""Helm 3 makes the same of the chart as Helm 4.

Both link the version of Kubernetes that they were built with, and take it for the
cluster's where there is none. So the tests name a version, except one.
"""

import pytest

from chart.rendering import (
    CASES,
    CHART,
    HELM_3,
    HELM_4,
    HELMS,
    Document,
    release_of,
    render,
    run_helm,
    values_of,
)


@pytest.mark.parametrize(("helm", "major"), [(HELM_4, "v4."), (HELM_3, "v3.")])
def test_each_is_what_its_name_says(helm: str, major: str) -> None:
    """Otherwise one Helm would be compared with itself."""
    assert run_helm("version", "--short", helm=helm).stdout.startswith(major)


@pytest.mark.parametrize("case", CASES)
def test_the_objects_are_the_same(case: str) -> None:
    """They are, in the same order, and so are the hooks."""
    options = (*values_of(case), "--kube-version=1.36.3")
    new, old = (render(*options, release=release_of(case), helm=h) for h in HELMS)
    assert len(new) > 10
    assert old == new


def test_no_version_has_to_be_named(defaults: list[Document]) -> None:
    """Helm 3 does not take Kubernetes for an old one, which the chart refuses."""
    assert render(helm=HELM_3) == defaults


@pytest.mark.parametrize("helm", HELMS)
def test_an_old_kubernetes_is_refused(helm: str) -> None:
    """The message has both versions."""
    command = ("template", "rel", str(CHART), "--kube-version=1.30.9")
    done = run_helm(*command, check=False, helm=helm)
    assert done.returncode == 1
    assert "requires kubeVersion: >=1.31.0-0" in done.stderr
    assert "1.30.9" in done.stderr
