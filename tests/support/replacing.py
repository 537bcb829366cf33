"""Methods of one object that a test replaces by functions of the same signature."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Replacement(Generic[Arguments, Result]):
    """A method of an object, for which another function is to be called.

    It is a class because mypy then takes the signature from the method alone, and
    compares the function with it. If both were arguments of one function, mypy would
    accept any two signatures.
    """

    method: Callable[Arguments, Result]

    def call(self, function: Callable[Arguments, Result]) -> None:
        """Let this object call a function from now on.

        What is there then is a method again, so that it can be replaced once more. The
        original, kept from before, can be put back in the same way.
        """
        method = self.method
        assert isinstance(method, MethodType)

        @functools.wraps(method)
        def instead(_: object, *args: Arguments.args, **kw: Arguments.kwargs) -> Result:
            return function(*args, **kw)

        owner = method.__self__
        setattr(owner, method.__name__, MethodType(instead, owner))

    def around(self, function: Callable[[Callable[[], Result]], Result]) -> None:
        """Let this object call a function that gets the original call, ready to make.

        This is for what happens before or after a call, whatever its arguments are.
        """

        def surrounded(*args: Arguments.args, **kw: Arguments.kwargs) -> Result:
            return function(functools.partial(self.method, *args, **kw))

        self.call(surrounded)


def instead_of(method: Callable[Arguments, Result]) -> Replacement[Arguments, Result]:
    """Say which method is replaced: `instead_of(zitadel.observe).call(slow)`."""
    return Replacement(method)
