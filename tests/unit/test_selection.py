"""Which organizations a set selects."""

import time
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zitadel_notification_operator.core.policy import Organization
from zitadel_notification_operator.core.selection import Matcher, Selector, problem_of

SIGNS = "aAbBßİé.-*?[]()\\\n $^{}+|"
GLOBS = st.text(SIGNS, max_size=8)
TEXTS = st.text(SIGNS, max_size=10)


def fits(glob: str, text: str) -> bool:
    """Match as the design describes globs, without any regular expression."""
    wanted, given_text = glob.casefold(), text.casefold()

    @cache
    def rest(i: int, j: int) -> bool:
        if i == len(wanted):
            return j == len(given_text)
        if wanted[i] == "*":
            return rest(i + 1, j) or (j < len(given_text) and rest(i, j + 1))
        if j == len(given_text):
            return False
        return wanted[i] in {"?", given_text[j]} and rest(i + 1, j + 1)

    return rest(0, 0)


@given(GLOBS, TEXTS)
def test_a_glob_means_what_it_says(glob: str, text: str) -> None:
    """Stars and question marks are the only signs with a meaning; case is ignored."""
    organization = Organization("1", text)
    assert Matcher(name=glob).matches(organization) is fits(glob, text)
    assert Matcher(domain=glob).matches(Organization("1", "n", text)) is fits(
        glob, text
    )


@given(TEXTS)
def test_every_text_fits_itself_and_the_glob_around_it(text: str) -> None:
    """Also in upper case, and with stars at both ends."""
    plain = text.replace("*", "").replace("?", "")
    assert Matcher(name=plain).matches(Organization("1", plain))
    assert Matcher(name=f"*{plain}*").matches(Organization("1", f"x{plain}y"))
    assert Matcher(name=plain.upper()).matches(Organization("1", plain.upper()))


MATCHERS = st.builds(
    Matcher,
    name=st.none() | GLOBS,
    domain=st.none() | GLOBS,
    id=st.none() | st.sampled_from("123"),
)
ORGANIZATIONS = st.builds(Organization, st.sampled_from("123"), TEXTS, TEXTS)


@given(st.booleans(), st.lists(MATCHERS), st.lists(MATCHERS), ORGANIZATIONS)
def test_exclude_wins_and_one_matcher_is_enough(
    all_of_them: bool,
    include: list[Matcher],
    exclude: list[Matcher],
    organization: Organization,
) -> None:
    """Whatever the order of the matchers is."""
    selector = Selector(all_of_them, tuple(include), tuple(exclude))
    turned = Selector(all_of_them, tuple(include[::-1]), tuple(exclude[::-1]))
    chosen = all_of_them or any(one.matches(organization) for one in include)
    excluded = any(one.matches(organization) for one in exclude)
    assert selector.selects(organization) is (chosen and not excluded)
    assert turned.selects(organization) is selector.selects(organization)


@given(MATCHERS, ORGANIZATIONS)
def test_the_fields_of_a_matcher_must_all_match(
    matcher: Matcher, organization: Organization
) -> None:
    """A matcher without fields matches nothing."""
    parts = [
        Matcher(**{name: value})
        for name in ("name", "domain", "id")
        if (value := getattr(matcher, name)) is not None
    ]
    wanted = bool(parts) and all(part.matches(organization) for part in parts)
    assert matcher.matches(organization) is wanted


def test_an_organization_without_a_domain_fits_no_domain_but_a_star() -> None:
    """ZITADEL may leave the primary domain out."""
    assert not Matcher(domain="*.example.com").matches(Organization("1", "acme"))
    assert Matcher(name="acme").matches(Organization("1", "acme"))


@pytest.mark.parametrize(
    ("selector", "word"),
    [
        (Selector(), "include"),
        (Selector(exclude=(Matcher(name="a"),)), "include"),
        (Selector(True, (Matcher(name="a"),)), "not both"),
        (Selector(include=(Matcher(),)), "needs a name"),
        (Selector(True, exclude=(Matcher(),)), "needs a name"),
        (Selector(include=(Matcher(name="*"),)), "wildcards only"),
        (Selector(True, exclude=(Matcher(domain="?*?"),)), "wildcards only"),
        (Selector(include=(Matcher(name=""),)), "wildcards only"),
    ],
)
def test_what_would_mean_everything_by_accident_is_refused(
    selector: Selector, word: str
) -> None:
    """Each message says what to write instead."""
    assert word in problem_of(selector)


def test_selectors_that_say_what_they_mean_are_accepted() -> None:
    """All, or some matchers, each with exceptions."""
    some = (Matcher(name="customer-*", domain="*.example.com"), Matcher(id="1"))
    assert not problem_of(Selector(True))
    assert not problem_of(Selector(True, exclude=some))
    assert not problem_of(Selector(include=some, exclude=some))


def test_no_glob_takes_long() -> None:
    """A tenant may write it, and a tenant may name its organization."""
    began = time.process_time()
    glob = Matcher(name="*a" * 100 + "b")
    assert not glob.matches(Organization("1", "a" * 200))
    assert time.process_time() - began < 1
