"""fixtures/golden holds what tests/golden.py writes: the same cases, and torch's values to its last digits."""

import numpy as np
import pytest
from golden import FOLDER, cases_of, golden
from test_peers_torch import PEERS

from gradcheck_cli.fixtures import arrays, schema
from gradcheck_cli.fixtures.store import read

pytestmark = pytest.mark.peers


def values(record: schema.Record) -> list[np.ndarray]:
    assert isinstance(record.expected, schema.Expected)
    entries = [*record.expected.outputs, *record.expected.gradients.values()]
    return [arrays.decode(entry, {}, record.name) for entry in entries]


@pytest.mark.parametrize("name", PEERS)
def test_golden_is_what_torch_computes(name: str) -> None:
    fresh = [golden(name, PEERS[name], n, *case) for n, case in enumerate(cases_of(name, PEERS[name]))]
    kept = [case.record for case in read(FOLDER / f"{name}.json").cases]

    for new, old in zip(fresh, kept, strict=True):
        assert (new.name, new.op, new.params, new.inputs, new.cotangents) == (
            old.name, old.op, old.params, old.inputs, old.cotangents,
        )  # fmt: skip
        for x, y in zip(values(new), values(old), strict=True):
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-13 * np.max(np.abs(y), initial=0))
