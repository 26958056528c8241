"""The tiny project, run to the end once."""

import pytest
from project import Project


@pytest.fixture(scope="session")
def finished(root, tmp_path_factory) -> Project:
    """A project whose workflow has run to the end. Shared: copy it before changing it."""
    project = Project.clone(root, tmp_path_factory.mktemp("finished") / "project")
    project.said = project.snakemake()
    return project


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A copy of the finished project that a test may change."""
    return finished.copy(tmp_path / "project")
