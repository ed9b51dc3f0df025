"""The steps of AutonomousCodingWorkflow for Temporal's own replayer: what it schedules, in
which order. It decides nothing: where our fold reads a result and goes on, so does this."""
import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

NAME = "AutonomousCodingWorkflow"


@workflow.defn(name=NAME)
class Twin:
    def __init__(self):
        self.admitted = False

    @workflow.signal(name="azlon.admitted")
    async def admit(self, grant: dict) -> None:
        self.admitted = True

    @workflow.signal(name="azlon.queue")
    async def queue(self, position: dict) -> None:
        pass

    @workflow.run
    async def run(self, start: dict) -> dict:
        request = start.get("request", start)
        limits = request.get("limits", {})
        if "user" in start:
            await step("join_queue")
            if not self.admitted:
                again = asyncio.create_task(asyncio.sleep(600.007))
                await workflow.wait_condition(lambda: self.admitted)
                assert not again.done()
        wall = asyncio.create_task(asyncio.sleep(limits.get("wall_s", 3600)))
        await asyncio.sleep(0)  # the timer is commanded before the first step
        assert not wall.done()
        if request.get("inputs"):
            await step("pre_flight_run")
        for iteration in range(1, limits.get("iterations", 20) + 1):
            await step("generate_code")
            await step("run_with_e2b")
            if (await step("validate_output"))["passed"]:
                break
        await step("finalize_run")
        return {}


async def step(name):
    return await workflow.execute_activity(
        name, {}, start_to_close_timeout=timedelta(seconds=300), retry_policy=RetryPolicy()
    )
