# SPDX-License-Identifier: Apache-2.0
"""The soak test, a short one."""

import pytest

from soak import soak


@pytest.mark.switch
@pytest.mark.slow
@pytest.mark.traffic            # Sanitizers keep freed memory for a while.
def test_soak():
    assert soak(60) == []
