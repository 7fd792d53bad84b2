"""Every test runs with shapes and types checked at run time, and without silent broadcasts."""

import jax
import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook("dpm_jax", "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("repeatable")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """A report goes from one process to another as UTF-8, which some file names here are not."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield
