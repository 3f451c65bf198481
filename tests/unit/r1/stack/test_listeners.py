from r1.stack.listeners import TakenPort, listening_inodes

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 222 1
   2: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 333 1
   3: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 444 1
"""


def test_listeners_of_a_port_are_found_and_connections_are_not() -> None:
    assert listening_inodes(TABLE, 8080) == {"111", "222"}
    assert listening_inodes(TABLE, 8082) == set()


def test_the_sentence_names_port_owner_and_mend() -> None:
    sentence = TakenPort("haproxy_stats", 8404, 77, "haproxy -f x").sentence()
    assert "port 8404 (haproxy stats) is taken by process 77 (haproxy -f x)" in sentence
    assert "--port-base" in sentence


def test_an_invisible_owner_is_called_another_process() -> None:
    assert "taken by another process" in TakenPort("api", 8080, None, None).sentence()
