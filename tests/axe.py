"""axe-core over a page in the browser: what it finds serious or critical, a line each."""

from importlib.util import find_spec
from pathlib import Path

import pytest

CARRIERS = ("axe_playwright_python", "axe_core_python")  # packages that bring axe.min.js
GRAVE = ("serious", "critical")
RUN = """
axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations.flatMap(fault =>
  fault.nodes.map(node => [fault.impact, fault.id, node.target.join(" "), node.failureSummary])))
"""


def axe_script():
    """The text of axe.min.js; the test is skipped where no package brings it."""
    for name in CARRIERS:
        spec = find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            file = Path(folder) / "axe.min.js"
            if file.exists():
                return file.read_text("utf-8")
    pytest.skip("needs axe-playwright-python")
    return ""


def grave_faults(page):
    """What axe-core holds against the page as it stands."""
    page.run(f"{axe_script()}; 0")
    return [" | ".join(map(str, fault)) for fault in page.run(RUN) if fault[0] in GRAVE]
