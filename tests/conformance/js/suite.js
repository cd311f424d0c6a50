// Mayfly seen by the AWS SDK for JavaScript v3.
//
// Run by `cargo xtask clients js`; names of sections as arguments run no others. The profile in
// `AWS_PROFILE` says where the server is and who asks; `MAYFLY_FUNCTION` is the function as raw wasm,
// which this client, unlike the CLI, uploads as it is.

import { readFileSync } from "node:fs";

import {
  CloudWatchLogsClient,
  DescribeLogGroupsCommand,
  FilterLogEventsCommand,
  ResourceNotFoundException as NoLogGroup,
  StartLiveTailCommand,
} from "@aws-sdk/client-cloudwatch-logs";
import {
  CreateAccessKeyCommand,
  CreateUserCommand,
  DeleteUserCommand,
  GetUserCommand,
  IAMClient,
  NoSuchEntityException,
  PutUserPolicyCommand,
} from "@aws-sdk/client-iam";
import * as lambda from "@aws-sdk/client-lambda";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";

import { check, equal, eventually, matches, run } from "./harness.js";

const ACCOUNT = "000000000000";
const ROLE = `arn:aws:iam::${ACCOUNT}:role/any`;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

const lam = new lambda.LambdaClient({});
const logs = new CloudWatchLogsClient({ disableHostPrefix: true });
const iam = new IAMClient({});
const sts = new STSClient({});
const wasm = readFileSync(process.env.MAYFLY_FUNCTION);
const region = await lam.config.region();

const arn = (name, qualifier) =>
  `arn:aws:lambda:${region}:${ACCOUNT}:function:${name}${qualifier ? `:${qualifier}` : ""}`;
const text = (payload) => Buffer.from(payload ?? []).toString();

async function create(name, more = {}) {
  const made = await lam.send(
    new lambda.CreateFunctionCommand({
      FunctionName: name,
      Runtime: "provided.al2023",
      Handler: "bootstrap",
      Role: ROLE,
      Code: { ZipFile: wasm },
      ...more,
    }),
  );
  await lambda.waitUntilFunctionActiveV2(
    { client: lam, maxWaitTime: 60, minDelay: 1, maxDelay: 1 },
    { FunctionName: name },
  );
  return made;
}

async function invoke(name, event, more = {}) {
  const answer = await lam.send(
    new lambda.InvokeCommand({ FunctionName: name, Payload: JSON.stringify(event), ...more }),
  );
  return { ...answer, json: JSON.parse(text(answer.Payload)) };
}

/** The error that a call fails with. */
async function refused(what, call, kind, status, message) {
  try {
    const answer = await call();
    check(`${what}: is refused`, false, answer);
    return {};
  } catch (error) {
    if (typeof kind === "string") equal(`${what}: name`, error.name, kind);
    else check(`${what}: instanceof ${kind.name}`, error instanceof kind, error);
    equal(`${what}: status`, error.$metadata?.httpStatusCode, status);
    if (message !== undefined) equal(`${what}: message`, error.message, message);
    return error;
  }
}

async function caller_identity() {
  const answer = await sts.send(new GetCallerIdentityCommand({}));
  equal("Account", answer.Account, ACCOUNT);
  equal("Arn", answer.Arn, `arn:aws:iam::${ACCOUNT}:root`);
  matches("request id", answer.$metadata.requestId, UUID);
}

