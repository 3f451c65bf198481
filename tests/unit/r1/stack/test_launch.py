from pathlib import Path

from r1.stack.launch import LONGEST_TEMP_PATH, Follower, temp_folder


def test_progress_is_printed_in_whole_lines_and_once(tmp_path: Path) -> None:
    path, printed = tmp_path / "progress.log", list[str]()
    follower = Follower(path, printed.append)
    follower.drain()
    path.write_text("one\ntw")
    follower.drain()
    follower.drain()
    with path.open("a") as stream:
        stream.write("o\n")
    follower.drain()
    assert printed == ["one\n", "two\n"]


def test_old_lines_can_be_left_out_but_for_the_last(tmp_path: Path) -> None:
    path, printed = tmp_path / "gateway.log", list[str]()
    path.write_text("1\n2\n3\n")
    follower = Follower(path, printed.append)
    follower.skip(2)
    follower.drain()
    assert printed == ["2\n3\n"]
    silent = Follower(path, printed.append)
    silent.skip()
    silent.drain()
    assert len(printed) == 1


def test_rays_folder_is_short_and_private() -> None:
    folder = Path(temp_folder())
    try:
        assert len(str(folder)) <= LONGEST_TEMP_PATH
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        folder.rmdir()
