"""The walk: connect, set a policy, correct what somebody else changed, let it go.

It makes an organization of its own and touches no other, nor the instance's policy.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smoke.cluster import (
    NAME,
    NAMESPACE,
    PATIENCE,
    apply,
    prepare,
    status_of,
    wait_ready,
)
from smoke.zitadel import Zitadel
from support.running import ZNP, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.demo.control_plane import ControlPlane


class WalkFailed(Exception):
    """A step had another result than it must have; the text says which."""


@dataclass(frozen=True)
class Walk:
    """One walk against a ZITADEL.

    Attributes:
        zitadel: The ZITADEL.
        token_file: The file with its token, for the commands of `znp`.
        say: Receives what each step has found.
    """

    zitadel: Zitadel
    token_file: Path
    say: Callable[[str], None]

    def run(self) -> None:
        """Walk from the beginning to the end, and remove the organization.

        Raises:
            WalkFailed: A step had another result than it must have.
            NotReady: An object did not become Ready.
            CallFailed: ZITADEL refused a call of the walk itself.
        """
        self.say(self._znp("check", "--for", "organizations", "--for", "events"))
        name = f"znp-smoke-{secrets.token_hex(4)}"
        organization = self.zitadel.create_organization(name)
        self.say(f"Created the organization {name} ({organization})")
        try:
            inherits, mails = self.zitadel.policy(organization)
            _require(inherits, "a new organization inherits its policy")
            with ControlPlane() as plane:
                self._in_cluster(plane, organization, mails)
            self._history(organization, mails)
        finally:
            self.zitadel.remove_organization(organization)
            self.say(f"Removed the organization {name} ({organization})")

    def _in_cluster(
        self, plane: ControlPlane, organization: str, inherited: bool
    ) -> None:
        prepare(plane)
        create_secret(plane, "zitadel-credentials", self.zitadel.token)
        # The proxies of the environment count, unlike in tests.
        operator = OperatorProcess(plane, plane.folder, environment=os.environ)
        with operator.program:
            operator.wait_ready()
            self._connect(plane)
            self._set(plane, organization, inherited)
            self._correct(plane, organization, inherited)
            self._let_go(plane, organization, inherited)
            code = operator.program.stop()
        _require(code == 0, f"the operator ends with 0: {code}")

    def _connect(self, plane: ControlPlane) -> None:
        secret = {"secretRef": {"name": "zitadel-credentials"}}
        spec = {
            "url": self.zitadel.url,
            "allowInsecureHTTP": self.zitadel.url.startswith("http:"),
            "credentials": {"personalAccessToken": secret},
            "driftDetection": {"eventsInterval": "5s"},
            "grants": [{"namespaces": [NAMESPACE]}],
        }
        apply(plane, "ZitadelInstance", spec)
        status = wait_ready(plane, "zni")
        found = status.get("driftDetection", {})
        _require(found.get("method") == "Events", f"drift is found by events: {found}")
        version = status.get("version", "of an unknown version")
        self.say(f"Connected to ZITADEL {version}; drift is found by its events")

    def _set(self, plane: ControlPlane, organization: str, inherited: bool) -> None:
        spec = {
            "instanceRef": {"name": NAME},
            "scope": "Organization",
            "organization": {"id": organization},
            "passwordChange": not inherited,
        }
        apply(plane, "NotificationPolicy", spec)
        wait_ready(plane, "znp")
        found = self.zitadel.policy(organization)
        _require(found == (False, not inherited), f"ZITADEL has the value: {found}")
        self.say(f"Set passwordChange from {inherited} (inherited) to {not inherited}")

    def _correct(self, plane: ControlPlane, organization: str, changed: bool) -> None:
        self.zitadel.set_policy(organization, mails=changed)
        eventually(
            lambda: self.zitadel.policy(organization) == (False, not changed),
            PATIENCE,
            "the change of somebody else is corrected",
        )

        def drift() -> Any:
            return status_of(plane, "znp").get("lastDrift")

        found = eventually(drift, PATIENCE, "the status tells of the change")
        editor = found.get("editor", {})
        _require(bool(editor.get("id")), f"the status names the editor: {found}")
        self.say(f"Corrected a change of {editor.get('name') or editor['id']}")

    def _let_go(self, plane: ControlPlane, organization: str, inherited: bool) -> None:
        where = ("--namespace", NAMESPACE, "--timeout=120s")
        plane.kubectl("delete", "znp", NAME, *where)
        found = self.zitadel.policy(organization)
        _require(found == (True, inherited), f"it inherits again: {found}")
        plane.kubectl("delete", "zni", NAME, "--timeout=120s")
        self.say("Deleted the policy; the organization inherits again")

    def _history(self, organization: str, inherited: bool) -> None:
        text = self._znp("history", "--organization", organization, "--output", "json")
        found = [
            (change["to"]["source"], change["to"]["passwordChange"])
            for change in json.loads(text)["changes"]
            if change["scope"] == "Organization"
        ]
        wanted = [
            ("Own", not inherited),
            ("Own", inherited),
            ("Own", not inherited),
            ("Inherited", inherited),
        ]
        _require(found == wanted, f"the history has the four changes: {found}")
        self.say("znp history shows these changes, and no other")

    def _znp(self, command: str, *options: str) -> str:
        """Run a command of `znp` with this ZITADEL, and return its output.

        Raises:
            WalkFailed: Its exit code is not 0.
        """
        words = [*ZNP, command, "--url", self.zitadel.url, "--allow-local-urls"]
        words += ["--token-file", str(self.token_file), *options]
        if self.zitadel.url.startswith("http:"):
            words.append("--allow-insecure-http")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        _require(done.returncode == 0, f"znp {command} ends with 0:\n{output}")
        return done.stdout.rstrip()


def _require(is_so: bool, what: str) -> None:
    """Raise an error that says what should have been so, if it is not.

    Raises:
        WalkFailed: It is not so.
    """
    if not is_so:
        raise WalkFailed(f"This should be so and is not: {what}")
