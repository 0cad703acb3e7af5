"""What runs the blocks of the pages fails where a page is wrong."""

import pytest

pytestmark = pytest.mark.fast


@pytest.fixture
def examples(ci_script):
    return ci_script("docs_examples")


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str):
        file = tmp_path / "page.md"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_blocks_run_in_order_and_share_files_and_names(examples, page, tmp_path):
    text = (
        '```json title="a.json"\n{"x": 1}\n```\n'
        "```console\n$ cat a.json\n$ echo one 12.5 \\\n  two\none 3 two\n```\n"
        "```python\nimport json\nfound = json.load(open('a.json'))\n```\n"
        "1. indented\n\n    ```python\n    assert found == {'x': 1}\n    open('b', 'w').close()\n    ```\n"
        "```text\nanything\n```\n"
    ).replace("json.load(open('a.json'))", "json.loads(__import__('pathlib').Path('a.json').read_text())")

    assert examples.run(page(text)) == 5
    assert (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```console\n$ false\n```\n", "page.md:1: `false` ends with 1, not 0"),
        ("\n<!-- exits 3 -->\n```console\n$ true\n$ true\n```\n", "page.md:3: `true` ends with 0, not 3"),
        ("```console\n$ echo one\ntwo\n```\n", "prints something else"),
        ("```console\ntrain\n```\n", "without a line that begins"),
        ("```sh\ntrue\nfalse\ntrue\n```\n", "ends with 1, not 0"),
        ("<!-- shortened: b -->\n```sh\ntrue\n```\n", "only the first command of a console block"),
        ("```toml\nx = \n```\n", "page.md:1: Invalid value"),
        ("```jsonl\n{}\n{\n```\n", "page.md:1: Expecting property name"),
        ("```bash\ntrue\n```\n", "nobody here runs 'bash'"),
        ("<!-- not rnu: x -->\n```console\n$ false\n```\n", "is no mark"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(examples, page, text, message):
    with pytest.raises(examples.PageError) as raised:
        examples.run(page(text))
    assert message in str(raised.value)


def test_python_that_raises_names_the_line_of_the_page(examples, page):
    with pytest.raises(ZeroDivisionError) as raised:
        examples.run(page("text\n\n```python\nx = 1\nx / 0\n```\n"))
    assert raised.traceback[-1].lineno + 1 == 5


def test_marks_leave_out_shorten_and_expect_an_end(examples, page):
    text = (
        "<!-- not run: it needs a GPU -->\n```console\n$ false\n```\n"
        "<!-- shortened: b c -->\n```console\n$ echo a\na b c\n$ echo d\nd\n```\n"
        "<!-- exits 3 -->\n```console\n$ true\n$ exit 3\n```\n"
    )
    assert examples.run(page(text)) == 2


def test_numbers_may_differ_and_dots_stand_for_anything(examples):
    printed = "sft 10/700  loss 4.203\nsft 20/700  loss 1e-05\nend 3,000"

    assert examples.is_printed("sft 1/7 loss 0.1\n...\nend 1", printed)
    assert examples.is_printed("sft 20/700 loss 1e-3", printed)
    assert not examples.is_printed("sft 10/700 loss", printed)
    assert not examples.is_printed("sft 10/700 reward 4", printed)
    assert not examples.is_printed("end 1\n...\nsft 1/7 loss 0", printed)
