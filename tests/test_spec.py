"""What a declared check promises by its defaults."""

from __future__ import annotations

import dataclasses

import pytest

from calls_doctor.model.check import Finding, Status
from calls_doctor.model.flow import Role
from calls_doctor.model.site import Phase, Site
from calls_doctor.spec import CheckSpec, Context


async def probe(_context: Context) -> Finding:
    return Finding(status=Status.PASS, summary="fine")


SPEC = CheckSpec(id="port.rtc-udp-echo", title="It works", probe=probe)


def test_the_category_is_the_ids_first_word() -> None:
    assert SPEC.category == "port"


def test_by_default_a_check_fits_every_site_and_vantage_and_no_run_without_a_network() -> None:
    assert SPEC.vantages == set(Role)
    assert SPEC.phases == set(Phase) - {Phase.OFFLINE}
    assert (SPEC.nothing_to_do(Site()), list(SPEC.targets(Site())), SPEC.required) == ("", [], False)


def test_a_declared_check_never_changes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.title = "another"  # type: ignore[misc]  # that it is refused is the test
