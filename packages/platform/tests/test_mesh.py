import pytest
from jax.sharding import AxisType

from burnish.platform.configuration.config import JaxConfig, MeshConfig
from burnish.platform.device.mesh import arranged, build_mesh, counted_out, mesh_of, words_for_devices
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
    assert words_for_devices(1, 8, "gpu") == "1 of 8 gpu devices (jax.mesh.fsdp=auto would use all)"
    assert words_for_devices(8, 8, "gpu") == "8 gpu devices"
    assert words_for_devices(1, 8, "cpu") == "1 cpu device"


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ({"fsdp": "auto"}, (1, 8, 1)),
        ({"dp": "auto", "tp": 2}, (4, 1, 2)),
        ({"dp": 2, "fsdp": 2, "tp": "auto"}, (2, 2, 2)),
        ({"dp": 8, "fsdp": "auto"}, (8, 1, 1)),
        ({"dp": 2}, (2, 1, 1)),
    ],
)
def test_auto_is_the_devices_that_other_axes_leave(sizes, found):
    mesh = MeshConfig(**sizes)
    assert counted_out(mesh, 8).sizes == found
    assert tuple(mesh_of(mesh).shape.values()) == found
    assert arranged(JaxConfig(mesh=mesh)).mesh.sizes == found


def test_auto_beside_what_does_not_divide_the_devices_says_what_would():
    with pytest.raises(ConfigError, match=r"dp=3 \* fsdp=2 \* tp=1 = 6 does not fit 8"):
        mesh_of(MeshConfig(dp=3, fsdp="auto"))
    with pytest.raises(ConfigError, match="dp=16"):
        mesh_of(MeshConfig(dp=16, fsdp="auto"))


def test_two_axes_of_which_either_could_take_the_rest_are_refused():
    with pytest.raises(ConfigError, match="dp=auto and tp=auto: one axis at most may be auto"):
        MeshConfig(dp="auto", tp="auto")


def test_auto_counts_as_one_until_devices_are_counted():
    mesh = MeshConfig(dp=2, fsdp="auto", tp=2)
    assert (mesh.row_shards, mesh.num_devices) == (2, 4)
    assert counted_out(mesh, 16).row_shards == 8
