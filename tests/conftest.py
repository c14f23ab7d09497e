# SPDX-License-Identifier: Apache-2.0
"""Fixtures.  Tests that need a switch are to be marked "switch"."""

import contextlib

import pytest

from lab import Lab
from lab_simulation import Simulation


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


@pytest.fixture
def simulate(tmp_path):
    """A function that makes simulations."""
    made = []

    def make(weights, file_weights=(1, 1), **keys):
        path = tmp_path / f"sim{len(made)}"
        path.mkdir()
        made.append(Simulation(path, weights, file_weights, **keys))
        return made[-1]

    yield make
    for simulation in made:
        simulation.close()
