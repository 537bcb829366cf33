"""Where the control plane's programs are: the first place that has all of them."""

import os
from pathlib import Path

NEEDED = ("etcd", "kube-apiserver", "kubectl")


class MissingBinaries(RuntimeError):
    """The programs were found nowhere; the text says how to get them."""


def find_binaries() -> Path:
    """Return the folder that holds etcd, kube-apiserver and kubectl.

    Looked for in `$KUBEBUILDER_ASSETS`, `/usr/local/kubebuilder/bin`, then `.tools/bin`
    of the checkout, where `make tools` builds them.

    Raises:
        MissingBinaries: No place has all of them.
    """
    places = [Path("/usr/local/kubebuilder/bin"), _checkout() / ".tools" / "bin"]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        places.insert(0, Path(assets))
    for place in places:
        if all((place / name).is_file() for name in NEEDED):
            return place
    looked = ", ".join(str(place) for place in places)
    raise MissingBinaries(
        f"{', '.join(NEEDED)} are not in {looked}; build them with: make tools"
    )


def _checkout() -> Path:
    """Return the nearest folder upwards with a Makefile, else the current one."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "tools" / "kubernetes" / "go.mod").is_file():
            return folder
    return here
