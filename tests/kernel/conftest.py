"""One lab for all kernel tests of a process: namespaces take longer to make than to use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.lab import Lab, lab


@pytest.fixture(scope="session")
def node() -> Iterator[Lab]:
    with lab() as made:
        yield made
