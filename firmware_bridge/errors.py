"""What can go wrong between here and a board, by name."""

from __future__ import annotations

from dyncp.errors import UserError


class LinkError(UserError):
    """Something is wrong between here and the board."""


class LinkTimeout(LinkError):
    """The board said nothing intact in the time and the attempts that it had."""


class TransportClosed(LinkError):
    """The port or the emulator went away."""


class VersionMismatch(LinkError):
    """The board speaks another version of the protocol."""


class WrongFirmware(LinkError):
    """The board runs another build or another model than expected."""


class BoardRestarted(LinkError):
    """The board has forgotten the session: its rings are cold."""


class BoardFault(LinkError):
    """The board's processor faulted and stopped."""


class RequestRefused(LinkError):
    """The board understood a request and refused it."""