async function life_of_a_function() {
  const made = await create("made", { Description: "by JavaScript", Tags: { a: "1" } });
  equal("status", made.$metadata.httpStatusCode, 201);
  equal("FunctionArn", made.FunctionArn, arn("made"));
  equal("CodeSize", made.CodeSize, wasm.length);
  check("LastModified is a time", !Number.isNaN(Date.parse(made.LastModified)), made.LastModified);
  const found = await lam.send(new lambda.GetFunctionCommand({ FunctionName: arn("made") }));
  equal("State", found.Configuration.State, "Active");
  equal("LastUpdateStatus", found.Configuration.LastUpdateStatus, "Successful");
  equal("Tags", found.Tags, { a: "1" });
  const options = { client: lam, maxWaitTime: 60, minDelay: 1, maxDelay: 1 };
  for (const wait of [
    lambda.waitUntilFunctionExists,
    lambda.waitUntilFunctionActive,
    lambda.waitUntilFunctionUpdated,
    lambda.waitUntilFunctionUpdatedV2,
  ]) {
    const { state } = await wait(options, { FunctionName: "made" });
    equal(wait.name, state, "SUCCESS");
  }
  const changed = await lam.send(
    new lambda.UpdateFunctionConfigurationCommand({ FunctionName: "made", Timeout: 9 }),
  );
  equal("Timeout", changed.Timeout, 9);
  await refused(
    "a stale RevisionId",
    () =>
      lam.send(
        new lambda.UpdateFunctionConfigurationCommand({
          FunctionName: "made",
          Timeout: 1,
          RevisionId: made.RevisionId,
        }),
      ),
    lambda.PreconditionFailedException,
    412,
  );
  await refused(
    "a name that exists",
    () => create("made"),
    lambda.ResourceConflictException,
    409,
    "Function already exist: made",
  );
  const code = await lam.send(
    new lambda.UpdateFunctionCodeCommand({ FunctionName: "made", ZipFile: wasm, Publish: true }),
  );
  equal("Publish", code.Version, "1");
  await create("made-too");
  const names = [];
  for await (const page of lambda.paginateListFunctions({ client: lam, pageSize: 1 }, {})) {
    check("a page holds one", page.Functions.length <= 1);
    names.push(...page.Functions.map((one) => one.FunctionName));
  }
  check("all are listed", ["made", "made-too"].every((name) => names.includes(name)), names);
  const deleted = await lam.send(new lambda.DeleteFunctionCommand({ FunctionName: "made" }));
  equal("DeleteFunction", deleted.$metadata.httpStatusCode, 204);
  const error = await refused(
    "it is gone",
    () => lam.send(new lambda.GetFunctionCommand({ FunctionName: "made" })),
    lambda.ResourceNotFoundException,
    404,
    `Function not found: ${arn("made")}`,
  );
  equal("Type", error.Type, "User");
}

async function invocations() {
  await create("echo", { Timeout: 2 });
  for (const value of [null, true, 1.5, "grüße 🦋", [1, [2]], { a: { b: null } }]) {
    const answer = await invoke("echo", { op: "value", value });
    equal(`${JSON.stringify(value)} comes back`, answer.json, value);
  }
  let answer = await invoke("echo", { op: "log", lines: ["a line"] }, { LogType: "Tail" });
  equal("StatusCode", answer.StatusCode, 200);
  equal("ExecutedVersion", answer.ExecutedVersion, "$LATEST");
  equal("FunctionError", answer.FunctionError, undefined);
  const tail = Buffer.from(answer.LogResult, "base64").toString();
  check("the log is of this request", tail.includes(`START RequestId: ${answer.$metadata.requestId} `), tail);
  check("the log has what was printed", tail.includes("a line\n"), tail);
  answer = await invoke("echo", { op: "error", msg: "on purpose" });
  equal("a failure: FunctionError", answer.FunctionError, "Unhandled");
  equal("a failure: message", answer.json.errorMessage, "on purpose");
  answer = await invoke("echo", { op: "timeout" });
  matches("a timeout", answer.json.errorMessage, /Task timed out after 2\.00 seconds$/);
  const dry = await lam.send(
    new lambda.InvokeCommand({ FunctionName: "echo", InvocationType: "DryRun" }),
  );
  equal("DryRun", dry.StatusCode, 204);
  await refused(
    "no JSON",
    () => lam.send(new lambda.InvokeCommand({ FunctionName: "echo", Payload: "{" })),
    lambda.InvalidRequestContentException,
    400,
  );
  await refused(
    "no function",
    () => lam.send(new lambda.InvokeCommand({ FunctionName: "none" })),
    lambda.ResourceNotFoundException,
    404,
    `Function not found: ${arn("none")}`,
  );
  await refused(
    "a payload above 6 MB",
    () => lam.send(new lambda.InvokeCommand({ FunctionName: "echo", Payload: `"${"x".repeat(6_291_455)}"` })),
    "RequestEntityTooLargeException",
    413,
  );
}

async function response_stream() {
  await create("streamed");
  const collect = async (event) => {
    const answer = await lam.send(
      new lambda.InvokeWithResponseStreamCommand({
        FunctionName: "streamed",
        Payload: JSON.stringify(event),
        LogType: "Tail",
      }),
    );
    let payload = "";
    let complete;
    for await (const item of answer.EventStream) {
      if (item.PayloadChunk) payload += text(item.PayloadChunk.Payload);
      if (item.InvokeComplete) complete = item.InvokeComplete;
    }
    return { answer, payload, complete };
  };
  let { answer, payload, complete } = await collect({ op: "value", value: { ä: 1 } });
  equal("status", answer.StatusCode, 200);
  equal("ExecutedVersion", answer.ExecutedVersion, "$LATEST");
  equal("payload", JSON.parse(payload), { ä: 1 });
  equal("ErrorCode", complete?.ErrorCode, undefined);
  const tail = Buffer.from(complete?.LogResult ?? "", "base64").toString();
  check("LogResult", tail.includes("REPORT RequestId"), tail);
  ({ complete } = await collect({ op: "error", msg: "on purpose" }));
  check("a failure has an ErrorCode", complete?.ErrorCode, complete);
}

