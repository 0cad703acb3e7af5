import pytest

pytestmark = pytest.mark.fast


def test_a_folder_in_the_nav_is_every_page_of_it(ci_script):
    expanded = ci_script("docs_hook").expanded
    nav = ["index.md", {"How to": ["how-to/*"]}, {"Later": ["later/*"]}, {"One": "one.md"}]
    paths = ["how-to/data.md", "how-to/deep/er.md", "how-to/picture.svg", "index.md", "one.md"]

    assert expanded(nav, paths) == ["index.md", {"How to": ["how-to/data.md"]}, {"One": "one.md"}]


def test_a_name_on_a_page_is_a_copy_of_the_reference(ci_script):
    as_copies = ci_script("docs_hook").as_copies
    text = "::: burnish.sample.Engine\n\nText\n\n::: burnish.sample.score\n    options:\n        heading: 3\n"

    assert as_copies(text) == (
        "::: burnish.sample.Engine\n    options:\n      skip_local_inventory: true\n\nText\n\n"
        "::: burnish.sample.score\n    options:\n        skip_local_inventory: true\n        heading: 3\n"
    )
