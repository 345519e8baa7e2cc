"""JUnit XML, the form in which CI servers take results."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from dyncp.files import write_text

Outcome = Literal["passed", "failure", "error", "skipped"]

# What XML 1.0 cannot hold, even escaped (https://www.w3.org/TR/xml/#charsets).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Case:
    """One result. ``error``: it could not be judged; ``failure``: judged, and wrong.

    ``message`` is a line, ``details`` what stands below it; ``seconds`` is 0 if not known.
    """

    name: str
    outcome: Outcome = "passed"
    message: str = ""
    details: str = ""
    seconds: float = 0.0


def write_junit(path: str | Path, suite: str, cases: Iterable[Case]) -> None:
    """Write one test suite atomically, in the form that Jenkins, GitLab and GitHub read."""
    cases = list(cases)
    element = ElementTree.Element("testsuite", name=_clean(suite), tests=str(len(cases)))
    for attribute, outcome in (("failures", "failure"), ("errors", "error"), ("skipped",) * 2):
        element.set(attribute, str(sum(case.outcome == outcome for case in cases)))
    element.set("time", f"{sum(case.seconds for case in cases):.3f}")
    for case in cases:
        child = ElementTree.SubElement(element, "testcase", name=_clean(case.name))
        child.set("classname", _clean(suite))
        child.set("time", f"{case.seconds:.3f}")
        if case.outcome != "passed":
            result = ElementTree.SubElement(child, case.outcome, message=_clean(case.message))
            result.text = _clean(case.details) or None
        elif case.details:
            ElementTree.SubElement(child, "system-out").text = _clean(case.details)
    root = ElementTree.Element("testsuites")
    root.append(element)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode", xml_declaration=False)
    write_text(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + text + "\n")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
