"""The documentation site: `make docs` builds it from the documents of the checkout.

The documents stay as they are, plain Markdown whose links work in the repository. The
extensions beside this file do what a site needs in addition; docs/adr/0024 has the
reasons.
"""

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

_project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
project = _project["name"]
version = release = _project["version"]
html_title = f"{project} {version}"
project_copyright = ""
language = "en"

extensions = [
    "myst_parser",
    "console_blocks",
    "drawn_diagrams",
    "navigation",
    "readable_urls",
    "source_links",
]
root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/**/*.md",
    "deploy/helm/zitadel-notification-operator/README.md",
    "emulator/README.md",
    "emulator/docs/*.md",
]
# Otherwise all folders would be searched for documents.
exclude_patterns = [".*", "operator", "requirements", "tests", "tools"]

# As many levels of headings as a link may lead to.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]

source_base = os.environ.get("SOURCE_BASE", "")
"""The address at which the files of the repository can be read; see source_links.py."""

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_copy_source = False
html_show_copyright = False
html_use_index = False
html_domain_indices = False
html_theme_options = {"navigation_with_keys": False}
