"""Windows 8.1: the rules of Windows RT, which the sources give it in the same words."""

from dataclasses import replace

from platforms.profile import Inventory
from platforms.windows_rt import WINDOWS_RT

WINDOWS_8_1 = replace(
    WINDOWS_RT,
    id="windows_8_1",
    title="Windows 8.1",
    inventory=Inventory(
        operating_system="Windows", os_version="6.3.9600", model="Windows 8.1 tablet"
    ),
)
