"""CITATION.cff: a valid Citation File Format 1.2.0, and of the version that is here."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIRED = {"cff-version", "message", "title", "authors"}
ALLOWED = REQUIRED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "type", "url", "version",
}  # fmt: skip
ENTITY = {"name", "address", "alias", "city", "country", "email", "orcid", "website"}
PERSON = {"family-names", "given-names", "alias", "affiliation", "email", "orcid", "website"}


def test_the_citation_is_valid_and_of_this_version():
    yaml = pytest.importorskip("yaml")
    data = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert data.keys() >= REQUIRED and data.keys() <= ALLOWED
    assert data["cff-version"] == "1.2.0" and data["type"] in ("software", "dataset")
    assert data["authors"] and all(set(a) <= ENTITY or set(a) <= PERSON for a in data["authors"])
    assert [a["name"] for a in data["authors"]] == [a["name"] for a in project["authors"]]
    assert str(data["version"]) == project["version"] and data["license"] == project["license"]
    assert len(set(data["keywords"])) == len(data["keywords"]) > 0
    assert all(isinstance(word, str) for word in (data["title"], data["message"]))
