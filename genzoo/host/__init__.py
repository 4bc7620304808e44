"""Finding plugins: what is installed, what is known, and what keeps the process safe from their declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genzoo.host.plugin_host import Host


def host() -> Host:
    """See `genzoo.host.plugin_host.host`."""
    from genzoo.host.plugin_host import host as made

    return made()
