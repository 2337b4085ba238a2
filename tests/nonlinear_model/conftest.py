import pytest

from nonlinear_model.data.digits import load


@pytest.fixture(scope="session")
def digits():
    return load()
