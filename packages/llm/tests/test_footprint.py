import pytest

from burnish.llm.footprint import human_bytes

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [
        (0, "0.0 KiB"),
        (512, "0.5 KiB"),
        (36_864, "36.0 KiB"),
        (2**20 - 1, "1,024.0 KiB"),
        (2**20, "1.0 MiB"),
        (1_386_252, "1.3 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**42, "4,096.0 GiB"),
    ],
)
def test_bytes_are_said_in_the_unit_that_they_fill(num_bytes, said):
    assert human_bytes(num_bytes) == said
