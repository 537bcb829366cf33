"""Puts the Lua of `deploy/argocd` into the patch for Argo CD's ConfigMap.

The folders are laid out as Argo CD's own `resource_customizations`; the patch is for
those whose Argo CD does not have them. Written anew by

    python tests/gitops/customizations.py
"""

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

FOLDER = Path(__file__).parent.parent.parent / "deploy" / "argocd"
GROUP = "zitadel-notification.dev"
PATCH = FOLDER / "argocd-cm.yaml"

HEAD = f"""\
# Health and actions of our kinds for Argo CD: a patch for its ConfigMap. Made of the
# Lua files in {GROUP}/ by tests/gitops/customizations.py; edit those.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    # Argo CD reads no ConfigMap without it.
    app.kubernetes.io/part-of: argocd
data:
"""


def render() -> str:
    """Return the patch."""
    kinds = sorted(folder for folder in (FOLDER / GROUP).iterdir() if folder.is_dir())
    return HEAD + "".join(text for kind in kinds for text in _entries(kind))


def _entries(kind: Path) -> Iterator[str]:
    name = f"{GROUP}_{kind.name}"
    health = (kind / "health.lua").read_text()
    yield f"  resource.customizations.health.{name}: |\n{indent(health, ' ' * 4)}"
    discovery = (kind / "actions" / "discovery.lua").read_text()
    yield f"  resource.customizations.actions.{name}: |\n"
    yield f"    discovery.lua: |\n{indent(discovery, ' ' * 6)}    definitions:\n"
    for script in sorted(kind.glob("actions/*/action.lua")):
        text = indent(script.read_text(), " " * 10)
        yield f"      - name: {script.parent.name}\n        action.lua: |\n{text}"


if __name__ == "__main__":
    PATCH.write_text(render())
