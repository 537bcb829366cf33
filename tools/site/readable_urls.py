"""A builder that gives pages the addresses that readers expect.

A README is the page of its folder (`how-to/index.html`), and `docs/` is not part of any
address. Sphinx's own builder for HTML would write `docs/how-to/README.html`.
"""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search import js_index
from sphinx.util.typing import ExtensionMetadata


def page_of(docname: str) -> str:
    """Return the name of a document's page, its path on the site without `.html`."""
    folder, slash, name = docname.removeprefix("docs/").rpartition("/")
    return folder + slash + ("index" if name == "README" else name)


class ReadableUrls(StandaloneHTMLBuilder):
    """Sphinx's builder for HTML with other names of pages."""

    name = "readable-urls"

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """Return the address of a document's page."""
        return super().get_target_uri(page_of(docname), typ)

    def get_output_path(self, page_name: str, /) -> Path:
        """Return the file of a document's page."""
        return super().get_output_path(page_of(page_name))

    def dump_search_index(self) -> None:
        """Write the search index, in which a document has the name of its page."""
        super().dump_search_index()
        path = self.outdir / self.searchindex_filename
        index = js_index.loads(path.read_text(encoding="utf-8"))
        index["docnames"] = [page_of(name) for name in index["docnames"]]
        path.write_text(js_index.dumps(index), encoding="utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the builder."""
    app.add_builder(ReadableUrls)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
