"""A report for the tests of the page, and the page of it."""

from collections.abc import Callable
from typing import Any

import pytest

from dropwatch.aggregate.folding import Folding
from dropwatch.model.drop import Finding, Totals
from dropwatch.model.report import Report
from dropwatch.render.page.page import page, page_template

Build = Callable[..., Report]


def build_report(*findings: Finding, **fields: Any) -> Report:
    folding = Folding()
    for finding in findings:
        folding.add(finding)
    packets = sum(finding.count for finding in findings)
    usual: dict[str, Any] = {
        "program": "0.2.0",
        "kernel": "6.12.1",
        "machine": "x86_64",
        "began": 1795205700.0,
        "utc_offset": 3600,
        "seconds": 60.0,
        "source": "x.whydrop",
        "view": "findings",
        "asked": "--dport 5000",
        "made_by": "",
        "payload": False,
        "anonymized": False,
        "own_netns": 4026531840,
        "sorts": tuple(folding.sorts.values()),
        "apart": dict(folding.apart),
        "timeline": folding.timeline,
        "totals": Totals({"kfree_skb": packets + 2}, packets, packets, {}, {"benign.unix-socket": 2}, ()),
    }
    return Report(**usual | fields)


@pytest.fixture
def make_report() -> Build:
    return build_report


@pytest.fixture
def page_of() -> Callable[..., str]:
    """The page of these findings, or of a report with these fields."""
    template = page_template()

    def build(*findings: Finding, **fields: Any) -> str:
        return page(build_report(*findings, **fields), template)

    return build
