"""Actors of scenarios; `ACTORS` lists all of them."""

from __future__ import annotations

from scenarios.actors.account import AccountActor
from scenarios.actors.console import ConsoleActor
from scenarios.actors.device import DeviceActor, NetworkActor
from scenarios.actors.fault import FaultActor
from scenarios.actors.http import HttpActor
from scenarios.actors.portal import PortalActor
from scenarios.actors.result_observer import ResultObserver
from scenarios.actors.user import UserActor
from scenarios.model.actor import Actor

__all__ = ["ACTORS"]

ACTORS: tuple[type[Actor], ...] = (
    PortalActor,
    ConsoleActor,
    AccountActor,
    UserActor,
    DeviceActor,
    NetworkActor,
    FaultActor,
    HttpActor,
    ResultObserver,
)
