import sys

import pytest

from burnish.platform.lazy import lazy_names

pytestmark = pytest.mark.fast


@pytest.fixture
def find(tmp_path, monkeypatch):
    package = tmp_path / "burnish_lazy"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "bright.py").write_text("shine = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield lazy_names("burnish_lazy", {"shine": "bright"})
    for name in ("burnish_lazy", "burnish_lazy.bright"):
        sys.modules.pop(name, None)


def test_module_is_imported_with_the_first_use_of_its_name(find):
    assert "burnish_lazy.bright" not in sys.modules
    assert find("shine") == 7
    assert "burnish_lazy.bright" in sys.modules


def test_name_that_is_not_public_is_no_attribute(find):
    with pytest.raises(AttributeError, match="module 'burnish_lazy' has no attribute 'bright'"):
        find("bright")
