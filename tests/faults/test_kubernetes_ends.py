"""An object whose deletion no watch reports, on real servers."""

from pathlib import Path

from cluster.conftest import System
from support.apiproxy import ApiProxy
from support.kube_calls import read_all
from support.running import EmulatorProcess, OperatorProcess, create_secret
from support.waiting import eventually
from zitadel_notification_operator.core.kinds import KINDS
from zitadel_notification_operator.core.reasons import Reason
from zitadel_notification_operator.demo.control_plane import ControlPlane


def test_an_owner_that_ended_between_a_watch_and_its_410_is_no_conflict(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    """With Retain it has no finalizer; its successor is Ready soon."""
    create_secret(control_plane, "zitadel-credentials")
    emulator = EmulatorProcess(tmp_path)
    with emulator.program, ApiProxy(control_plane) as proxy:
        operator = OperatorProcess(
            control_plane,
            tmp_path,
            *("--watch-namespace", namespace),
            kubeconfig=proxy.kubeconfig(tmp_path / "kubeconfig"),
        )
        operator.wait_ready()
        system = System(control_plane, emulator, operator, tmp_path)
        system.instance("ends", emulator.url)
        ref = {"instanceRef": {"name": "ends"}}
        org = system.organization()
        system.policy(namespace, "old", org, deletionPolicy="Retain", **ref)
        system.wait_for(namespace, "old")
        eventually(lambda: proxy.watches == len(KINDS), what="all watches")
        proxy.silence()
        system.delete("old", namespace)
        system.gone("znp", "old", namespace)
        proxy.expire()
        eventually(lambda: len(_watches(proxy)) > len(KINDS), what="a new watch")
        system.policy(namespace, "new", org, passwordChange=False, **ref)
        # After a Conflict it would be retried only after five minutes.
        system.wait_for(namespace, "new")
        assert emulator.policy(org).get("passwordChange", False) is False
        event_reasons = _reasons_of_events(system, namespace)
        assert event_reasons
        assert Reason.CONFLICT not in event_reasons
        system.delete("new", namespace)
        system.gone("znp", "new", namespace)
        control_plane.kubectl("delete", "zni", "ends")
        assert operator.program.stop() == 0


def _watches(proxy: ApiProxy) -> list[str]:
    return [call.path for call in proxy.calls if "watch=true" in call.path]


def _reasons_of_events(system: System, namespace: str) -> set[str]:
    """Return the reasons of all Events of a namespace."""
    return {event["reason"] for event in read_all(system.plane, "event", namespace)}
