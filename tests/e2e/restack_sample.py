"""A service as users of Restack write it: one workflow, one function."""
from restack_ai.function import function
from restack_ai.workflow import workflow


@function.defn()
async def shout(given: dict) -> dict:
    secret = given["secret"]  # decrypted by now: {"__restack_sensitive__": true, "value": …}
    return {"said": given["word"].upper(), "secret_length": len(secret["value"])}


@workflow.defn()
class Shout:
    @workflow.run
    async def run(self, given: dict) -> dict:
        return await workflow.step(function=shout, function_input=given, task_queue="sample")


if __name__ == "__main__":
    from restack_stub import host

    host(workflows=[Shout], functions=[shout], task_queue="sample")
