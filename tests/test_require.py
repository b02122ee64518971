"""Required marks turn skips into failures, and nothing else."""

from types import SimpleNamespace

import pytest
from require import make_report


@pytest.mark.parametrize(
    ("required", "mark", "outcome", "expected"),
    [
        ("gpu,weights", "weights", "skipped", "failed"),
        ("gpu", "weights", "skipped", "skipped"),
        ("", "gpu", "skipped", "skipped"),
        ("gpu", None, "skipped", "skipped"),
        ("gpu", "gpu", "passed", "passed"),
    ],
)
def test_a_skip_of_what_is_required_is_a_failure(monkeypatch, required, mark, outcome, expected):
    monkeypatch.setenv("VIDSEG_REQUIRE", required)
    item = SimpleNamespace(get_closest_marker=lambda name: name == mark)
    report = SimpleNamespace(outcome=outcome, skipped=outcome == "skipped", longrepr="no GPU")
    assert make_report(item, report).outcome == expected
