"""The `fault` actor: scripted refusals of commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import BaseModel, Field

from broker.contract import REFUSALS, RefusalName
from scenarios.model.actor import Actor, ActorRequest, SimulateDevice, StepRefusedError
from scenarios.model.file import DeviceStep

__all__ = ["FaultActor"]


class RefuseStep(DeviceStep):
    """Let the next commands that a refusal concerns fail, with the platform's native answer.

    `case` is one of `broker.contract.REFUSALS`; each platform has its own cases.
    """

    case: RefusalName = Field(description=f"one of {', '.join(REFUSALS)}")
    count: int = Field(default=1, ge=1, le=1000, description="a whole number from 1 to 1000")


class FaultActor(Actor):
    """Faults of devices, one step for each kind."""

    name: ClassVar[str] = "fault"
    steps: ClassVar[Mapping[str, type[BaseModel]]] = {"refuse": RefuseStep}

    def perform(self, step: str, arguments: BaseModel, now: int) -> Sequence[ActorRequest]:
        """Return the request that scripts the refusal.

        Raises StepRefusedError if the platform of the device has no such refusal.
        """
        del step, now
        assert isinstance(arguments, RefuseStep)  # noqa: S101  # `steps` lists its class
        device = self.shared.device(arguments.device)
        cases = [rule.case.value for rule in device.profile.refusals]
        if arguments.case not in cases:
            expected = f"a refusal of {device.profile.title}: {', '.join(cases) or 'none'}"
            raise StepRefusedError(expected, arguments.case)
        values = {"case": arguments.case, "count": arguments.count}
        return [SimulateDevice(device, "refuse", values)]
