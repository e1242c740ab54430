"""An update looked at before it is used: data checked, versions compared, a gate, a page."""

from holdfast.release.aside import Split, keep_aside
from holdfast.release.checks import Finding, audit
from holdfast.release.gate import Gate, Verdict
from holdfast.release.measured import Measured, measure

__all__ = ["Finding", "Gate", "Measured", "Split", "Verdict", "audit", "keep_aside", "measure"]
