import pytest
from jax.sharding import AxisType

from burnish.platform.device.mesh import build_mesh, words_for_devices
from burnish.platform.errors import ConfigError

pytestmark = pytest.mark.fast


def test_build_mesh_has_auto_axes_of_the_sizes_asked_for():
    mesh = build_mesh(dp=2, fsdp=4)
    assert dict(mesh.shape) == {"dp": 2, "fsdp": 4, "tp": 1}
    assert mesh.axis_types == (AxisType.Auto,) * 3


def test_build_mesh_over_fewer_devices_takes_the_first():
    assert build_mesh(dp=2).devices.size == 2


def test_build_mesh_that_does_not_divide_the_devices_says_what_would():
    with pytest.raises(ConfigError, match=r"= 3 does not fit 8 cpu device\(s\).*one of 1, 2, 4, 8"):
        build_mesh(dp=3)


def test_idle_devices_are_told_of_unless_they_are_parts_of_one_processor():
    assert words_for_devices(1, 8, "gpu") == "1 of 8 gpu devices (jax.mesh.fsdp=8 would use all)"
    assert words_for_devices(8, 8, "gpu") == "8 gpu devices"
    assert words_for_devices(1, 8, "cpu") == "1 cpu device"
