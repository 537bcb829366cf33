"""What commands say that read a cluster with rights that do not suffice."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from support.thin_api import ThinApi, with_crds, write_kubeconfig
from zitadel_notification_operator.cli.group import znp

CANNOT = 'User "anna" cannot do that to resource "zitadelinstances"'


def forbidden(_: str) -> tuple[int, Any]:
    """Refuse as Kubernetes does, which names the verb and the resource."""
    return 403, {"kind": "Status", "code": 403, "message": CANNOT}


@pytest.mark.parametrize(
    "words", [["export"], ["history"], ["report"], ["check"], ["plan"], ["status"]]
)
def test_a_missing_right_names_the_page_that_helps(
    tmp_path: Path, words: list[str]
) -> None:
    """Not only the path of a call that was refused."""
    if words not in (["plan"], ["status"]):
        words = [*words, "--instance", "default"]
    with ThinApi(with_crds(forbidden)) as api:
        path = write_kubeconfig(tmp_path, api.url)
        done = CliRunner().invoke(znp, [*words, "--kubeconfig", str(path)])
    assert (done.exit_code, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: You may not ")
    assert "zitadelinstances" in last or words == ["status"]
    assert last.endswith("; docs/operations/security.md says which role gives it")