async function versions_and_aliases() {
  await create("versioned", { Publish: true });
  await lam.send(new lambda.UpdateFunctionConfigurationCommand({ FunctionName: "versioned", Timeout: 4 }));
  const second = await lam.send(new lambda.PublishVersionCommand({ FunctionName: "versioned" }));
  equal("PublishVersion", [second.Version, second.FunctionArn], ["2", arn("versioned", "2")]);
  const alias = await lam.send(
    new lambda.CreateAliasCommand({
      FunctionName: "versioned",
      Name: "live",
      FunctionVersion: "1",
      RoutingConfig: { AdditionalVersionWeights: { 2: 1 } },
    }),
  );
  equal("AliasArn", alias.AliasArn, arn("versioned", "live"));
  equal("RoutingConfig", alias.RoutingConfig, { AdditionalVersionWeights: { 2: 1 } });
  const value = { op: "value", value: 1 };
  equal("the weight is followed", (await invoke("versioned:live", value)).ExecutedVersion, "2");
  const cleared = await lam.send(
    new lambda.UpdateAliasCommand({ FunctionName: "versioned", Name: "live", RoutingConfig: {} }),
  );
  equal("cleared", cleared.RoutingConfig, undefined);
  equal("then it is not", (await invoke("versioned", value, { Qualifier: "live" })).ExecutedVersion, "1");
  const versions = [];
  for await (const page of lambda.paginateListVersionsByFunction(
    { client: lam, pageSize: 1 },
    { FunctionName: "versioned" },
  )) {
    versions.push(...page.Versions.map((one) => one.Version));
  }
  equal("versions", versions, ["$LATEST", "1", "2"]);
}

async function settings() {
  await create("set");
  await lam.send(
    new lambda.PutFunctionConcurrencyCommand({ FunctionName: "set", ReservedConcurrentExecutions: 0 }),
  );
  const error = await refused(
    "throttled",
    () => invoke("set", 1),
    lambda.TooManyRequestsException,
    429,
  );
  equal("Reason", error.Reason, "ReservedFunctionConcurrentInvocationLimitExceeded");
  const patient = new lambda.LambdaClient({ maxAttempts: 3 });
  const again = await refused(
    "the SDK tries again",
    () => patient.send(new lambda.InvokeCommand({ FunctionName: "set" })),
    lambda.TooManyRequestsException,
    429,
  );
  equal("three times", again.$metadata?.attempts, 3);
  await lam.send(new lambda.DeleteFunctionConcurrencyCommand({ FunctionName: "set" }));
  const put = await lam.send(
    new lambda.PutFunctionEventInvokeConfigCommand({ FunctionName: "set", MaximumRetryAttempts: 1 }),
  );
  check("LastModified is a Date", put.LastModified instanceof Date, put.LastModified);
  check("and a recent one", Math.abs(Date.now() - put.LastModified) < 600_000, put.LastModified);
  equal("FunctionArn", put.FunctionArn, arn("set", "$LATEST"));
  const added = await lam.send(
    new lambda.AddPermissionCommand({
      FunctionName: "set",
      StatementId: "s",
      Action: "lambda:InvokeFunction",
      Principal: "events.amazonaws.com",
    }),
  );
  equal("Statement", JSON.parse(added.Statement).Sid, "s");
  const url = await lam.send(
    new lambda.CreateFunctionUrlConfigCommand({ FunctionName: "set", AuthType: "NONE" }),
  );
  await lam.send(
    new lambda.AddPermissionCommand({
      FunctionName: "set",
      StatementId: "url",
      Action: "lambda:InvokeFunctionUrl",
      Principal: "*",
      FunctionUrlAuthType: "NONE",
    }),
  );
  const called = await fetch(url.FunctionUrl);
  equal("the URL answers", called.status, 200);
  equal("with the event", (await called.json()).event?.version, "2.0");
  await lam.send(new lambda.TagResourceCommand({ Resource: arn("set"), Tags: { "b c": "2" } }));
  await lam.send(new lambda.UntagResourceCommand({ Resource: arn("set"), TagKeys: ["x", "y z"] }));
  const tags = await lam.send(new lambda.ListTagsCommand({ Resource: arn("set") }));
  equal("tags", tags.Tags, { "b c": "2" });
  const account = await lam.send(new lambda.GetAccountSettingsCommand({}));
  check("AccountUsage", account.AccountUsage?.FunctionCount >= 1, account);
  const layers = await lam.send(new lambda.ListLayersCommand({}));
  equal("layers", layers.Layers, []);
}

