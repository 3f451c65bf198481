"""A supervisor and its guard whose parts are fakes: `fake_stack.py [guard] HOME`."""

import asyncio
import sys
from pathlib import Path

from r1.stack.guard import guard, lock
from r1.stack.home import Home
from r1.stack.part import PartSpec
from r1.stack.parts import GATEWAY, MODELS, STORE
from r1.stack.plan import MARKER, StackPlan
from r1.stack.ports import PortPlan
from r1.stack.processes import become_subreaper, die_with_parent
from r1.stack.run import supervise

FAKE_PART = Path(__file__).with_name("fake_part.py")


def fake_specs(
    plan: StackPlan, ports: PortPlan, home: Home, models_ready: asyncio.Event
) -> dict[str, PartSpec]:
    """Return the three parts as fakes that write their pids into the home."""

    def spec(name: str) -> PartSpec:
        async def ready() -> bool:
            if name == MODELS:
                return models_ready.is_set()
            return (home.path / f"{name}.pids").exists()

        return PartSpec(
            name=name,
            command=(sys.executable, str(FAKE_PART), name, str(home.path)),
            environment={MARKER: plan.stack_id},
            log=home.log(name),
            ready=ready,
            start_limit_s=60.0,
            reports_events=name == MODELS,
        )

    return {name: spec(name) for name in (STORE, MODELS, GATEWAY)}


def main() -> int:
    """Be the guard, or the supervisor that the guard starts."""
    if sys.argv[1] == "guard":
        home = Home(Path(sys.argv[2]))
        held = lock(home)
        return 3 if held is None else guard(home, (sys.executable, __file__))
    die_with_parent()
    become_subreaper()
    return asyncio.run(supervise(Home(Path(sys.argv[1])), fake_specs, lambda home, ports: False))


if __name__ == "__main__":
    sys.exit(main())
