"""Lets links to files that are no page of the site lead to the repository.

A document may link to a manifest or a folder beside the documents, such as
`../../deploy/argocd`. In the repository that link works as it is. On the site it leads
below `source_base`, for example `https://github.com/OWNER/REPOSITORY/blob/main`. A link
to a file that does not exist is left alone, so that the build complains of it.
"""

from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

DEFAULT = "https://github.com/OWNER/zitadel-notification-operator/blob/main"
"""The documents write OWNER, too, where an address depends on who publishes them."""


class LeadToRepository(SphinxTransform):
    """Replaces the links of a document to files and folders that are no pages."""

    default_priority = 800
    """Before MyST turns links to headings (879) into the same kind of node."""

    def apply(self) -> None:
        """Replace the links of this document."""
        base = (self.config.source_base or DEFAULT).rstrip("/")
        links = [
            *self.document.findall(addnodes.download_reference),
            *self.document.findall(addnodes.pending_xref),
        ]
        for link in links:
            if (place := self.place_of(link)) is not None:
                address = f"{base}/{place}"
                reference = nodes.reference("", "", *link.children, refuri=address)
                link.replace_self(reference)

    def place_of(self, link: nodes.Element) -> str | None:
        """Return where in the repository a link leads, or None if it is to a page."""
        target = link["reftarget"]
        if link["reftype"] != "myst":
            return None
        if link["refdomain"] == "doc":
            heading = f"#{link['reftargetid']}" if link["reftargetid"] else ""
            is_page = target in self.env.found_docs
            return None if is_page else f"{target}.md{heading}"
        name, found = self.env.relfn2path(target, self.env.docname)
        return name if Path(found).exists() else None


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the transform."""
    app.add_config_value("source_base", "", "env", types=(str,))
    app.add_transform(LeadToRepository)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
