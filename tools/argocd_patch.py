"""Write the patch for Argo CD's ConfigMap from the Lua files of deploy/argocd.

    python tools/argocd_patch.py [--check]

The folders have the layout of Argo CD's own `resource_customizations`. The patch is for
users whose Argo CD does not contain these customizations. With `--check` the script
writes nothing, and fails if the patch is out of date.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "argocd"
GROUP = "zitadel-notification.dev"
PATCH = FOLDER / "argocd-cm.yaml"

HEAD = f"""\
# Health and actions of our kinds for Argo CD: a patch for its ConfigMap. Made of the
# Lua files in {GROUP}/ by tools/argocd_patch.py; edit those.
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


def main() -> int:
    """Write or check the patch and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    text = render()
    if not options.check:
        PATCH.write_text(text)
        return 0
    if PATCH.is_file() and PATCH.read_text() == text:
        return 0
    print(f"{PATCH.relative_to(ROOT)} is out of date", file=sys.stderr)
    print("Run: python tools/argocd_patch.py", file=sys.stderr)
    return 1


def render() -> str:
    """Return the text of the patch."""
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
    sys.exit(main())
