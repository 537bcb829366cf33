"""The Go programs that build.py beside this file builds, and how it links them.

Each program's source is a Go module, pinned in a folder beside this file. build.py runs
before anything is installed, so this uses only the standard library.
"""

from dataclasses import dataclass
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
CHECKOUT = TOOLS.parent
BUILT = CHECKOUT / ".tools"
KUBERNETES_VERSION = "k8s.io/component-base/version"
HELM_3 = "helm.sh/helm/v3"


@dataclass(frozen=True)
class Link:
    """A required module whose version is built into the programs of a folder.

    Attributes:
        module: The module's path in the folder's go.mod.
        flags: Flags for the linker, with placeholders {version}, {major} and {minor}
            for that version.
    """

    module: str
    flags: str


@dataclass(frozen=True)
class Module:
    """A folder beside this file with a go.mod, and how its programs are built.

    Attributes:
        folder: The name of the folder.
        links: The versions that are built into the programs.
        tags: Go's build tags, separated by commas.
    """

    folder: str
    links: tuple[Link, ...] = ()
    tags: str = ""


@dataclass(frozen=True)
class Program:
    """One program: the module that pins it, its Go package and its target folder."""

    module: Module
    package: str
    place: Path = BUILT / "bin"


def kubernetes(folder: str) -> Module:
    """Return a module whose programs contain the version of Kubernetes.

    They need it because kubectl and Helm refuse a server of version v0.0.0.
    """
    link = Link(
        "k8s.io/kubernetes",
        f"-X {KUBERNETES_VERSION}.gitVersion={{version}} "
        f"-X {KUBERNETES_VERSION}.gitMajor={{major}} "
        f"-X {KUBERNETES_VERSION}.gitMinor={{minor}}",
    )
    return Module(folder, (link,))


KUBERNETES = kubernetes("kubernetes")
OLDER = {"1.33": kubernetes("kubernetes-1.33")}
"""The minor versions for `--kubernetes`; each is built into a folder of its own."""
HELM_4 = Link(
    "helm.sh/helm/v4", "-X helm.sh/helm/v4/internal/version.version={version}"
)
HELM_3_LINKS = (
    Link(HELM_3, f"-X {HELM_3}/internal/version.version={{version}}"),
    # Without a cluster, Helm 3 assumes the Kubernetes whose version is linked into it,
    # or else 1.20. client-go v0.37 belongs to Kubernetes 1.37.
    *(
        Link(
            "k8s.io/client-go",
            f"-X {HELM_3}/pkg/{package}.k8sVersionMajor=1 "
            f"-X {HELM_3}/pkg/{package}.k8sVersionMinor={{minor}}",
        )
        for package in ("chartutil", "lint/rules")
    ),
)
PROGRAMS = {
    "etcd": Program(KUBERNETES, "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": Program(
        KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager"
    ),
    "kubectl": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"),
    "helm": Program(Module("helm", (HELM_4,)), "helm.sh/helm/v4/cmd/helm"),
    "helm3": Program(Module("helm3", HELM_3_LINKS), f"{HELM_3}/cmd/helm"),
    "kube-score": Program(
        Module("linter"), "github.com/zegl/kube-score/cmd/kube-score"
    ),
    "promtool": Program(
        Module("prometheus", tags="remove_all_sd"),
        "github.com/prometheus/prometheus/cmd/promtool",
    ),
    "actionlint": Program(
        Module("actionlint"), "github.com/rhysd/actionlint/cmd/actionlint"
    ),
    "kind": Program(Module("kind"), "sigs.k8s.io/kind"),
}
