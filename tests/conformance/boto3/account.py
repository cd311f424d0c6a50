"""The account, and the operations that answer without doing anything, or are refused."""

import kit
from aws import REGION, arn, create, headers_of, lam, refused, status_of
from harness import check, equal

GONE = "ResourceNotFoundException"
INVALID = "InvalidParameterValueException"


def account_settings():
    before = lam.get_account_settings()
    for key in (
        "TotalCodeSize",
        "CodeSizeUnzipped",
        "CodeSizeZipped",
        "ConcurrentExecutions",
        "UnreservedConcurrentExecutions",
    ):
        value = before["AccountLimit"].get(key)
        check(f"AccountLimit.{key}", isinstance(value, int) and value > 0, value)
    code = kit.zipped()
    create("counted", Code={"ZipFile": code})
    after = lam.get_account_settings()
    counts = [one["AccountUsage"]["FunctionCount"] for one in (before, after)]
    equal("one function more", counts[1] - counts[0], 1)
    sizes = [one["AccountUsage"]["TotalCodeSize"] for one in (before, after)]
    equal("its code is counted", sizes[1] - sizes[0], len(code))
    lam.put_function_concurrency(FunctionName="counted", ReservedConcurrentExecutions=7)
    reserved = lam.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    free = after["AccountLimit"]["UnreservedConcurrentExecutions"]
    equal("a reservation is deducted", free - reserved, 7)
    lam.delete_function(FunctionName="counted")
    count = lam.get_account_settings()["AccountUsage"]["FunctionCount"]
    equal("one function less", count, counts[0])


def quiet_answers():
    """Operations that are not built yet, but that tools ask on their way."""
    create("quiet")
    equal("event sources", lam.list_event_source_mappings()["EventSourceMappings"], [])
    equal("layers", lam.list_layers()["Layers"], [])
    answer = lam.get_function_code_signing_config(FunctionName="quiet")
    got = (answer["CodeSigningConfigArn"], answer["FunctionName"])
    equal("code signing", got, ("", "quiet"))
    answer = lam.get_runtime_management_config(FunctionName="quiet")
    equal("runtime management", answer["UpdateRuntimeOn"], "Auto")
    equal(
        "recursion",
        lam.get_function_recursion_config(FunctionName="quiet")["RecursiveLoop"],
        "Terminate",
    )
    answer = lam.list_provisioned_concurrency_configs(FunctionName="quiet")
    equal("provisioned concurrency", answer["ProvisionedConcurrencyConfigs"], [])
    for what, call in (
        ("code signing", lam.get_function_code_signing_config),
        ("runtime management", lam.get_runtime_management_config),
        ("recursion", lam.get_function_recursion_config),
        ("provisioned concurrency", lam.list_provisioned_concurrency_configs),
    ):
        refused(f"{what} of none", lambda: call(FunctionName="absent"), 404, GONE)


def unknown_operations():
    for what, call in (
        (
            "PublishLayerVersion",
            lambda: lam.publish_layer_version(LayerName="layer", Content={"ZipFile": kit.zipped()}),
        ),
        (
            "CreateEventSourceMapping",
            lambda: lam.create_event_source_mapping(
                FunctionName="quiet", EventSourceArn=f"arn:aws:sqs:{REGION}:{kit.ACCOUNT}:queue"
            ),
        ),
        (
            "PutProvisionedConcurrencyConfig",
            lambda: lam.put_provisioned_concurrency_config(
                FunctionName="quiet", Qualifier="1", ProvisionedConcurrentExecutions=1
            ),
        ),
        ("ListCapacityProviders", lambda: lam.list_capacity_providers()),
        (
            "GetDurableExecution",
            lambda: lam.get_durable_execution(
                DurableExecutionArn=arn("quiet") + ":1/durable-execution/a/b"
            ),
        ),
        (
            "PutResourcePolicy",
            lambda: lam.put_resource_policy(ResourceArn=arn("quiet"), Policy="{}"),
        ),
    ):
        try:
            call()
            check(f"{what} is refused, never a pretended success", False)
        except lam.exceptions.ClientError as error:
            got = (status_of(error.response), error.response["Error"]["Code"])
            allowed = [(404, "UnknownOperationException"), (400, INVALID)]
            check(f"{what}: status and code", got in allowed, got)
            check(f"{what}: a message", error.response["Error"].get("Message"), got)
            check(f"{what}: a request id", "x-amzn-requestid" in headers_of(error.response))


SECTIONS = [
    account_settings,
    quiet_answers,
    unknown_operations,
]
