"""What a live run refuses, and what it says beforehand that it cannot see."""

import pytest

from dropwatch.errors import CannotRunHere
from dropwatch.model.filter import Filter
from dropwatch.run.live import absent_reasons, refuse_reasons_without_names


def test_without_reasons_in_the_kernel_a_filter_by_reason_cannot_run() -> None:
    wanted = Filter(reasons=frozenset({"NO_SOCKET"}))
    with pytest.raises(CannotRunHere, match="gives no drop reasons") as error:
        refuse_reasons_without_names(wanted, frozenset())
    assert "--cause" in error.value.hint
    refuse_reasons_without_names(wanted, frozenset({"NO_SOCKET"}))
    refuse_reasons_without_names(Filter(not_reasons=frozenset({"NO_SOCKET"})), frozenset())


def test_a_reason_that_this_kernel_lacks_is_a_blind_spot() -> None:
    wanted = Filter(reasons=frozenset({"NO_SOCKET", "OVS_DROP_METER", "TC_EGRESS"}))
    found = absent_reasons(wanted, frozenset({"NO_SOCKET", "ovs_drop_meter"}))
    assert found == ("drop reason TC_EGRESS: this kernel has none of that name, unless a module brings it",)
