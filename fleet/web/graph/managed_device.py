"""managedDevice: the properties that Graph lists of a device, read off its view.

Property names and values are those of learn.microsoft.com/graph/api/resources/
intune-devices-manageddevice. Properties that Graph has and the fleet does not know are in
`NOT_SIMULATED`: they can be selected, and are null.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from agent.state import GroupSetup
from broker.contract import DeviceState
from broker.timestamps import format_timestamp
from fleet.web.device_view import DeviceView
from fleet.web.graph.action_results import action_results
from platforms.profile import Attributes, PlatformProfile

__all__ = [
    "ACTION_RESULTS",
    "NOT_SIMULATED",
    "PROPERTIES",
    "ManagedDevice",
    "Property",
    "Value",
    "document_of",
    "guid_of",
]

Value = str | bool | int | None
"""A property's value; a date and time is an int, milliseconds since the epoch."""
ACTION_RESULTS: Final = "deviceActionResults"
_AGENTS: Final = {
    "standalone": "mdm",
    "hybrid": "configurationManagerClientMdm",
    "exchange_activesync": "eas",
}
NOT_SIMULATED: Final = frozenset(
    {
        "activationLockBypassCode",
        "androidSecurityPatchLevel",
        "azureADDeviceId",
        "azureADRegistered",
        "complianceGracePeriodExpirationDateTime",
        "configurationManagerClientEnabledFeatures",
        "deviceCategoryDisplayName",
        "deviceEnrollmentType",
        "deviceHealthAttestationState",
        "easActivated",
        "easActivationDateTime",
        "easDeviceId",
        "emailAddress",
        "ethernetMacAddress",
        "exchangeAccessState",
        "exchangeAccessStateReason",
        "exchangeLastSuccessfulSyncDateTime",
        "freeStorageSpaceInBytes",
        "iccid",
        "imei",
        "isEncrypted",
        "jailBroken",
        "managedDeviceName",
        "managementCertificateExpirationDate",
        "manufacturer",
        "meid",
        "notes",
        "partnerReportedThreatState",
        "phoneNumber",
        "physicalMemoryInBytes",
        "remoteAssistanceSessionErrorDetails",
        "remoteAssistanceSessionUrl",
        "requireUserEnrollmentApproval",
        "serialNumber",
        "subscriberCarrier",
        "totalStorageSpaceInBytes",
        "udid",
        "userDisplayName",
        "wiFiMacAddress",
    }
)
"""Properties of the real type of which the fleet knows nothing."""


def guid_of(root: str, name: str) -> str:
    """The GUID of a device or user: a version 5 UUID of the topic root and the name."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, root), name))


@dataclass(frozen=True, slots=True)
class ManagedDevice:
    """A device with its state; `setup` and `profile` are None where another fleet hosts it."""

    guid: str
    user_guid: str
    view: DeviceView
    state: DeviceState
    setup: GroupSetup | None
    profile: PlatformProfile | None

    @property
    def attributes(self) -> Attributes:
        """The device's own attributes, else its platform's."""
        if self.setup is not None and self.setup.attributes is not None:
            return self.setup.attributes
        return self.profile.attributes if self.profile else Attributes()

    @property
    def supervised(self) -> bool:
        """True if the device is supervised, in the sense of iOS."""
        return bool(self.attributes.supervised)

    @property
    def last_sync(self) -> int:
        """The last check-in; without one, the time of the last message from the device."""
        checked_in = self.state.last_check_in
        return self.view.last_heard if checked_in is None else checked_in


def _operating_system(device: ManagedDevice) -> str:
    return device.profile.inventory.operating_system if device.profile else "Unknown"


def _os_version(device: ManagedDevice) -> str | None:
    attributes, profile = device.attributes, device.profile
    if attributes.os_version:
        return ".".join(map(str, attributes.os_version))
    # The version listed for the platform is that of its own API level.
    if profile is None or attributes.api_level != profile.attributes.api_level:
        return None
    return profile.inventory.os_version or None


@dataclass(frozen=True, slots=True)
class Property:
    """One property of a managedDevice: its type, and how to read it."""

    kind: Literal["string", "boolean", "dateTime"]
    read: Callable[[ManagedDevice], Value]


def _text(read: Callable[[ManagedDevice], str | None]) -> Property:
    return Property("string", read)


PROPERTIES: Final[Mapping[str, Property]] = MappingProxyType(
    {
        "id": _text(lambda d: d.guid),
        "deviceName": _text(lambda d: d.view.device_id),
        "operatingSystem": _text(_operating_system),
        "osVersion": _text(_os_version),
        "model": _text(lambda d: d.profile.inventory.model if d.profile else None),
        "userPrincipalName": _text(lambda d: d.state.owner),
        "userId": _text(lambda d: d.user_guid),
        "managedDeviceOwnerType": _text(lambda d: "company" if d.supervised else "personal"),
        "managementAgent": _text(lambda d: _AGENTS[d.state.management]),
        "complianceState": _text(lambda d: d.state.compliance),
        "enrolledDateTime": Property("dateTime", lambda d: d.view.first_heard),
        "lastSyncDateTime": Property("dateTime", lambda d: d.last_sync),
        "isSupervised": Property("boolean", lambda d: d.supervised),
        "deviceRegistrationState": _text(
            lambda d: "registered" if d.state.enrolled and not d.state.wiped else "notRegistered"
        ),
    }
)
"""Every property but `deviceActionResults`, in the order in which it is written."""


def document_of(
    device: ManagedDevice, select: Collection[str] | None, *, with_results: bool
) -> dict[str, Any]:
    """The managedDevice as JSON values; `select` None means every property.

    `deviceActionResults` are empty without `with_results`, as in Intune's lists.
    """
    if select is None:
        document = {name: _written(known, device) for name, known in PROPERTIES.items()}
    else:
        document = {
            name: _written(PROPERTIES[name], device) if name in PROPERTIES else None
            for name in select
            if name != ACTION_RESULTS
        }
    if select is None or ACTION_RESULTS in select:
        document[ACTION_RESULTS] = action_results(device.view) if with_results else []
    return document


def _written(known: Property, device: ManagedDevice) -> Any:
    value = known.read(device)
    return format_timestamp(value) if known.kind == "dateTime" and type(value) is int else value
