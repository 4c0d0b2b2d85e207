import shutil

import pytest
from real_backups import Office


@pytest.fixture
def office(tmp_path):
    """A private home, in which jobs are written and run."""
    made = Office(tmp_path / "office")
    yield made
    shutil.rmtree(made.root)  # or the next session would have gigabytes and hundreds of thousands of files to remove


@pytest.fixture(scope="session")
def shared_office(tmp_path_factory):
    """Makes a home that several tests look at."""
    return lambda name: Office(tmp_path_factory.mktemp(name) / "office")
