"""The errors a user can cause, by the name under which programs catch them."""

from holdfast.core.errors import (
    ConfigError,
    DataError,
    DeviceError,
    DivergedError,
    HoldfastError,
    PluginError,
    ProtocolError,
    StoreError,
)

__all__ = [
    "ConfigError",
    "DataError",
    "DeviceError",
    "DivergedError",
    "HoldfastError",
    "PluginError",
    "ProtocolError",
    "StoreError",
]
