"""Redis with more than one process: sentinels and a cluster."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

import redis as redis_client

from tests.contract.stack import Process, RedisServer, free_port, redis_binary, wait_for


class Watched:
    """A master, a replica of it, and a sentinel that watches both under the name r1."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        here = ("--dir", str(folder), "--repl-diskless-sync", "yes")
        self.options = (*here, "--repl-diskless-sync-delay", "0")
        self.master = RedisServer(folder, None, *self.options)
        follow = ("--replicaof", "127.0.0.1", str(self.master.port))
        self.replica = RedisServer(folder, None, *self.options, *follow)
        self._wait_for_replica(self.master)
        self.port = free_port()
        config = folder / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor r1 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds r1 700\nsentinel failover-timeout r1 4000\n"
        )
        command = [redis_binary(), str(config), "--sentinel"]
        self.sentinel = Process(command, folder / "sentinel.log")
        wait_for(lambda: self.replicas() == 1, "the sentinel to know the replica")
        # One that isn't there comes first: the others have to be asked.
        self.url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{self.port}/r1/0"

    def replicas(self) -> int:
        """How many usable replicas the sentinel knows."""
        try:
            with redis_client.Redis(port=self.port) as client:
                known = client.sentinel_slaves("r1")
        except redis_client.RedisError:
            return 0
        return sum(not each["is_disconnected"] and not each["is_sdown"] for each in known)

    def master_port(self) -> int:
        """Where clients find the master: once a switch is over, and not while it goes on."""
        with redis_client.Redis(port=self.port) as client:
            return int(client.sentinel_masters()["r1"]["port"])

    def switch(self) -> None:
        """Make the other one the master, while both live."""

        def agreed() -> bool:
            with redis_client.Redis(port=self.port) as client:
                try:
                    return bool(client.sentinel_failover("r1"))
                except redis_client.ResponseError:  # it isn't done with the last one
                    return False

        wait_for(agreed, "the sentinel to agree")

    def restart_first(self) -> None:
        """Start the one that was the master at first, as a replica."""
        follow = ("--replicaof", "127.0.0.1", str(self.replica.port))
        self.master = RedisServer(self.folder, self.master.port, *self.options, *follow)
        self._wait_for_replica(self.replica)
        wait_for(lambda: self.replicas() == 1, "the sentinel to know it again")

    def _wait_for_replica(self, server: RedisServer) -> None:
        with redis_client.Redis.from_url(server.url) as client:
            wait_for(
                lambda: client.info("replication").get("slave0", {}).get("state") == "online",
                "the replica",
            )

    def end(self) -> None:
        for each in (self.sentinel, self.replica, self.master):
            if each.alive():
                each.end()


class Cluster:
    """Three parts, and a replica of the one that has the gateway's keys."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [self._start(folder) for _ in range(4)]
        clients: list[Any] = [redis_client.Redis.from_url(each.url) for each in self.nodes]
        third = 16384 // 3 + 1
        for number, client in enumerate(clients[:3]):
            slots = range(number * third, min(16384, (number + 1) * third))
            client.execute_command("CLUSTER ADDSLOTS", *slots)
            client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for each in self.nodes[1:]:
            clients[0].execute_command("CLUSTER MEET", "127.0.0.1", each.port)
        slot = int(clients[0].execute_command("CLUSTER KEYSLOT", "{r1}:keys"))
        self.owner = self.nodes[slot // third]
        owner_id = clients[slot // third].execute_command("CLUSTER MYID").decode()
        wait_for(lambda: all(len(_nodes(each)) == 4 for each in clients), "the nodes to meet")
        clients[3].execute_command("CLUSTER REPLICATE", owner_id)
        wait_for(lambda: all(_is_ok(each) for each in clients), "the cluster")
        wait_for(
            lambda: clients[3].info("replication").get("master_link_status") == "up", "the replica"
        )
        for client in clients:
            client.close()
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{each.port}" for each in self.nodes)

    def _start(self, folder: Path) -> RedisServer:
        port = _port_for_a_node()
        # A replica may take over whatever it missed: nothing else writes here.
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
        files = ("--dir", str(folder), "--cluster-config-file", f"nodes-{port}.conf")
        sync = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
        return RedisServer(folder, port, *options, *files, *sync)

    def end(self) -> None:
        for each in self.nodes:
            if each.alive():
                each.end()


def _port_for_a_node() -> int:
    """A free port whose bus port, 10,000 above it, is free too."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def _nodes(client: Any) -> dict[str, object]:
    nodes: dict[str, object] = client.execute_command("CLUSTER NODES")
    return nodes


def _is_ok(client: Any) -> bool:
    told: dict[str, str] = client.execute_command("CLUSTER INFO")
    return told["cluster_state"] == "ok"
