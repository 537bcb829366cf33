"""Manifests are read as kubectl reads them, and errors say where they are wrong."""

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from zitadel_notification_operator.core.kinds import INSTANCE, POLICY, SET
from zitadel_notification_operator.manifests.documents import documents_in
from zitadel_notification_operator.manifests.errors import ManifestError
from zitadel_notification_operator.manifests.reading import Manifests, read_manifests

API = "zitadel-notification.dev/v1alpha1"
POLICY_TEXT = """\
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicy
metadata: {name: %s, namespace: team}
spec: {scope: Organization, organization: {id: "1"}, passwordChange: true}
"""
SET_TEXT = """\
apiVersion: zitadel-notification.dev/v1alpha1
kind: NotificationPolicySet
metadata: {name: all}
spec: {organizations: {all: true}, passwordChange: true}
"""
OTHER = "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {1: a, on: b}}\n"


def policy(name: str = "a", **spec: Any) -> dict[str, Any]:
    """Return the JSON of a policy; a field of the spec that is None is left out."""
    whole = {
        "scope": "Organization",
        "organization": {"id": "1"},
        "passwordChange": True,
        **spec,
    }
    return {
        "apiVersion": API,
        "kind": "NotificationPolicy",
        "metadata": {"name": name},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def read(*sources: Path | str, recursive: bool = False, stdin: str = "") -> Manifests:
    """Read manifests with a text as standard input."""
    texts = [str(source) for source in sources]
    return read_manifests(texts, recursive=recursive, stdin=io.StringIO(stdin))


def piped(text: str) -> Manifests:
    """Read a text from standard input."""
    return read("-", stdin=text)


def names(found: Manifests) -> list[str]:
    """Return the names of the objects, in order."""
    return [body["metadata"]["name"] for _, body in found.objects]


def refusal(text: str) -> str:
    """Return what is said of a text that is refused."""
    with pytest.raises(ManifestError) as caught:
        piped(text)
    return str(caught.value)


def test_documents_of_all_kinds_in_one_file() -> None:
    """Ours come in order, raw; others are counted, and empty ones have a number."""
    text = "---\n" + "---\n".join((POLICY_TEXT % "b", "", OTHER, SET_TEXT, "# x\n"))
    found = piped("\ufeff" + text)
    assert [kind for kind, _ in found.objects] == [POLICY, SET]
    assert names(found) == ["b", "all"]
    assert found.skipped == 1
    assert found.objects[0][1]["spec"]["organization"] == {"id": "1"}
    assert found.origins == (
        "standard input, document 1, NotificationPolicy team/b",
        "standard input, document 4, NotificationPolicySet all",
    )


def test_a_folder(tmp_path: Path) -> None:
    """Files with three endings are read, in the order of their names."""
    (tmp_path / "b.yml").write_text(POLICY_TEXT % "b")
    (tmp_path / "a.yaml").write_text(POLICY_TEXT % "a")
    (tmp_path / "c.json").write_text(json.dumps(policy("c")))
    (tmp_path / "notes.txt").write_text("{{ no manifest }}")
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    (deeper / "d.yaml").write_text(POLICY_TEXT % "d")
    assert names(read(tmp_path)) == ["a", "b", "c"]
    assert names(read(tmp_path, recursive=True)) == ["a", "b", "c", "d"]
    assert names(read(tmp_path / "b.yml", tmp_path / "a.yaml")) == ["b", "a"]


def test_a_folder_of_kustomize(tmp_path: Path) -> None:
    """A kustomization is no manifest, whether it has a kind or not."""
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "a.yaml").write_text(POLICY_TEXT % "a")
    found = read(tmp_path)
    assert (names(found), found.skipped) == (["a"], 1)


def test_lists() -> None:
    """`kubectl get -o json` gives a List; a typed one need not repeat the kind."""
    bare = {key: policy("b")[key] for key in ("metadata", "spec")}
    lists: list[Any] = [
        {"apiVersion": "v1", "kind": "List", "items": [policy("a")]},
        {"apiVersion": API, "kind": "NotificationPolicyList", "items": [bare]},
        {
            "apiVersion": "v1",
            "kind": "List",
            "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {}}],
        },
        {"apiVersion": "v1", "kind": "List", "items": []},
    ]
    found = piped("\n".join(map(json.dumps, lists)))
    assert (names(found), found.skipped) == (["a", "b"], 1)
    assert found.objects[1][0] is POLICY
    assert found.origins[1] == (
        "standard input, document 2, item 1, NotificationPolicy b"
    )


