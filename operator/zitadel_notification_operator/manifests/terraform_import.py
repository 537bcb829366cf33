"""Writes Terraform's import blocks: the way back to the provider zitadel/zitadel.

An import block makes Terraform take over what is there, without a change in ZITADEL.
The provider reads an id as parts that colons separate.
"""

import json
import re
from typing import TextIO

from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.text import shown_name

from .object_names import object_name
from .survey import Survey
from .yaml_text import comment

_HEADER = """\
# Terraform 1.5 or newer makes the resources for these blocks:
#   terraform plan -generate-config-out=policies.tf
"""

_INSTANCE = """
# The instance's policy has no id, and a block needs one. Write the resource and type:
#   terraform import zitadel_default_notification_policy.default ''
"""


def write_imports(survey: Survey, stream: TextIO, *, instance: bool) -> int:
    """Write a block for each organization with a policy of its own.

    Args:
        survey: What ZITADEL holds.
        stream: Where to.
        instance: Whether to say how the instance's policy is imported.

    Returns:
        How many blocks were written.
    """
    stream.write(_HEADER)
    own = [held.organization for held in survey.held if held.is_own]
    stream.writelines(_block(organization) for organization in own)
    if instance:
        stream.write(_INSTANCE)
    return len(own)


def _block(organization: Organization) -> str:
    name = object_name(organization.name, organization.id)
    if not name[0].isalpha():
        name = f"org-{name}"
    key = organization.id.replace(":", "__SEMICOLON__")
    return (
        f"\n{comment(shown_name(organization.name))}"
        "import {\n"
        f"  to = zitadel_notification_policy.{name}\n"
        f"  id = {_quoted(key)}\n"
        "}\n"
    )


def _quoted(text: str) -> str:
    """Return a text as HCL writes it: as JSON, with templates escaped."""
    return re.sub(r"([$%])\{", r"\1\1{", json.dumps(text))
