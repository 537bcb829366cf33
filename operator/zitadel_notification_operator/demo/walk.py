"""The walk-through of `znp demo`, which shows each command and its output."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from .processes import Program, free_port, is_free

OWN_NAMESPACE = "zitadel-notification-operator"
TOKEN = "demo-owner-token"  # noqa: S105 - only for the demo's own emulator
POLICY = "/management/v1/policies/notification"
ACME = "280000000000000101"
GLOBEX = "280000000000000102"
INITECH = "280000000000000777"
"""An organization that the demo creates and removes. Guides that begin with the demo's
cluster create more of them, whose ids must not depend on it."""
USUAL_PORT = 8085
EXAMPLE_URL = f"http://127.0.0.1:{USUAL_PORT}"
PATIENCE = 30.0
"""How long to wait for the expected result of a step, in seconds."""


class Cluster(Protocol):
    """The cluster that the demo runs in: its own control plane or an existing one.

    Attributes:
        folder: The folder for the programs' logs.
        kubeconfig: The path of the kubeconfig of a user who may install CRDs.
        outlives_demo: Whether the cluster exists after the demo, which then has to
            delete at the end what it created.
    """

    folder: Path
    kubeconfig: Path
    outlives_demo: bool

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as `run_kubectl` does."""
        ...


class DemoFailed(RuntimeError):
    """A step did not have the expected result; the text says which."""