def test_kinds_of_others_with_our_names_are_skipped() -> None:
    """The kind is known by its group."""
    body = {**policy(), "apiVersion": "zitadel.truvity.io/v1alpha2"}
    assert piped(json.dumps(body)) == Manifests((), 1)


def test_an_instance_is_read() -> None:
    """It has no namespace."""
    spec = {
        "url": "https://z.example",
        "credentials": {"personalAccessToken": {"secretRef": {"name": "s"}}},
    }
    body = {
        "apiVersion": API,
        "kind": "ZitadelInstance",
        "metadata": {"name": "default"},
        "spec": spec,
    }
    assert piped(json.dumps(body)).objects == ((INSTANCE, body),)


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("2026-01-01", "2026-01-01"),
        ("1:30", "1:30"),
        ("2.8e+17", 2.8e17),
        ("280000000000000101", 280000000000000101),
        ('"1"', "1"),
        ("yes", True),
    ],
)
def test_scalars_are_those_of_kubernetes(written: str, read_as: object) -> None:
    """JSON has no dates, and nobody means a number of base 60."""
    assert list(documents_in(f"note: {written}", "x")) == [(1, {"note": read_as})]


def test_yaml_with_braces_and_anchors() -> None:
    """A text that begins with a brace may be YAML, and merge keys work."""
    text = "{apiVersion: %s, kind: NotificationPolicy, metadata: {name: a}, spec: %s}"
    spec = (
        "{<<: &x {passwordChange: false, scope: Instance}, passwordChange: true, "
        "deletionPolicy: Retain}"
    )
    (_, body) = piped(text % (API, spec)).objects[0]
    assert body["spec"] == {
        "passwordChange": True,
        "scope": "Instance",
        "deletionPolicy": "Retain",
    }


def test_merges_are_no_repeated_keys() -> None:
    """Also where what is merged is constructed later than where it is used."""
    text = "b: &b {x: 1}\na: {m: &m {<<: *b, x: 2}}\nt: {<<: *m, y: 3}\n"
    assert list(documents_in(text, "x")) == [
        (1, {"b": {"x": 1}, "a": {"m": {"x": 2}}, "t": {"x": 2, "y": 3}})
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("b: &b {x: 1}\na: {m: &m {<<: *b, x: 2, x: 3}}\nt: {<<: *m}", "occurs twice"),
        (
            "&a {apiVersion: v1, kind: List, items: [*a]}",
            "standard input: the alias 'a' is within what it stands for (line 1",
        ),
        (
            f"{POLICY_TEXT % 'a'}---\nspec: [",
            "standard input, document 2: this is no YAML that can be read: ",
        ),
        ('{"a": 1, "a": 2}', "standard input: the key 'a' occurs twice"),
        (f"{POLICY_TEXT % 'a'}kind: X", "document 1: this is no YAML that can be rea"),
        ("[1]", "standard input, document 1: this is no manifest of Kubernetes"),
        ("a: 1", "document 1: this is no manifest of Kubernetes: it has no apiVersion"),
        ("? [a]\n: b", "a key must be a text"),
        ("a: !Ref x", "could not determine a constructor"),
        ("a: \x01", "document 1: this is no YAML"),
        ("a: !!bool zz", "document 1: it holds a value that is no YAML"),
        ('a: !!int ""', "document 1: it holds a value that is no YAML"),
        ('a: !!float ""', "document 1: it holds a value that is no YAML"),
        ("a: !!timestamp x", "document 1: it holds a value that is no YAML"),
        (f"a: 1{':00' * 200}.5", "document 1: it holds a value that is no YAML"),
        ("[" * 30000, "standard input"),
        ('{"a":' * 30000, "standard input"),
        (
            json.dumps({"apiVersion": "v1", "kind": "List", "items": {}}),
            "items of a List must be a list",
        ),
        (
            json.dumps({"apiVersion": "v1", "kind": "List", "items": [3]}),
            "document 1, item 1: this is no object",
        ),
        (
            json.dumps({**policy(), "apiVersion": "zitadel-notification.dev/v2"}),
            "znp does not know NotificationPolicy of zitadel-notification.dev/v2",
        ),
        (
            json.dumps({**policy(), "kind": "Policy"}),
            "znp does not know Policy of zitadel-notification.dev/v1alpha1",
        ),
        (json.dumps({**policy(), "metadata": {}}), "without a name: metadata.name: it"),
        (json.dumps({**policy(), "metadata": 1}), "without a name: metadata: it must"),
        (json.dumps(policy("A")), "NotificationPolicy A: metadata.name: it must cons"),
        (
            json.dumps({**policy(), "metadata": {"name": "a", "namespace": "A B"}}),
            "metadata.namespace: this is no name of a namespace",
        ),
    ],
)
def test_what_cannot_be_read_is_named(text: str, says: str) -> None:
    """File, document and object are in the sentence."""
    assert says in refusal(text)


