"""The platforms, gathered in an explicit tuple: what is not listed here does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from platforms.android import ANDROID
from platforms.ios import IOS
from platforms.profile import PlatformProfile
from platforms.windows_8_1 import WINDOWS_8_1
from platforms.windows_10_mobile import WINDOWS_10_MOBILE
from platforms.windows_phone_8 import WINDOWS_PHONE_8
from platforms.windows_phone_8_1 import WINDOWS_PHONE_8_1
from platforms.windows_rt import WINDOWS_RT
from platforms.windows_rt_8_1 import WINDOWS_RT_8_1

__all__ = ["PLATFORMS", "PLATFORMS_BY_ID", "PlatformProfile"]

PLATFORMS: tuple[PlatformProfile, ...] = (
    IOS,
    ANDROID,
    WINDOWS_PHONE_8,
    WINDOWS_PHONE_8_1,
    WINDOWS_10_MOBILE,
    WINDOWS_RT,
    WINDOWS_RT_8_1,
    WINDOWS_8_1,
)

PLATFORMS_BY_ID: Mapping[str, PlatformProfile] = MappingProxyType({p.id: p for p in PLATFORMS})
