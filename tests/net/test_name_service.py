"""What a machine's files say of how it finds names."""

from __future__ import annotations

from pathlib import Path

import pytest

from calls_doctor.net import name_service
from calls_doctor.net.name_service import NameService, read


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of /etc."""
    for constant, name in (("HOSTS", "hosts"), ("RESOLV_CONF", "resolv.conf"), ("NSSWITCH", "nsswitch.conf")):
        monkeypatch.setattr(name_service, constant, tmp_path / name)
    return tmp_path


@pytest.mark.usefixtures("files")
def test_a_machine_without_files_says_nothing() -> None:
    assert read() == NameService() and read().asks_dns


def test_all_that_the_files_say(files: Path) -> None:
    servers = ["192.0.2.53", "2001:db8::53", "192.0.2.54", "192.0.2.55"]
    lines = [*(f"nameserver {one}" for one in servers), "search corp.example.com example.com", "options ndots:2"]
    (files / "resolv.conf").write_text("\n".join(lines))
    (files / "nsswitch.conf").write_text("passwd: files\nhosts: files mdns4_minimal [NOTFOUND=return] dns # as ever\n")
    (files / "hosts").write_text("127.0.0.1 localhost\n10.0.1.20 RTC.example.com rtc # old\n2001:db8::7 rtc\nrtc x\n")
    found = read()
    assert found.servers == ("192.0.2.53", "2001:db8::53", "192.0.2.54"), "the C library asks three"
    assert found.search == ("corp.example.com", "example.com")
    assert found.sources == ("files", "mdns4_minimal", "dns")
    assert found.hosts["rtc.example.com"] == ("10.0.1.20",)
    assert found.hosts["rtc"] == ("10.0.1.20", "2001:db8::7")
    assert found.questions("rtc.example")[-1] == "rtc.example", "one dot more is wanted"


@pytest.mark.parametrize("junk", [b"", b"nameserver\n", b"nameserver dns.example.com\n", b"\xff\xfe\0"])
def test_a_file_that_names_no_resolver_names_none(files: Path, junk: bytes) -> None:
    (files / "resolv.conf").write_bytes(junk)
    assert read().servers == ()


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("rtc", ("rtc.a.example", "rtc.b.example", "rtc")),
        ("rtc.example.com", ("rtc.example.com", "rtc.example.com.a.example", "rtc.example.com.b.example")),
        ("rtc.example.com.", ("rtc.example.com.",)),
    ],
)
def test_search_domains_and_a_trailing_dot_count(name: str, questions: tuple[str, ...]) -> None:
    assert NameService(search=("a.example", "b.example")).questions(name) == questions


@pytest.mark.parametrize(("line", "asks"), [("files", False), ("files resolve", True), ("db dns", True)])
def test_whether_it_asks_dns_at_all(files: Path, line: str, asks: bool) -> None:
    (files / "nsswitch.conf").write_text(f"hosts: {line}\n")
    assert read().asks_dns is asks
