"""Unusual names: YAML misreads them, they are long, or no Service can have them."""

import re

import pytest

from chart.rendering import (
    LONGEST,
    container,
    of_kind,
    only,
    parse,
    refusal,
    render,
    render_text,
)

SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""DNS-1035, which is stricter than what other objects may be called."""
EVERYTHING = [
    part
    for section in ("serviceMonitor", "prometheusRule", "dashboard", "networkPolicy")
    for part in ("--set", f"{section}.enabled=true")
]


def texts(*pairs: str) -> list[str]:
    """Return options that set texts."""
    return [part for pair in pairs for part in ("--set-string", pair)]


def bare(text: str, name: str) -> list[str]:
    """Return where a name is not quoted: Go and Python read 1e3 and y differently."""
    return re.findall(rf"(?m)^.*(?:[nN]ame|namespace): {name}$", text)


@pytest.mark.parametrize("name", ["777", "no", "on", "null", "1e3", "0x1f", "true"])
def test_a_namespace_stays_a_text(name: str) -> None:
    """YAML would read these as numbers, booleans, or null."""
    text = render_text(
        *("--namespace", name, "--api-versions", "monitoring.coreos.com/v1"),
        *EVERYTHING,
        *texts(f"watchNamespaces[0]={name}", f"serviceAccount.name={name}"),
    )
    documents = parse(text)
    assert bare(text, name) == []
    spaces = [d["metadata"].get("namespace", name) for d in documents]
    assert {name} <= set(spaces) <= {name, "default"}
    assert len(of_kind(documents, "ServiceMonitor", "NetworkPolicy")) == 2
    for binding in of_kind(documents, "RoleBinding", "ClusterRoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (name, name)
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == name
    assert f"--namespace={name}" in container(documents)["args"]
    assert f"--watch-namespace={name}" in container(documents)["args"]


@pytest.mark.parametrize("name", ["no", "on", "null", "y"])
def test_a_full_name_stays_a_text(name: str) -> None:
    """This holds in every object, and for references to it."""
    text = render_text(*texts(f"fullnameOverride={name}"), *EVERYTHING)
    documents = parse(text)
    assert bare(text, name) == []
    for document in documents:
        assert isinstance(document["metadata"]["name"], str)
    for binding in of_kind(documents, "RoleBinding", "ClusterRoleBinding"):
        assert binding["roleRef"]["name"] == name


@pytest.mark.parametrize(
    ("release", "start"), [("a.b", "a-b-"), ("a.b.c1", "a-b-c1-"), ("a1", "a1-")]
)
def test_dots_of_a_release_are_dashes(release: str, start: str) -> None:
    """A Service's name has no dots."""
    documents = render(release=release)
    for document in documents:
        if document["kind"] != "CustomResourceDefinition":
            name = document["metadata"]["name"]
            assert name.startswith(start)
            assert SERVICE.fullmatch(name), name


@pytest.mark.parametrize("release", ["1abc", "9", "3.zitadel-notification-operator"])
def test_a_digit_at_the_start_is_refused(release: str) -> None:
    """The message says what to set, which helps."""
    message = refusal(release=release)
    assert "must start with a letter: set fullnameOverride" in message
    assert render("--set", "fullnameOverride=own", release=release)


@pytest.mark.parametrize("name", ["9lives", "12345", "a.b", "-a", "a-"])
def test_a_full_name_is_a_services(name: str) -> None:
    """The schema refuses others."""
    assert "at '/fullnameOverride'" in refusal(*texts(f"fullnameOverride={name}"))


def test_long_names_that_differ_at_the_end_stay_different() -> None:
    """A hash distinguishes cut names; short names have none."""
    names = [
        {d["metadata"]["name"] for d in of_kind(render(release=name), "ClusterRole")}
        for name in (LONGEST, LONGEST[:-1] + "s")
    ]
    assert [len(found) for found in names] == [5, 5]
    assert not names[0] & names[1]
    assert all(len(name) <= 63 for name in names[0] | names[1])
    long = "the-full-name-of-all-objects-that-is-just-as-long-as-it-may-be"
    twins = [
        only(render("--set", f"fullnameOverride={long}{end}"), "Service")
        for end in ("0", "1")
    ]
    found = {service["metadata"]["name"] for service in twins}
    assert len(found) == 2
    assert all(re.fullmatch(r".{46}-[0-9a-f]{8}-metrics", n) for n in found), found


def test_a_name_that_fits_is_left_alone() -> None:
    """There is no hash up to the longest name that fits."""
    fits = "a" * (63 - len("-metrics"))
    (name,) = {
        only(render("--set", f"fullnameOverride={fits}"), "Service")["metadata"]["name"]
    }
    assert name == f"{fits}-metrics"
