"""Colours the blocks of commands, which the documents mark as `console`.

Pygments takes each line of such a block without a prompt for output, but our documents
write commands without prompts, so that they can be copied.
"""

from pygments.lexers.shell import BashLexer
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the lexer."""
    app.add_lexer("console", BashLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
