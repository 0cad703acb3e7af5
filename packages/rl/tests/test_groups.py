import pytest

from burnish.platform.errors import ComponentError
from burnish.rl.groups import require_whole

pytestmark = pytest.mark.fast


def test_groups_that_were_asked_for_are_whole(group):
    require_whole([group(0, [None, None]), group(1, [None, None])], 2, 2)


@pytest.mark.parametrize(
    "sizes", [{0: 2}, {0: 2, 2: 2}, {0: 2, 1: 1}, {1: 2, 0: 2}, {0: 2, 1: 2, 2: 2}], ids=str
)
def test_twin_groups_of_another_number_or_size_are_refused_by_what_was_asked_for(group, sizes):
    groups = [group(number, [None] * size) for number, size in sizes.items()]
    with pytest.raises(ComponentError, match=r"rollout: it returned .* asked for 2 of each of 2 prompts"):
        require_whole(groups, 2, 2)
