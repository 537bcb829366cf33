"""Runs commands of `znp` against an emulated ZITADEL, and checks their JSON."""

import json
import urllib.request
from pathlib import Path
from typing import Any

import jsonschema
from click.testing import CliRunner, Result

from zitadel_emulator.testing import EmulatedZitadel
from zitadel_notification_operator.cli.group import znp

SCHEMAS = Path(__file__).parent.parent.parent / "docs" / "reference" / "schemas"
OF_ORGANIZATION = "/management/v1/policies/notification"
OF_INSTANCE = "/admin/v1/policies/notification"


class Auditor:
    """Somebody who has a token for a ZITADEL, and `znp`.

    Args:
        zitadel: The emulated ZITADEL.
        folder: Where the token is stored.
    """

    def __init__(self, zitadel: EmulatedZitadel, folder: Path) -> None:
        self.zitadel = zitadel
        self.folder = folder

    def run(self, command: str, *arguments: str, token: str = "") -> Result:
        """Run a command, with the owner's token unless another one is given.

        It may make as many calls as it likes. No output may contain the token.
        """
        token = token or self.zitadel.token
        file = self.folder / "token"
        file.write_text(token)
        line = [command, *arguments, "--url", self.zitadel.url, "--allow-local-urls"]
        line += ["--token-file", str(file), "--requests-per-second", "10000"]
        done = CliRunner().invoke(znp, line, catch_exceptions=False)
        assert token not in done.output
        return done

    def json(self, command: str, *arguments: str, token: str = "") -> Any:
        """Run a command with `-o json`, and check its output against its schema."""
        done = self.run(command, "-o", "json", *arguments, token=token)
        found = json.loads(done.stdout)
        schema = json.loads((SCHEMAS / f"{command}.json").read_text())
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(
            found, schema, jsonschema.Draft202012Validator, format_checker=checker
        )
        return found

    def call(self, method: str, organization: str, value: bool, token: str) -> None:
        """Change a policy as a user, by one of ZITADEL's own calls.

        Args:
            method: The verb.
            organization: Whose policy; empty means the instance's.
            value: The value of `passwordChange`; unused by a DELETE.
            token: The user's token.
        """
        headers = {"Authorization": f"Bearer {token}"}
        if organization:
            headers["x-zitadel-orgid"] = organization
        path = OF_ORGANIZATION if organization else OF_INSTANCE
        request = urllib.request.Request(  # noqa: S310 - the emulator's url
            self.zitadel.url + path,
            json.dumps({"passwordChange": value}).encode(),
            headers,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - see above
            assert answer.status == 200
