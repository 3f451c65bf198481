import stat
from pathlib import Path

from r1.stack.home import Home, state_root, write_private


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_state_folder_follows_the_environment() -> None:
    assert state_root({"R1_STATE_DIR": "/a/b"}) == Path("/a/b")
    assert state_root({"XDG_STATE_HOME": "/x"}) == Path("/x/r1")
    assert state_root({}) == Path.home() / ".local" / "state" / "r1"


def test_each_base_has_its_own_folder(tmp_path: Path) -> None:
    assert Home.of(8080, tmp_path).path != Home.of(20000, tmp_path).path


def test_folders_and_secrets_are_their_users_alone(tmp_path: Path) -> None:
    home = Home.of(8080, tmp_path)
    home.create()
    secret = home.secret_file("engine.key")
    assert mode(home.path) == 0o700
    assert mode(secret.parent) == 0o700
    assert mode(secret) == 0o600


def test_a_secret_is_made_once_and_differs_from_others(tmp_path: Path) -> None:
    home = Home.of(8080, tmp_path)
    first = home.secret_file("pepper").read_text()
    assert home.secret_file("pepper").read_text() == first
    assert home.secret_file("admin.key").read_text() != first
    assert len(first) >= 32


def test_a_private_file_replaces_an_open_one(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