async function reading_logs() {
  await create("spoken");
  await invoke("spoken", { op: "log", lines: ["ERROR one", "INFO two"] });
  const logGroupName = "/aws/lambda/spoken";
  const found = await eventually("FilterLogEvents", async () => {
    const { events } = await logs.send(new FilterLogEventsCommand({ logGroupName, filterPattern: "ERROR" }));
    return events.length > 0 && events;
  });
  equal("what matches", found?.map?.((event) => event.message.trimEnd()), ["ERROR one"]);
  check("eventId", typeof found?.[0]?.eventId === "string", found);
  const groups = await logs.send(new DescribeLogGroupsCommand({ logGroupNamePrefix: logGroupName }));
  equal("DescribeLogGroups", groups.logGroups.map((one) => one.logGroupName), [logGroupName]);
  await refused(
    "no group",
    () => logs.send(new FilterLogEventsCommand({ logGroupName: "/aws/lambda/none" })),
    NoLogGroup,
    400,
    "The specified log group does not exist.",
  );
}

async function live_tail() {
  await create("live");
  const stop = new AbortController();
  const answer = await logs.send(
    new StartLiveTailCommand({
      logGroupIdentifiers: [`arn:aws:logs:${region}:${ACCOUNT}:log-group:/aws/lambda/live`],
    }),
    { abortSignal: stop.signal },
  );
  let results = [];
  let updates = 0;
  let speaker;
  for await (const event of answer.responseStream) {
    if (event.sessionStart) {
      check("sessionStart has an id", event.sessionStart.sessionId, event.sessionStart);
      speaker = setInterval(() => invoke("live", { op: "log", lines: ["live line"] }).catch(() => {}), 500);
    }
    if (event.sessionUpdate) {
      updates += 1;
      results = results.concat(event.sessionUpdate.sessionResults.map((one) => one.message.trimEnd()));
    }
    if (results.includes("live line") || updates > 30) break;
  }
  clearInterval(speaker);
  stop.abort();
  check("what is logged now arrives", results.includes("live line"), results);
}

async function users_and_keys() {
  await create("guarded");
  const made = await iam.send(new CreateUserCommand({ UserName: "dora" }));
  equal("CreateUser", made.User.Arn, `arn:aws:iam::${ACCOUNT}:user/dora`);
  check("CreateDate is a Date", made.User.CreateDate instanceof Date, made.User.CreateDate);
  const { AccessKey: key } = await iam.send(new CreateAccessKeyCommand({ UserName: "dora" }));
  const policy = {
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "lambda:InvokeFunction", Resource: arn("guarded") }],
  };
  await iam.send(
    new PutUserPolicyCommand({ UserName: "dora", PolicyName: "p", PolicyDocument: JSON.stringify(policy) }),
  );
  const signing = (secretAccessKey, accessKeyId = key.AccessKeyId) =>
    new lambda.LambdaClient({ credentials: { accessKeyId, secretAccessKey } });
  const own = signing(key.SecretAccessKey);
  const answer = await own.send(new lambda.InvokeCommand({ FunctionName: "guarded" }));
  equal("what is allowed", answer.StatusCode, 200);
  await refused(
    "what is not",
    () => own.send(new lambda.DeleteFunctionCommand({ FunctionName: "guarded" })),
    "AccessDeniedException",
    403,
    `User: arn:aws:iam::${ACCOUNT}:user/dora is not authorized to perform: lambda:DeleteFunction on ` +
      `resource: ${arn("guarded")} because no identity-based policy allows the lambda:DeleteFunction action`,
  );
  const list = new lambda.ListFunctionsCommand({});
  await refused("a wrong secret", () => signing("x".repeat(40)).send(list), "InvalidSignatureException", 403);
  await refused(
    "an unknown key",
    () => signing("x".repeat(40), `AKIA${"Z".repeat(16)}`).send(list),
    "UnrecognizedClientException",
    403,
  );
  await refused(
    "a user that is not there",
    () => iam.send(new GetUserCommand({ UserName: "nobody" })),
    NoSuchEntityException,
    404,
  );
  await refused(
    "a user with keys",
    () => iam.send(new DeleteUserCommand({ UserName: "dora" })),
    "DeleteConflictException",
    409,
  );
}

await run(
  [
    caller_identity,
    life_of_a_function,
    invocations,
    response_stream,
    versions_and_aliases,
    settings,
    reading_logs,
    live_tail,
    users_and_keys,
  ],
  process.argv.slice(2),
);
