"""Notes of registrations: nobody else reads them, and a run that goes on keeps its own."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from calls_doctor.model.credentials import RtcdClient, Secret
from calls_doctor.net.rtcd_registration import Registration
from calls_doctor.saved.registrations import RegistrationFiles, folder

KEY = "k" * 32
ONE = Registration(
    "http://rtcd.example.com:8045", ("192.0.2.1", "192.0.2.2"), RtcdClient("calls-doctor-1", Secret(KEY))
)


def test_where_the_notes_are() -> None:
    assert folder({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/calls-doctor/registrations")
    assert folder({"XDG_STATE_HOME": "s", "HOME": "/h"}) == Path("/h/.local/state/calls-doctor/registrations")
    assert folder({"HOME": "/h"}) == Path("/h/.local/state/calls-doctor/registrations")
    assert folder({}) is None


def test_what_is_written_is_for_its_owner_alone_and_gone_when_it_is_forgotten(tmp_path: Path) -> None:
    note = RegistrationFiles(tmp_path / "a" / "b").write(ONE)
    (path,) = (tmp_path / "a" / "b").iterdir()
    assert path.name == "calls-doctor-1.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    note.forget()
    assert not path.exists()


def test_a_run_that_goes_on_keeps_its_note_and_one_that_ended_leaves_it(tmp_path: Path) -> None:
    files = RegistrationFiles(tmp_path)
    note = files.write(ONE)
    assert files.left_behind() == []
    note.let_go()
    (left,) = files.left_behind()
    found = left.registration
    assert (found.url, found.hosts, found.client.client_id) == (ONE.url, ONE.hosts, ONE.client.client_id)
    assert found.client.auth_key.reveal() == KEY
    assert files.left_behind() == [], "whoever found it is at work with it"
    left.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_its_note_to_the_next(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from tests.saved.test_registrations import ONE, RegistrationFiles\n"
        "RegistrationFiles(Path(sys.argv[1])).write(ONE); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False)
    (left,) = RegistrationFiles(tmp_path).left_behind()
    assert left.registration.client.client_id == "calls-doctor-1"
    left.forget()


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff", b'{"url": 1}'])
def test_what_is_no_note_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    assert RegistrationFiles(tmp_path).left_behind() == [] and path.read_bytes() == content


def test_a_link_is_not_followed_and_no_folder_is_no_note(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    RegistrationFiles(elsewhere).write(ONE).let_go()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.json").symlink_to(elsewhere / "calls-doctor-1.json")
    assert RegistrationFiles(notes).left_behind() == []
    assert RegistrationFiles(tmp_path / "nowhere").left_behind() == []


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        RegistrationFiles(tmp_path / "file").write(ONE)
    files = RegistrationFiles(tmp_path / "notes")
    note = files.write(ONE)
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "notes" / "calls-doctor-1.new").write_text("")  # as another of the same name would
    with pytest.raises(FileExistsError):
        files.write(ONE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    note.forget()
