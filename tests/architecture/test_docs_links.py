from pathlib import PurePosixPath

import pytest

pytestmark = pytest.mark.fast

PAGE = PurePosixPath("docs/how-to/page.md")


@pytest.fixture
def links(ci_script):
    return ci_script("docs_links")


def test_a_link_out_of_the_docs_leads_to_the_repository(links, root):
    text = "[loop](../../examples/rl_loop.py#L3) and [page](../start/install.md)"

    assert links.with_repository_links(text, PAGE, root=root, repository="https://host/me/it") == (
        "[loop](https://host/me/it/blob/main/examples/rl_loop.py#L3) and [page](../start/install.md)"
    )


def test_where_no_repository_is_known_it_is_text(links, root):
    text = "[`rl_loop.py`](../../examples/rl_loop.py)"
    assert links.with_repository_links(text, PAGE, root=root, repository="") == "`rl_loop.py`"


def test_a_file_that_is_not_there_is_named(links, root):
    with pytest.raises(links.MissingFileError, match=r"leads to examples/gone\.py"):
        links.with_repository_links("[x](../../examples/gone.py)", PAGE, root=root, repository="")


def test_blocks_of_code_are_left_alone(links, root):
    text = "```python\n[x](../../gone.py)\n```\n"
    assert links.with_repository_links(text, PAGE, root=root, repository="") == text
