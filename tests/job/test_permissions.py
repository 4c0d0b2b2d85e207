import grp
import os
import pwd
import struct
import subprocess

import pytest

from backalaika.errors import ConfigurationError
from backalaika.job.permissions import read_program

ROOT = os.geteuid() == 0
NOBODY = 65534


def refused(path):
    with pytest.raises(ConfigurationError) as caught:
        read_program(str(path))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: not ")
    return message


@pytest.fixture
def private_group(monkeypatch):
    """Pretend that this user has a private group, or what its fields say instead."""
    user = pwd.getpwuid(os.geteuid())

    def pretend(name=user.pw_name, members=(), users=(), gid=None):
        monkeypatch.setattr(grp, "getgrgid", lambda gid: grp.struct_group((name, "x", gid, list(members))))
        monkeypatch.setattr(pwd, "getpwall", lambda: [user, *users])
        if gid is not None:
            other = pwd.struct_passwd((*user[:3], gid, *user[4:]))
            monkeypatch.setattr(pwd, "getpwuid", lambda uid: other)

    return pretend


def test_a_file_that_only_its_owner_can_write_is_read(write):
    assert read_program(str(write("job = 1"))) == b"job = 1"


def test_a_missing_file_is_an_ordinary_error(home):
    with pytest.raises(FileNotFoundError):
        read_program(str(home / "none.py"))


def test_a_file_that_everybody_can_write_is_refused(write):
    path = write("job = 1")
    path.chmod(0o646)

    assert f"everybody can write it. Look at what it does, then: chmod go-w {path}" in refused(path)


def test_the_advice_can_be_pasted_into_a_shell(write):
    path = write("job = 1", "Nando's work.py")
    path.chmod(0o666)

    subprocess.run(refused(path).rpartition("then: ")[2], shell=True, check=True)

    assert read_program(str(path)) == b"job = 1"


def test_a_file_that_a_shared_group_can_write_is_refused(write, private_group):
    path = write("job = 1")
    path.chmod(0o664)
    private_group(name="office")

    assert "its group can write it" in refused(path)


def test_a_file_that_its_owners_private_group_can_write_is_read(write, private_group):
    path = write("job = 1")
    path.chmod(0o664)
    private_group()

    assert read_program(str(path)) == b"job = 1"


def test_a_private_group_with_another_member_is_not_private(write, private_group):
    path = write("job = 1")
    path.chmod(0o664)
    private_group(members=["eve"])

    assert "its group can write it" in refused(path)


def test_a_group_that_is_another_users_primary_one_is_not_private(write, private_group):
    path = write("job = 1")
    path.chmod(0o664)
    private_group(users=[pwd.struct_passwd(("eve", "x", 4711, path.stat().st_gid, "", "/", "/bin/sh"))])

    assert "its group can write it" in refused(path)


def test_a_group_that_is_not_its_owners_primary_one_is_not_private(write, private_group):
    path = write("job = 1")
    path.chmod(0o664)
    private_group(gid=path.stat().st_gid + 1)

    assert "its group can write it" in refused(path)


def test_an_access_list_that_lets_another_user_write_is_seen(write, private_group, monkeypatch):
    path = write("job = 1")
    path.chmod(0o664)
    private_group()
    monkeypatch.setattr(os, "listxattr", lambda descriptor: ["system.posix_acl_access"], raising=False)

    assert "its group can write it" in refused(path)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="access lists are looked for on Linux")
