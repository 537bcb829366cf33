"""What the documentation site makes of the documents of a small checkout."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BASE = "https://git.example.com/us/zno/-/blob/v1"
README = """\
# The front page

[A guide](docs/how-to/one.md), [its end](docs/how-to/one.md#the-end),
[guides](docs/how-to/README.md), [a folder](deploy/crds),
[a file](deploy/crds/one.yaml), [no page](tools/README.md).
"""
GUIDE = """\
# A guide

[Back](../../README.md), [all](README.md), [a file](../../deploy/crds/one.yaml).

```console
kubectl get znp
```

## The end

A word: zyzzogeton.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a front page, a guide and a manifest."""
    files = {
        "README.md": README,
        "docs/how-to/README.md": "# Guides\n\n- [A guide](one.md)\n",
        "docs/how-to/one.md": GUIDE,
        "deploy/crds/one.yaml": "kind: CustomResourceDefinition\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "tools/site/navigation.py").open("a") as navigation:
        navigation.write('SECTIONS = {"Use": ["docs/how-to/README"]}\n')
    return tmp_path


def build(checkout: Path, base: str = BASE) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout as `make docs` does."""
    makefile = (ROOT / "Makefile").read_text()
    _, _, rest = makefile.partition("/sphinx-build ")
    options = rest.partition(". .site\n")[0].replace("\\\n", " ").split()
    options = [option.replace("$(VENV)", ".venv") for option in options]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", ".site"],
        cwd=checkout,
        env={"SOURCE_BASE": base, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def page(checkout: Path, name: str) -> str:
    """Return the text of a page of the site."""
    return (checkout / ".site" / name).read_text()


def test_links_lead_to_pages_and_to_the_repository(checkout: Path) -> None:
    """A README is the page of its folder, and `docs/` is in no address."""
    done = build(checkout)
    assert done.returncode == 0, done.stderr
    front = page(checkout, "index.html")
    for address in (
        "how-to/one.html",
        "how-to/one.html#the-end",
        "how-to/index.html",
        f"{BASE}/deploy/crds",
        f"{BASE}/deploy/crds/one.yaml",
        f"{BASE}/tools/README.md",
    ):
        assert f'href="{address}"' in front, address
    guide = page(checkout, "how-to/one.html")
    for address in ("../index.html", "index.html", f"{BASE}/deploy/crds/one.yaml"):
        assert f'href="{address}"' in guide, address
    assert not (checkout / ".site" / "_downloads").exists()


def test_without_a_base_the_owner_is_open(checkout: Path) -> None:
    """No page names somebody's repository."""
    assert build(checkout, "").returncode == 0
    owner = "https://github.com/OWNER/zitadel-notification-operator/blob/main"
    assert f'href="{owner}/deploy/crds"' in page(checkout, "index.html")


def test_the_search_knows_the_pages_by_their_addresses(checkout: Path) -> None:
    assert build(checkout).returncode == 0
    text = page(checkout, "searchindex.js")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert index["docnames"] == ["index", "how-to/index", "how-to/one"]
    assert index["docnames"][index["terms"]["zyzzogeton"]] == "how-to/one"


def test_commands_have_colours(checkout: Path) -> None:
    """Without the lexer of our own, all of the block would be output."""
    assert build(checkout).returncode == 0
    assert 'class="go"' not in page(checkout, "how-to/one.html")


MISTAKES = [
    ("README.md", "[gone](docs/gone.md)", "docs/gone.md"),
    ("README.md", "[gone](deploy/gone.yaml)", "deploy/gone.yaml"),
    ("README.md", "[gone](docs/how-to/one.md#no-end)", "'no-end'"),
    ("docs/how-to/one.md", "[gone](#no-heading)", "'no-heading'"),
    # There is a folder of this name.
    ("README.md", "[gone](#deploy)", "'deploy'"),
    ("docs/how-to/two.md", "# Left out", "isn't included in any toctree"),
    ("README.md", "```mermaid\nflowchart LR\n```", "run `make diagrams`"),
]
"""A line of a document, and what the build must complain of, beside the document."""


def test_a_mistake_makes_the_build_fail(checkout: Path) -> None:
    """It names the document. The other tests show that it succeeds without one."""
    for file, text, _ in MISTAKES:
        with (checkout / file).open("a") as document:
            document.write(f"\n{text}\n")
    done = build(checkout)
    assert done.returncode == 1
    complaints = done.stderr.splitlines()
    for file, _, words in MISTAKES:
        found = [line for line in complaints if file in line and words in line]
        assert len(found) == 1, (words, done.stderr)
    assert len(complaints) == len(MISTAKES)


def test_a_diagram_is_a_picture_with_a_description(checkout: Path) -> None:
    """The picture is the one that was drawn of just this text."""
    text = "flowchart LR\n    accDescr: From a to b\n    a --> b"
    block = f"\n```mermaid\n{text}\n```\n"
    (checkout / "README.md").write_text(README + block)
    command = f"import diagram_files as files; print(files.picture_of({text!r}))"
    found = subprocess.run(
        [sys.executable, "-c", command],
        cwd=checkout / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
    picture = checkout / found.stdout.strip()
    picture.parent.mkdir(parents=True)
    picture.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>\n')
    done = build(checkout)
    assert done.returncode == 0, done.stderr
    front = page(checkout, "index.html")
    assert 'alt="From a to b"' in front
    assert f'src="_images/{picture.name}"' in front
