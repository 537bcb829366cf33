"""A running emulator, as tests see it."""

from .organizations import Organizations
from .policies import Policies
from .records import Records
from .trouble import Trouble
from .users import Users


class EmulatedZitadel(Organizations, Users, Policies, Trouble, Records):
    """A running emulator: what a client needs to use it, and what a test does with it.

    The methods may be called from synchronous and from asynchronous tests: the emulator
    is another process, and a call of it takes about a millisecond.

    Attributes:
        url: The base URL of the emulated ZITADEL.
        token: The personal access token of a user who is IAM_OWNER.
    """

    def __init__(self, url: str, token: str) -> None:
        """Attach to a running emulator.

        Args:
            url: The base URL, which must begin with http.
            token: The token that it was started with.
        """
        super().__init__(url)
        self.token = token

    def reset(self) -> None:
        """Start anew: all is as it was when the emulator started, except the URL.

        Requests that hang are cut.
        """
        self.control("POST", "reset")
