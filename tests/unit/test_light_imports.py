"""What `znp run` imports, in a process of its own."""

import subprocess
import sys

SCRIPT = """
import gc, sys
from zitadel_notification_operator.cli.process.imports import light_imports

with light_imports():
    import zitadel_notification_operator.app
assert "kopf" in sys.modules
for name in ("kubernetes", "kubernetes.client", "requests", "pykube"):
    assert name not in sys.modules, name
assert gc.isenabled()
import kubernetes.client
import kopf

assert kubernetes.client.V1ObjectMeta(name="n").name == "n"
assert kopf.build_object_reference({"metadata": {"name": "n"}})["name"] == "n"
"""


def test_kopf_is_imported_without_clients_that_can_be_imported_later() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