MERGES = ["m0: &m0 {a: 1, b: 2}"]
MERGES += [
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 10)}]}}" for n in range(1, 12)
]
A_LIST = "apiVersion: v1, kind: List, items:"
LISTS = [f"m0: &m0 {{{A_LIST} []}}"]
LISTS += [
    f"m{n}: &m{n} {{{A_LIST} [{', '.join([f'*m{n - 1}'] * 99)}]}}" for n in range(1, 5)
]
WITHIN = "".join(f"&a{n} {{<<: [{f'*a{n - 1}, ' * 9}], x: " for n in range(1, 40))
DEEPER = ["m0: &m0 [1]", *(f"m{n}: &m{n} [*m{n - 1}]" for n in range(1, 200))]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n".join(MERGES), "too much by aliases"),
        ("\n".join([*LISTS, "kind: List", "items: [*m4]"]), "too much by aliases"),
        ("---\n".join(["\n".join(MERGES[:6]) + "\n"] * 99), "too much by aliases"),
        (
            f"&a0 {{x: {WITHIN} 1{'}' * 40}",
            "the alias 'a0' is within what it stands for",
        ),
        ("\n".join(DEEPER), "is nested too deeply"),
    ],
    ids=["merges", "lists", "documents", "within itself", "deep"],
)
def test_a_small_text_that_would_become_huge_is_refused(text: str, says: str) -> None:
    """At once: aliases of aliases multiply what a reader has to hold."""
    begun = time.monotonic()
    assert refusal(text).startswith("standard input")
    assert says in refusal(text)
    assert time.monotonic() - begun < 5


def test_what_many_objects_have_in_common_may_be_an_alias() -> None:
    """A file of thousands of policies may merge the same few fields into each."""
    common = f"x: &x {{apiVersion: {API}, kind: NotificationPolicy}}\n"
    head = f"apiVersion: v1\nkind: List\n{common}"
    spec = "{scope: Organization, organization: {id: '1'}, passwordChange: true}"
    lines = [
        f"- {{<<: *x, metadata: {{name: a{n}}}, spec: {spec}}}" for n in range(3000)
    ]
    assert len(piped(head + "items:\n" + "\n".join(lines)).objects) == 3000


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Not\x1b[31mred\nError: X"},
        {"apiVersion": "zitadel-notification.dev/\x1b[31m\nError: X"},
        {"metadata": {"name": "\x1b[31m\nError: X"}},
        {"\x1b[31m\nError: X": 1},
        {"spec": {"\x1b[31m\nError: X": 1, "scope": "Instance"}},
        {"kind": "\x1b[31m\nError: XList", "items": 1},
        {"kind": "\x1b[31m\nError: XList", "items": [{"apiVersion": 1}]},
    ],
)
def test_no_text_of_a_file_controls_the_terminal(body: dict[str, Any]) -> None:
    """Neither colors nor lines can be made up."""
    told = refusal(json.dumps({**policy(), **body}))
    assert all(line.isprintable() for line in told.splitlines())
    assert all(line.startswith("standard input, ") for line in told.splitlines())


def test_every_wrong_object_is_told() -> None:
    """People correct a folder at once; of very many, the first ones are listed."""
    bad = [policy(f"a{n}", passwordChange=None) for n in range(30)]
    told = refusal("\n".join(map(json.dumps, bad))).splitlines()
    assert told[0] == (
        "standard input, document 1, NotificationPolicy a0: spec.passwordChange: it "
        "is required"
    )
    assert len(told) == 21
    assert told[-1] == "There are 10 more problems like these"


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    """The path is in the sentence."""
    (tmp_path / "latin").write_bytes(b"\xe9")
    (tmp_path / "empty").mkdir()
    for source, says in (
        ("none", "cannot be read: No such file"),
        ("latin", "is no text in UTF-8"),
        ("empty", "holds no file that ends in .yaml, .yml or .json; -R"),
    ):
        with pytest.raises(ManifestError, match=says):
            read(tmp_path / source)
    with pytest.raises(ManifestError, match="only once"):
        read("-", "-")
