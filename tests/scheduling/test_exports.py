import subprocess
import sys

import quire.scheduling


def test_every_exported_name_is_there():
    for name in quire.scheduling.__all__:
        assert getattr(quire.scheduling, name).__module__.startswith("quire.")


def test_scheduling_needs_no_torch():
    check = "import sys, quire.scheduling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
