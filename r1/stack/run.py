"""The supervisor's composition root: `python -m r1.stack.run HOME` is what the guard starts."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from r1.stack import parts as part_specs
from r1.stack.adapters import forget_adapters
from r1.stack.configs import gateway_config, plane_config
from r1.stack.first_key import ensure_user_key
from r1.stack.guard import GUARD_VARIABLE
from r1.stack.home import Home, write_private
from r1.stack.journal import Journal
from r1.stack.part import PartSpec
from r1.stack.parts import GATEWAY, MODELS, STORE
from r1.stack.plan import StackPlan
from r1.stack.ports import PortPlan, plan_ports
from r1.stack.processes import become_subreaper, die_with_parent, start_time
from r1.stack.redis_server import redis_config, redis_url
from r1.stack.status import PartStatus, StackStatus
from r1.stack.supervisor import Supervisor
from serving.catalog import Catalog


def new_status(plan: StackPlan, home: Home) -> StackStatus:
    """Return the status of a stack that is about to start."""
    names = [STORE, MODELS, "ray", *(model.id for model in plan.models), GATEWAY]
    ports = plan_ports(plan.base)
    return StackStatus(
        base=plan.base,
        stack_id=plan.stack_id,
        supervisor_pid=os.getpid(),
        supervisor_started=start_time(os.getpid()) or 0,
        guard_pid=os.getppid(),
        parts={
            name: PartStatus(
                log=str(home.log(name if name in (STORE, GATEWAY) else MODELS)),
            )
            for name in names
        },
        models=[model.id for model in plan.models],
        ports=ports.single_ports(),
    )


def write_configs(
    plan: StackPlan, ports: PortPlan, home: Home, models_ready: asyncio.Event
) -> dict[str, PartSpec]:
    """Write the parts' configurations, and return their specifications.

    Raises:
        NoStore: no redis-server was found.
        OSError: a file can't be written.
    """
    password = home.secret_file("store.password").read_text()
    engine_key = home.secret_file("engine.key").read_text()
    write_private(home.store_config, redis_config(ports.store, home.store, password))
    url = redis_url(ports.store, password)
    config = gateway_config(plan, ports, home, Catalog.load(), url)
    write_private(home.gateway_config, yaml.safe_dump(config, sort_keys=False))
    write_private(home.plane_config, json.dumps(plane_config(plan, ports), indent=1))
    return {
        STORE: part_specs.store_spec(plan, ports, home, password),
        MODELS: part_specs.models_spec(plan, home, engine_key, url, models_ready),
        GATEWAY: part_specs.gateway_spec(plan, ports, home),
    }


def prepare_store(home: Home, ports: PortPlan) -> bool:
    """Make the local user's key if it is missing, and tell whether it was made.

    What was said of adapters at run time ends with the stack it was said to.

    Raises:
        NoFirstKey: the key can't be made.
        NoStore: the store doesn't answer.
    """
    made = ensure_user_key(home, ports)
    url = redis_url(ports.store, home.secret_file("store.password").read_text())
    forget_adapters(url, [model.id for model in StackPlan.load(home).models])
    return made


async def supervise(
    home: Home,
    specs: Callable[[StackPlan, PortPlan, Home, asyncio.Event], dict[str, PartSpec]],
    make_key: Callable[[Home, PortPlan], bool],
) -> int:
    """Run the stack planned in a home until SIGTERM, SIGINT or SIGHUP; return the exit status."""
    plan = StackPlan.load(home)
    ports = plan_ports(plan.base)
    journal = Journal(home, new_status(plan, home))
    journal.save()
    supervisor = Supervisor(
        plan,
        journal,
        lambda models_ready: specs(plan, ports, home, models_ready),
        lambda: make_key(home, ports),
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def main() -> int:
    """Own what is started, and run until told to end."""
    die_with_parent(signal.SIGTERM)
    if str(os.getppid()) != os.environ.get(GUARD_VARIABLE):
        return 1
    become_subreaper()
    return asyncio.run(supervise(Home(Path(sys.argv[1])), write_configs, prepare_store))


if __name__ == "__main__":
    sys.exit(main())
