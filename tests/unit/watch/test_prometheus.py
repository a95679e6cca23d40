"""What is packaged for Prometheus and Grafana: it asks for what the recorder has, and leads to pages that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from dropwatch.model.drop import Finding, Totals
from dropwatch.resources import resource_dir
from dropwatch.watch.metrics import Metrics

ROOT = resource_dir("bpf").parent
RULES = ROOT / "packaging" / "prometheus" / "whydrop.rules.yml"
TESTS = RULES.with_name("whydrop.rules.test.yml")
DASHBOARD = ROOT / "packaging" / "grafana" / "whydrop.json"
CAUSES = {path.stem for path in (ROOT / "docs" / "causes").glob("*.md")} - {"README"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "6h", "$job": "whydrop", "$instance": ".*"}


def promtool(*words: object) -> "subprocess.CompletedProcess[str]":
    if shutil.which("promtool") is None:
        pytest.skip("feature promtool: not installed")
    return subprocess.run(["promtool", *map(str, words)], check=False, capture_output=True, text=True)


def alerts() -> dict[str, str]:
    """The text of each, by its name."""
    parts = re.split(r"^ *- (?=alert:|record:|name:)", RULES.read_text(), flags=re.MULTILINE)
    return {
        part.split()[1]: part
        for part in (re.sub(r"\n *#.*", "", part) for part in parts)
        if part.startswith("alert:")
    }


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found = json.loads(DASHBOARD.read_text())
    assert isinstance(found, dict)
    return found


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.fixture
def exposed(find: Callable[..., Finding]) -> set[str]:
    """Names of series that the recorder has."""
    totals = Totals({"kfree_skb": 1}, 1, 1, {}, {"benign.tap-copy": 1}, ())
    metrics = Metrics("0.0")
    metrics.begin(lambda: totals, lambda: {"otlp": 1})
    metrics.add(find())
    metrics.take(totals)
    return {sample.name for family in metrics.registry().collect() for sample in family.samples}


def series(text: str) -> set[str]:
    """Those named in PromQL; what a recording rule makes has a colon."""
    return set(re.findall(r"(?<![\w:$])(?:whydrop|process)_\w+(?![\w:])", text))


def test_the_rules_do_what_their_tests_say() -> None:
    done = promtool("test", "rules", TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    assert set(alerts()) == set(re.findall(r"alertname: (\w+)", TESTS.read_text()))


def test_rules_and_panels_ask_for_what_there_is(dashboard: dict[str, Any], exposed: set[str]) -> None:
    asked = series(RULES.read_text()) | {name for text in expressions(dashboard) for name in series(text)}
    assert asked <= exposed
    assert {name for name in exposed if name.startswith("whydrop")} <= asked


def test_the_panels_speak_promql(dashboard: dict[str, Any], tmp_path: Path) -> None:
    file, rules = tmp_path / "panels.yml", []
    for number, text in enumerate(expressions(dashboard)):
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        assert "$" not in text
        rules.append({"record": f"panel:{number}", "expr": text})
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_says_what_why_and_where_to_read_on() -> None:
    assert len(alerts()) > 8
    for name, text in alerts().items():
        for annotation in ("summary", "description", "runbook_url"):
            assert re.search(rf"^ +{annotation}: \S", text, re.MULTILINE), (name, annotation)


def test_the_pages_that_alerts_lead_to_are_there() -> None:
    for name, text in alerts().items():
        page = re.search(
            r"runbook_url: https://docs\.example/(?:causes/(.+)\.html|(\w+\.md))$", text, re.MULTILINE
        )
        assert page is not None, name
        cause, file = page.groups()
        if file is not None:
            assert (ROOT / "docs" / file).is_file(), name
            continue
        how, causes = re.findall(r'cause(=|=~|!~)"([^"]+)"', text)[0]
        matched = {one for one in CAUSES if re.fullmatch(causes.replace("\\\\", "\\"), one)}
        if cause == "{{ $labels.cause }}":
            assert matched if how == "=~" else how == "!~", name
        else:
            assert (how, matched) == ("=", {cause}), name


def as_grafana_writes_it(dashboard: dict[str, Any]) -> Any:
    """Read by Grafana's own types, and written by them."""
    reason = "feature grafana-foundation-sdk: not installed"
    pytest.importorskip("grafana_foundation_sdk", reason=reason)
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def test_the_dashboard_is_what_grafana_takes(dashboard: dict[str, Any]) -> None:
    """A key that its types do not know, or take for something else, is lost."""
    assert list(lost(dashboard, as_grafana_writes_it(dashboard), "")) == []


def lost(before: Any, after: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if value is not None:
                yield from lost(value, after.get(key), f"{where}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{where}[{number}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def test_a_key_that_grafana_does_not_know_is_found(dashboard: dict[str, Any]) -> None:
    wrong = json.loads(json.dumps(dashboard))
    wrong["panels"][0]["options"]["graphmode"] = "none"
    found = list(lost(wrong, as_grafana_writes_it(wrong), ""))
    assert found == [".panels[0].options.graphmode: 'none' became None"]


def test_panels_have_numbers_and_places_of_their_own(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_panels_ask_the_source_that_is_chosen(dashboard: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert "datasource" in {variable["name"] for variable in dashboard["templating"]["list"]}
    for panel in dashboard["panels"]:
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
            1 + len(panel["targets"])
        )
        for target in panel["targets"]:
            assert 'job="$job",instance=~"$instance"' in target["expr"]
