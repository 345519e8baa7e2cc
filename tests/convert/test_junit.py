"""A CI server shows what failed, whatever the names hold."""

from pathlib import Path
from xml.etree import ElementTree

from convert.junit import Case, write_junit


def test_a_server_counts_each_outcome_and_shows_its_message(tmp_path: Path) -> None:
    path = tmp_path / "out" / "junit.xml"
    cases = [
        Case("a", seconds=0.25, details="some 3 frames"),
        Case("b", "failure", "byte 7 differs", "expected 1\ngot 2", 0.5),
        Case("c", "error", "no interpreter"),
        Case("d", "skipped", "no board"),
    ]
    write_junit(path, "parity", cases)
    suite = ElementTree.parse(path).getroot()[0]
    assert suite.attrib == {
        "name": "parity", "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
        "time": "0.750",
    }  # fmt: skip
    assert [child.get("name") for child in suite] == ["a", "b", "c", "d"]
    assert [[part.tag for part in child] for child in suite] == [
        ["system-out"], ["failure"], ["error"], ["skipped"],
    ]  # fmt: skip
    assert suite[1][0].attrib == {"message": "byte 7 differs"}
    assert suite[1][0].text == "expected 1\ngot 2"
    assert suite[0][0].text == "some 3 frames"


def test_a_tensor_with_a_hostile_name_still_gives_xml_that_reads(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    hostile = 'gate\x00\x1b[31m<&"\ud800\n'
    write_junit(path, hostile, [Case(hostile, "failure", hostile, hostile)])
    case = ElementTree.parse(path).getroot()[0][0]
    assert case.get("name") == 'gate��[31m<&"�\n'
