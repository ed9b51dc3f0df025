"""Our workflow as somebody else's service might host it: same name, same shape of result."""
from restack_ai.workflow import workflow

NAME = "AutonomousCodingWorkflow"


@workflow.defn(name=NAME)
class Coder:
    @workflow.run
    async def run(self, start: dict) -> dict:
        return {"status": "succeeded", "result": True, "summary": start["request"]["user_prompt"].upper(), "iterations": 1}


if __name__ == "__main__":
    from restack_stub import host

    host(workflows=[Coder], task_queue="restack")
