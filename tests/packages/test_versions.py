"""Version families, version schemes and container tags."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from builder.errors import UsageError
from builder.packages import versions

_PARTS = st.integers(0, 3000)
_VERSIONS = st.builds(
    "{}{}.{}{}{}{}".format,
    st.sampled_from(["", "1!"]),
    _PARTS,
    _PARTS,
    st.sampled_from(["", ".7", ".7.1"]),
    st.sampled_from(["", "rc1", ".post2", ".dev42", "a1.dev3"]),
    st.sampled_from(["", "+gabc1234", "+acme.1", "+1.a"]),
)


@pytest.mark.parametrize(
    "core, libraries",
    [
        ("1.13.27", "0.29.27"),
        ("1.13.30.dev42+gabc1234", "0.29.30.dev42+gabc1234"),
        ("1.9.0rc1", "0.25.0rc1"),
        ("1.0.5", "0.16.5"),
    ],
)
def test_the_core_and_the_libraries_share_one_number(core: str, libraries: str) -> None:
    assert versions.libraries_version(core) == libraries
    assert versions.core_version(libraries) == core
    assert versions.release_minor(core) == versions.release_minor(libraries)


@pytest.mark.parametrize("version", ["2.0.0", "2026.11.22.5", "1!0+dev"])
def test_versions_outside_the_rule_are_the_same_for_both(version: str) -> None:
    assert versions.libraries_version(version) == version
    assert versions.release_minor(version) is None


def test_the_next_version_is_above_every_release_and_below_the_next() -> None:
    found = versions.next_versions(["1.13.9", "1.13.29", "1.12.30"], build=42, commit="abc1234def5678")

    assert (found.core, found.libraries) == ("1.13.30a0.dev42+gabc1234", "0.29.30a0.dev42+gabc1234")
    assert Version("1.13.29") < Version(found.core) < Version("1.13.30rc1")
    assert Version("0.29.29") < Version(found.libraries) < Version("0.29.30rc1")
    assert not found.notices


def test_the_next_version_of_a_tree_that_has_one_already_is_of_the_same_release() -> None:
    found = versions.next_versions(["1.13.29", "1.13.30a0.dev42+gabc1234"], build=43, commit="f" * 40)

    assert found.core == "1.13.30a0.dev43+gfffffff"


def test_the_scheme_dev_says_what_it_cannot_do() -> None:
    found = versions.dev_versions(build=7, commit="abc1234def5678")

    assert found.core == found.libraries == "1.0.0.dev7+abc1234"
    assert Version(found.core) < Version("1.8")
    assert "sorts below every real release" in found.notices[0].text


def test_calver_is_normalised() -> None:
    found = versions.calver_versions(date(2026, 1, 5), build=3)

    assert found.core == found.libraries == "2026.1.5.3" == str(Version("2026.01.05.3"))
    assert "sorts above every real release" in found.notices[0].text


@pytest.mark.parametrize("given_version", ["1.13.30", "0.29.30", "1.13.030"])
def test_a_manual_version_is_of_either_family(given_version: str) -> None:
    found = versions.manual_versions(given_version)

    assert (found.core, found.libraries) == ("1.13.30", "0.29.30")
    assert (found.of("core"), found.of("libraries")) == ("1.13.30", "0.29.30")


def test_a_version_of_the_scheme_dev_is_the_same_by_hand() -> None:
    found = versions.manual_versions("1.0.0.dev123+abc1234")

    assert found == versions.dev_versions(build=123, commit="abc1234def5678")
    # Others of 1.0.0 are releases of the core.
    assert versions.manual_versions("1.0.0rc1").libraries == "0.16.0rc1"
    assert versions.manual_versions("1.0.0a0.dev5").libraries == "0.16.0a0.dev5"
    assert versions.manual_versions("1.0.0").libraries == "0.16.0"


@pytest.mark.parametrize("version, refused", [("1.13.30.dev1", 1), ("1.13.30a0.dev1", 0), ("2.0.0.dev1", 0)])
def test_a_version_that_the_libraries_cannot_be_imported_with_is_told(version: str, refused: int) -> None:
    assert len(versions.manual_versions(version).notices) == refused


@pytest.mark.parametrize("text", ["", "1.2.3-", "latest", "1.2.3+", "${{ inputs.version }}"])
def test_what_is_no_version_is_refused(text: str) -> None:
    for function in (versions.manual_versions, versions.container_tag):
        with pytest.raises(UsageError, match="is not a version"):
            function(text)


def test_a_version_too_long_for_a_tag_is_refused() -> None:
    with pytest.raises(UsageError, match="too long"):
        versions.container_tag("1.0+" + "a" * 125)


def test_container_tags() -> None:
    assert versions.container_tag("1.13.30.dev42+gabc1234") == "1.13.30.dev42-gabc1234"
    assert versions.container_tag("1!0+dev") == "1_0-dev"


@given(_VERSIONS, _VERSIONS)
def test_container_tags_are_legal_and_different_versions_have_different_ones(one: str, other: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", versions.container_tag(one))
    assert (versions.container_tag(one) == versions.container_tag(other)) == (Version(one) == Version(other)) or (
        # 1.0 and 1.0.0 are equal, but their normalised forms differ.
        Version(one) == Version(other)
    )


@given(_VERSIONS)
def test_the_rule_goes_both_ways(version: str) -> None:
    libraries = versions.libraries_version(version)

    if libraries != str(Version(version)):
        assert versions.core_version(libraries) == str(Version(version))
