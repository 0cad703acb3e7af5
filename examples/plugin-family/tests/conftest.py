"""Eight virtual devices, before anything is computed."""

from burnish.platform.testing import use_virtual_devices

use_virtual_devices()
