"""Where the control plane's programs are: the first place that has all of them."""

import os
from pathlib import Path

NEEDED = ("etcd", "kube-apiserver", "kubectl")


class MissingBinaries(RuntimeError):
    """The programs were found nowhere; the text says how to get them."""


def find_binaries(needed: tuple[str, ...] = NEEDED) -> Path:
    """Return the absolute path of the folder that holds all the programs.

    Looked for in `$KUBEBUILDER_ASSETS`, `/usr/local/kubebuilder/bin`, then `.tools/bin`
    of the checkout, where `make tools` builds them. The checkout is the one around the
    current folder, else the one that this file belongs to; an installed package has
    only the first.

    Args:
        needed: Names of programs; one folder must have all of them, so that their
            versions fit.

    Raises:
        MissingBinaries: No place has all of them.
    """
    places = [Path("/usr/local/kubebuilder/bin"), *_built()]
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        places.insert(0, Path(assets).absolute())
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in needed):
            return place
    looked = ", ".join(str(place) for place in places)
    raise MissingBinaries(
        f"{', '.join(needed)} are not together in any of {looked}. "
        "Build them in a checkout of this project with: make tools. "
        "Or name the folder that has them in KUBEBUILDER_ASSETS."
    )


def _built() -> list[Path]:
    """Return `.tools/bin` of each checkout we may be in."""
    here = Path.cwd()
    folders = (here, *here.parents, *Path(__file__).parents)
    checkouts = [f for f in folders if (f / "tools/kubernetes/go.mod").is_file()]
    return list(dict.fromkeys(f / ".tools" / "bin" for f in checkouts))
