from pathlib import Path

from r1.stack.leftovers import working_in
from tests.unit.r1.stack.proc_files import add_process


def test_a_process_is_found_by_the_folder_it_works_in(tmp_path: Path) -> None:
    proc, store = tmp_path / "proc", tmp_path / "store"
    store.mkdir()
    for pid, folder in ((10, store), (11, tmp_path)):
        add_process(proc, pid, 1)
        (proc / str(pid) / "cwd").symlink_to(folder)
    add_process(proc, 12, 1)
    assert working_in(store, proc) == [10]
