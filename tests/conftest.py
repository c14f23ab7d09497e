# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that need a switch; mark those "switch"."""

import contextlib

import pytest

from lab import Lab


@pytest.fixture
def make_lab():
    """A function that starts a lab, which ends with the test.  Takes what Lab
    takes."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Lab(*args,
                                                              **kwargs))


@pytest.fixture
def lab(make_lab):
    """Three servers, two clients."""
    return make_lab()


@pytest.fixture(scope="module")
def make_module_lab():
    """As make_lab, but the lab ends with the module."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(Lab(*args,
                                                              **kwargs))


@pytest.fixture(scope="module")
def module_lab(make_module_lab):
    """Three servers, two clients, shared by the tests of a module."""
    return make_module_lab()
