"""Run directories: made whole, refused when they exist, held by one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import InputError
from harness.core.log import rundir


def test_made_whole_and_never_over_another(tmp_path: Path) -> None:
    made = rundir.create(tmp_path / "deep" / "run", b"{}")
    assert (made / rundir.CONFIG).read_bytes() == b"{}"
    assert [entry.name for entry in made.parent.iterdir()] == ["run"]
    with pytest.raises(InputError, match="already exists"):
        rundir.create(made, b"{}")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="already exists"):
        rundir.create(tmp_path / "link", b"{}")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the run directory .*file/run"):
        rundir.create(tmp_path / "file" / "run", b"{}")


def test_a_second_process_is_refused_and_told_who(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.core.log import rundir\n"
        "with rundir.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(InputError, match=f"in use by process {holder.pid}"), rundir.locked(tmp_path):
            pass
        holder.kill()
    with rundir.locked(tmp_path):
        pass