def test_a_true_access_list_is_seen(write, private_group):
    path = write("job = 1")
    # As `setfacl -m u:nobody:rw` writes it (linux/posix_acl_xattr.h): the owner, nobody, the group, the mask, others.
    entries = [(1, 6, -1), (2, 6, NOBODY), (4, 4, -1), (0x10, 6, -1), (0x20, 4, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", packed)
    except OSError as error:
        pytest.skip(f"no access lists on this file system: {error}")
    private_group()

    assert "its group can write it" in refused(path)


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(write):
    path = write("job = 1")
    os.chown(path, NOBODY, -1)

    message = refused(path)

    assert f"it belongs to {pwd.getpwuid(NOBODY).pw_name}" in message
    assert f"chown {pwd.getpwuid(os.geteuid()).pw_name} {path}" in message


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_an_owner_without_a_name_is_told_by_number(write):
    path = write("job = 1")
    os.chown(path, 3_999_999, -1)

    assert "it belongs to 3999999" in refused(path)


def test_a_file_of_root_is_read_by_others(monkeypatch):
    if os.stat("/etc/passwd").st_uid != 0:
        pytest.skip("no file of root")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    assert read_program("/etc/passwd")


def test_a_file_in_a_directory_that_others_can_write_is_refused(home, write):
    path = write("job = 1")
    home.chmod(0o777)

    assert (
        f"everybody can write its directory and put another file in its place. Move it to a directory that only "
        f"you can write, or: chmod go-w {home}" in refused(path)
    )


def test_a_file_in_a_sticky_directory_is_read(home, write):
    path = write("job = 1")
    home.chmod(0o1777)

    assert read_program(str(path)) == b"job = 1"


def test_a_file_in_a_directory_that_a_shared_group_can_write_is_refused(home, write, private_group):
    path = write("job = 1")
    home.chmod(0o775)
    private_group(name="office")

    assert "its group can write its directory" in refused(path)


@pytest.mark.skipif(not ROOT, reason="only root gives directories away")
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_file_in_a_directory_of_another_user_is_refused(home, write, mode):
    path = write("job = 1")
    os.chown(home, NOBODY, -1)
    home.chmod(mode)

    assert "its directory belongs to" in refused(path)


def test_a_link_counts_as_the_file_that_it_leads_to(home, write):
    path = write("job = 1")
    link = home / "link.py"
    link.symlink_to(path)
    assert read_program(str(link)) == b"job = 1"

    path.chmod(0o666)

    assert f"chmod go-w {path}" in refused(link)


def test_a_link_counts_with_the_directory_that_it_leads_to(home, write, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    path = write("job = 1").rename(other / "work.py")
    other.chmod(0o777)
    link = home / "link.py"
    link.symlink_to(path)

    assert f"chmod go-w {other}" in refused(link)


def test_a_link_that_takes_the_files_place_after_links_were_followed_is_not_opened(write, monkeypatch):
    path = write("job = 1")
    link = path.with_name("link.py")
    link.symlink_to(path)
    monkeypatch.setattr(os.path, "realpath", lambda path: path)

    with pytest.raises(OSError):  # noqa: PT011 - ELOOP
        read_program(str(link))


def test_what_is_read_is_what_was_checked(write, monkeypatch):
    path = write("good = 1")
    evil = write("evil = 1", "evil.py")
    evil.chmod(0o666)
    fstat, calls = os.fstat, []

    def swap_after_the_check(descriptor):
        info = fstat(descriptor)
        if not calls:
            evil.rename(path)
        calls.append(descriptor)
        return info

    monkeypatch.setattr(os, "fstat", swap_after_the_check)

    assert read_program(str(path)) == b"good = 1"


def test_a_directory_is_refused(home):
    assert "not a regular file" in refused(home)


@pytest.mark.timeout(20)
def test_a_fifo_is_refused_and_not_waited_for(home):
    os.mkfifo(home / "pipe.py")

    assert "not a regular file" in refused(home / "pipe.py")


def test_no_descriptor_stays_open(home, write):
    path = write("job = 1")
    before = len(os.listdir("/dev/fd"))
    read_program(str(path))
    path.chmod(0o666)
    refused(path)
    refused(home)

    assert len(os.listdir("/dev/fd")) == before


def test_nothing_is_checked_where_the_system_has_no_owners(write, monkeypatch):
    path = write("job = 1")
    path.chmod(0o666)
    monkeypatch.delattr(os, "geteuid")

    assert read_program(str(path)) == b"job = 1"