class Demo:
    """One run of the demo: its programs and its steps."""

    def __init__(self, console: Console, checkout: Path, cluster: Cluster) -> None:
        self._console = console
        self._checkout = checkout
        self._cluster = cluster
        self._emulator_url = ""
        self._programs: list[Program] = []

    def start(self) -> None:
        """Start the emulator and the operator, and install the CRDs.

        Raises:
            DemoFailed: A command failed, or the operator did not become ready.
        """
        # The examples contain the emulator's usual port.
        port = USUAL_PORT if is_free(USUAL_PORT) else free_port()
        self._emulator_url = f"http://127.0.0.1:{port}"
        self._say("A ZITADEL (the emulator) and the operator start beside Kubernetes.")
        self._run("emulator", "--port", str(port), "--token", TOKEN)
        self._kubectl("apply", "--server-side", "-f", "deploy/crds")
        established = ("wait", "--for=condition=Established", "-f", "deploy/crds")
        self._kubectl(*established, quiet=True)
        self._kubectl("create", "namespace", OWN_NAMESPACE)
        health = free_port()
        self._run(
            "run",
            *("--kubeconfig", str(self._cluster.kubeconfig)),
            *("--health-port", str(health), "--metrics-port", "0"),
            *("--bind-address", "127.0.0.1", "--allow-local-urls"),
        )
        url = f"http://127.0.0.1:{health}/readyz"
        self._wait("the operator is ready", lambda: _answers(url))
        for program in self._programs:
            if not program.running:
                # Another demo may have taken the port in the same moment.
                raise DemoFailed(f"{program.name} has ended:\n{program.tail()}")

    def tell_what_runs(self) -> None:
        """Print how to use the cluster and the emulator while they keep running."""
        self._say(f"export KUBECONFIG={self._cluster.kubeconfig}")
        self._say(f"ZITADEL (emulator): {self._emulator_url}, token {TOKEN}")
        self._say(f"Logs: {self._cluster.folder}")

    def stop(self) -> None:
        """Stop the programs, after deleting the examples in a cluster that remains."""
        if self._cluster.outlives_demo and self._programs:
            self._take_back()
        for program in reversed(self._programs):
            program.stop()

    def walk(self) -> None:
        """Run all steps; each one waits for its expected result.

        Raises:
            DemoFailed: A step did not have its expected result in time.
        """
        self._connect()
        self._pin()
        self._set_instance()
        self._correct()
        self._refuse()
        self._delete()
        self._select()
        self._cover()
        self._overrule()

    def _connect(self) -> None:
        self._title("1. A credential, and the instance that uses it")
        self._kubectl(
            *("create", "secret", "generic", "zitadel-credentials"),
            *("--namespace", OWN_NAMESPACE, f"--from-literal=token={TOKEN}"),
            shown="kubectl create secret generic zitadel-credentials --namespace "
            f"{OWN_NAMESPACE} --from-literal=token=...",
        )
        self._apply("10-instance.yaml")
        self._await_ready("zni/default")
        self._kubectl("get", "zni")

    def _pin(self) -> None:
        self._title("2. An organization's policy: from inherited to its own")
        self._ask_zitadel(ACME, "before")
        self._apply("20-organization-policy.yaml")
        self._await_ready("znp/acme", "--namespace=default")
        self._kubectl("get", "znp", "--namespace=default")
        self._ask_zitadel(ACME, "after")

    def _set_instance(self) -> None:
        self._title("3. The instance's policy: the default of all organizations")
        self._apply("30-instance-policy.yaml")
        self._await_ready("znp/instance-default", f"--namespace={OWN_NAMESPACE}")
        self._kubectl("get", "znp", f"--namespace={OWN_NAMESPACE}")

    def _correct(self) -> None:
        self._title("4. A change behind the operator's back is corrected")
        self._say("The operator finds it in ZITADEL's events; here it looks often:")
        often = '{"spec":{"driftDetection":{"eventsInterval":"5s"}}}'
        self._kubectl("patch", "zni", "default", "--type=merge", f"--patch={often}")
        jane = {"roles": ["IAM_OWNER"], "name": "Jane Doe", "userName": "jane"}
        token = self._send("POST", "/emulator/v1/users", ACME, jane)["token"]
        self._send("PUT", POLICY, ACME, {"passwordChange": False}, token)
        self._ask_zitadel(ACME, "Jane Doe turned the mails off")
        self._wait(
            "the mails are on again", lambda: self._policy(ACME).get("passwordChange")
        )
        self._ask_zitadel(ACME, "corrected")
        self._say("The status names who made the change, from what, and to what:")
        who = "--output=jsonpath={.status.lastDrift}"
        self._wait(
            "the status tells of the change",
            lambda: (
                self._cluster.kubectl(
                    *("get", "znp", "acme", "--namespace=default", who)
                ).stdout
            ),
        )
        self._kubectl("get", "znp", "acme", "--namespace=default", who)
        by_time = "--sort-by=.metadata.creationTimestamp"
        self._kubectl("get", "events", "--namespace=default", by_time)

    def _refuse(self) -> None:
        self._title("5. A manifest that leaves the value out is refused")
        manifest = (
            "apiVersion: zitadel-notification.dev/v1alpha1\nkind: NotificationPolicy\n"
            "metadata: {name: careless}\nspec:\n  scope: Organization\n"
            '  organization: {id: "1"}\n'
        )
        self._console.print(manifest, style="dim", highlight=False)
        done = self._kubectl("apply", "-f", "-", stdin=manifest, fails=True)
        if "passwordChange" not in done:
            raise DemoFailed("the API server did not name the missing field")

    def _delete(self) -> None:
        self._title("6. A deletion resets, and says so")
        self._kubectl("delete", "znp", "acme", "--namespace=default")
        self._ask_zitadel(ACME, "inherited again")
        if not self._policy(ACME).get("isDefault"):
            raise DemoFailed("the organization still has its own policy")
        reason = "--field-selector=reason=Deleted"
        self._wait(
            "the Event is posted",
            lambda: (
                self._cluster.kubectl(
                    "get", "events", "--namespace=default", reason
                ).stdout
            ),
        )
        self._kubectl("get", "events", "--namespace=default", reason)

    def _select(self) -> None:
        self._title("7. A set: one object for all organizations")
        self._apply("10-set.yaml", "many-organizations")
        self._await_ready("znps/customers", "--namespace=default")
        self._kubectl("get", "znps,znp", "--namespace=default")

    def _cover(self) -> None:
        self._title("8. A new organization is covered by itself")
        created = {"id": INITECH, "name": "Initech"}
        self._send("POST", "/emulator/v1/organizations", INITECH, created)
        self._ask_zitadel(INITECH, "a customer signs up: Initech")
        self._wait(
            "the new organization has its policy",
            lambda: "isDefault" not in self._policy(INITECH),
        )
        self._ask_zitadel(INITECH, "a moment later")
        counted = "--for=jsonpath={.status.organizations.ready}=4"
        where = ("znps/customers", "--namespace=default", "--timeout=30s")
        self._kubectl("wait", counted, *where, quiet=True)
        self._kubectl("get", "znps", "--namespace=default")

    def _overrule(self) -> None:
        self._title("9. A policy overrules the set for one organization")
        self._apply("20-exception.yaml", "many-organizations")
        self._await_ready("znp/globex", "--namespace=default")
        overridden = "jsonpath={.status.conditions[?(@.type=='Ready')].reason}"
        self._kubectl(
            *("wait", f"--for={overridden}=Overridden", "--timeout=30s"),
            *(f"znp/customers-{GLOBEX}", "--namespace=default"),
            quiet=True,
        )
        self._kubectl("get", "znp", "--namespace=default")
        self._ask_zitadel(GLOBEX, "the exception is in force")
        self._say("Restore takes everything back when the set is deleted:")
        restore = '--patch={"spec":{"deletionPolicy":"Restore"}}'
        where = ("--namespace=default", "--type=merge")
        self._kubectl("patch", "znps", "customers", *where, restore)
        self._kubectl("patch", "znp", "globex", *where, restore)
        self._kubectl("delete", "-f", "examples/many-organizations", "--timeout=30s")
        self._ask_zitadel(GLOBEX, "inherited again")
        for org in (ACME, GLOBEX):
            if not self._policy(org).get("isDefault"):
                raise DemoFailed(f"organization {org} still has its own policy")
        self._send("DELETE", "/management/v1/orgs/me", INITECH)
        usual = '--patch={"spec":{"driftDetection":null}}'
        self._kubectl("patch", "zni", "default", "--type=merge", usual, quiet=True)

    def _take_back(self) -> None:
        """Delete the examples while the operator is still there to finalize them."""
        self._title("Deleting what the demo created")
        for examples in ("many-organizations", "quickstart"):
            self._cluster.kubectl(
                *("delete", "--ignore-not-found", "--timeout=30s"),
                *("-f", f"examples/{examples}"),
                check=False,
            )

    def _apply(self, name: str, folder: str = "quickstart") -> None:
        """Apply an example, with the emulator's real port instead of the usual one."""
        text = (self._checkout / "examples" / folder / name).read_text()
        shown = f"kubectl apply -f examples/{folder}/{name}"
        text = text.replace(EXAMPLE_URL, self._emulator_url)
        self._kubectl("apply", "-f", "-", stdin=text, shown=shown)

    def _await_ready(self, *what: str) -> None:
        self._kubectl("wait", "--for=condition=Ready", "--timeout=30s", *what)

    def _kubectl(
        self,
        *arguments: str,
        stdin: str | None = None,
        shown: str = "",
        fails: bool = False,
        quiet: bool = False,
    ) -> str:
        """Run kubectl and show the command and its output.

        Args:
            arguments: The arguments.
            stdin: The text for its standard input.
            shown: The command to show instead of the real one.
            fails: Whether the command is expected to fail.
            quiet: Whether to show nothing.

        Raises:
            DemoFailed: It failed, or it should have failed and did not.
        """
        if not quiet:
            command = shown or "kubectl " + " ".join(arguments)
            self._console.print(f"$ {command}", style="bold cyan", highlight=False)
        done = self._cluster.kubectl(*arguments, stdin=stdin, check=False)
        output = (done.stdout + done.stderr).rstrip()
        if output and not quiet:
            self._console.print(output, highlight=False, markup=False)
        if (done.returncode != 0) is not fails:
            raise DemoFailed(f"kubectl {' '.join(arguments)}: {output}")
        return output

    def _ask_zitadel(self, org: str, note: str) -> None:
        """Show the organization's policy as ZITADEL itself returns it."""
        self._console.print(
            f"$ curl ...{POLICY}   # {note}",
            style="bold cyan",
            highlight=False,
        )
        self._console.print(json.dumps(self._policy(org)), highlight=False)

    def _policy(self, org: str) -> dict[str, Any]:
        policy: dict[str, Any] = self._send("GET", POLICY, org)["policy"]
        return policy

    def _send(
        self, method: str, path: str, org: str, body: Any = None, token: str = TOKEN
    ) -> Any:
        request = urllib.request.Request(  # noqa: S310 - our own emulator
            self._emulator_url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "x-zitadel-orgid": org},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    def _run(self, *arguments: str) -> None:
        name = arguments[0]
        command = [
            sys.executable,
            "-m",
            "zitadel_notification_operator.cli",
            *arguments,
        ]
        log = self._cluster.folder / f"{name}.log"
        self._programs.append(Program(name, command, log, {**os.environ}))

    def _wait(self, what: str, ask: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ask():
            if time.monotonic() > deadline:
                tails = "\n".join(p.tail() for p in self._programs)
                raise DemoFailed(f"not within {PATIENCE:.0f} s: {what}\n{tails}")
            time.sleep(0.05)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)

    def _title(self, text: str) -> None:
        self._console.rule(text, align="left")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - loopback
            return True
    except OSError:
        return False
