"""`znp` against the emulator, over HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from zitadel_emulator.testing import EmulatedZitadel
from zitadel_notification_operator.cli.group import znp

Znp = Callable[..., Result]


@pytest.fixture
def run_znp(zitadel: EmulatedZitadel, tmp_path: Path) -> Znp:
    """Run a command with the emulator as its ZITADEL."""
    token = tmp_path / "token"
    token.write_text(zitadel.token)

    def run(command: str, *arguments: str, **settings: Any) -> Result:
        options = ["--url", zitadel.url, "--token-file", str(token)]
        options += ["--allow-local-urls", "--requests-per-second", "10000"]
        return CliRunner().invoke(znp, [command, *options, *arguments], **settings)

    return run
