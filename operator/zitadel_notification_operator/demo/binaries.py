"""The search for the control plane's programs."""

import os
from pathlib import Path

NEEDED = ("etcd", "kube-apiserver", "kubectl")


class MissingBinaries(RuntimeError):
    """The programs were not found; the text says how to get them."""


def find_binaries(needed: tuple[str, ...] = NEEDED) -> Path:
    """Return the absolute path of the first folder that holds all the programs.

    The search order is `$KUBEBUILDER_ASSETS`, `/usr/local/kubebuilder/bin`, and then
    `.tools/bin` of a checkout, where `make tools` builds the programs. A checkout is
    first looked for around the current folder and then around this file, which is in
    none if the package was installed elsewhere.

    Args:
        needed: The names of the programs. One folder must have all of them, so that
            their versions match.

    Raises:
        MissingBinaries: No folder has all of them.
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
    """Return `.tools/bin` of each checkout around the current folder and this file."""
    here = Path.cwd()
    folders = (here, *here.parents, *Path(__file__).parents)
    checkouts = [f for f in folders if (f / "tools/kubernetes/go.mod").is_file()]
    return list(dict.fromkeys(f / ".tools" / "bin" for f in checkouts))
