"""`VIDSEG_REQUIRE=gpu,weights`: on a machine that is meant to have these, a skipped test is a failed one."""

import os


def make_report(item, report):
    """Turn a skip of a test with a required mark into a failure; return the report."""
    required = os.environ.get("VIDSEG_REQUIRE", "").split(",")
    missing = [mark for mark in required if mark and item.get_closest_marker(mark)]
    if report.skipped and missing and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"VIDSEG_REQUIRE names {', '.join(missing)}, but the test was skipped: {report.longrepr}"
    return report
