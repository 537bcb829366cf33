"""Methods that a test replaces: only on one object, and as often as it likes."""

from collections.abc import Callable

from support.replacing import instead_of


class Greeter:
    """Greets people."""

    def greet(self, name: str) -> str:
        return f"Hello, {name}"


def test_another_object_keeps_its_method() -> None:
    one, other = Greeter(), Greeter()
    instead_of(one.greet).call(lambda name: f"Bye, {name}")
    assert one.greet("Ada") == "Bye, Ada"
    assert other.greet("Ada") == "Hello, Ada"


def test_what_was_replaced_can_be_replaced_again_and_put_back() -> None:
    """A name of an argument works as well; `del` removes every replacement."""
    one = Greeter()
    greet = one.greet
    instead_of(one.greet).call(lambda name: f"Bye, {name}")
    instead_of(one.greet).call(lambda name: f"Psst, {name}")
    assert one.greet(name="Ada") == "Psst, Ada"
    instead_of(one.greet).call(greet)
    assert one.greet("Ada") == "Hello, Ada"
    del one.greet
    assert one.greet("Ada") == "Hello, Ada"


def test_a_function_around_a_method_decides_when_it_is_called() -> None:
    one = Greeter()

    def politely(greet: Callable[[], str]) -> str:
        return f"{greet()}. How do you do?"

    instead_of(one.greet).around(politely)
    instead_of(one.greet).around(politely)
    assert one.greet("Ada") == "Hello, Ada. How do you do?. How do you do?"
