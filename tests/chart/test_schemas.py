"""The rendered objects follow the schemas of Kubernetes and Prometheus Operator."""

import copy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from chart.rendering import Document, only

VERSIONS = ("1.31", "1.37")
"""The oldest that the chart takes, and the newest that the package of schemas knows."""

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
SELECTOR = {
    "type": "object",
    "additionalProperties": False,
    "required": ["matchLabels"],
    "properties": {"matchLabels": TEXTS},
}
ENDPOINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["port", "path"],
    "properties": {
        "port": {"type": "string"},
        "path": {"const": "/metrics"},
        "interval": {"type": "string"},
        "scrapeTimeout": {"type": "string"},
        "honorLabels": {"type": "boolean"},
        "honorTimestamps": {"type": "boolean"},
        "relabelings": {"type": "array"},
        "metricRelabelings": {"type": "array"},
    },
}
RULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["expr"],
    "properties": {
        "alert": {"type": "string"},
        "record": {"type": "string"},
        "expr": {"type": ["string", "integer"]},
        "for": {"type": "string"},
        "keep_firing_for": {"type": "string"},
        "labels": TEXTS,
        "annotations": TEXTS,
    },
}
GROUP = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "rules"],
    "properties": {
        "name": {"type": "string"},
        "interval": {"type": "string"},
        "rules": {"type": "array", "items": RULE},
    },
}


NAMES = {"type": "array", "items": {"type": "string"}}
NAMESPACES = {
    "type": "object",
    "additionalProperties": False,
    "required": ["matchNames"],
    "properties": {"matchNames": {**NAMES, "minItems": 1, "maxItems": 1}},
}
OPTIONAL = {
    "jobLabel": {"type": "string"},
    "podTargetLabels": NAMES,
}


def monitoring(**properties: Any) -> dict[str, Any]:
    """Return the schema of a spec with these fields; some of OPTIONAL may be added."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": {**OPTIONAL, **properties},
    }


# No package registry has Prometheus Operator's CRDs, so these are the fields that the
# chart uses, copied by hand from its API reference, monitoring.coreos.com/v1.
MONITORING = {
    "ServiceMonitor": monitoring(
        selector=SELECTOR,
        namespaceSelector=NAMESPACES,
        endpoints={"type": "array", "items": ENDPOINT, "minItems": 1},
    ),
    "PodMonitor": monitoring(
        selector=SELECTOR,
        namespaceSelector=NAMESPACES,
        podMetricsEndpoints={"type": "array", "items": ENDPOINT, "minItems": 1},
    ),
    "PrometheusRule": monitoring(groups={"type": "array", "items": GROUP}),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(documents: list[Document], version: str) -> None:
    """Fields that Kubernetes does not know are errors, too."""
    native = [d for d in documents if d["kind"] not in MONITORING]
    assert len(native) >= 10
    for document in native:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_newest_version_is_the_newest() -> None:
    """A newer package of schemas requires an edit of this file."""
    assert kubernetes_validate.latest_version() == f"{VERSIONS[-1]}.0"


def test_monitoring_is_valid(documents: list[Document]) -> None:
    """The schema has the fields that the chart should use."""
    for document in documents:
        if document["kind"] in MONITORING:
            assert document["apiVersion"] == "monitoring.coreos.com/v1"
            jsonschema.validate(document["spec"], MONITORING[document["kind"]])


def test_an_unknown_field_is_found(defaults: list[Document]) -> None:
    """Otherwise the check would be useless."""
    deployment = copy.deepcopy(only(defaults, "Deployment"))
    deployment["spec"]["template"]["spec"]["hostUser"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="hostUser"):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
