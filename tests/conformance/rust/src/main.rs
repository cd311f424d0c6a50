//! Mayfly seen by the AWS SDK for Rust.
//!
//! Run by `cargo xtask clients rust`; names of sections as arguments run no others. The profile in
//! `AWS_PROFILE` says where the server is and who asks; `MAYFLY_FUNCTION` is the function as raw wasm.

mod harness;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use aws_sdk_lambda::client::Waiters as _;
use aws_sdk_lambda::config::Credentials;
use aws_sdk_lambda::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_lambda::operation::RequestId as _;
use aws_sdk_lambda::operation::create_function::CreateFunctionOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{
    AliasRoutingConfiguration, FunctionCode, InvocationType, InvokeWithResponseStreamResponseEvent,
    LogType, Runtime, State,
};
use serde_json::{Value, json};

use harness::Checks;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const ACCOUNT: &str = "000000000000";
const PATIENCE: Duration = Duration::from_secs(60);

/// What every section needs.
struct Kit {
    config: aws_config::SdkConfig,
    lambda: aws_sdk_lambda::Client,
    wasm: Vec<u8>,
}

impl Kit {
    fn arn(&self, name: &str) -> String {
        let region = self.config.region().map_or("", |region| region.as_ref());
        format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{name}")
    }

    async fn create(&self, name: &str) -> Result<CreateFunctionOutput, Box<dyn std::error::Error>> {
        let code = FunctionCode::builder().zip_file(Blob::new(self.wasm.clone()));
        let made = self
            .lambda
            .create_function()
            .function_name(name)
            .runtime(Runtime::Providedal2023)
            .handler("bootstrap")
            .role(format!("arn:aws:iam::{ACCOUNT}:role/any"))
            .timeout(2)
            .code(code.build())
            .send()
            .await?;
        self.lambda
            .wait_until_function_active_v2()
            .function_name(name)
            .wait(PATIENCE)
            .await?;
        Ok(made)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let config = aws_config::load_from_env().await;
    let path = std::env::var_os("MAYFLY_FUNCTION").expect("MAYFLY_FUNCTION names the function");
    let kit = Kit {
        lambda: aws_sdk_lambda::Client::new(&config),
        config,
        wasm: std::fs::read(path).expect("the function can be read"),
    };
    let mut checks = Checks::default();
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    macro_rules! sections {
        ($($section:ident),*) => {$(
            if chosen.is_empty() || chosen.iter().any(|name| name == stringify!($section)) {
                checks.begin(stringify!($section));
                let outcome = $section(&kit, &mut checks).await;
                checks.end(outcome);
            }
        )*};
    }
    sections!(
        caller,
        life_of_a_function,
        invocations,
        response_stream,
        aliases,
        settings,
        signatures
    );
    checks.close()
}

async fn caller(kit: &Kit, checks: &mut Checks) -> Outcome {
    let who = aws_sdk_sts::Client::new(&kit.config)
        .get_caller_identity()
        .send()
        .await?;
    checks.equal("account", who.account(), Some(ACCOUNT));
    let root = format!("arn:aws:iam::{ACCOUNT}:root");
    checks.equal("arn", who.arn(), Some(root.as_str()));
    Ok(())
}

async fn life_of_a_function(kit: &Kit, checks: &mut Checks) -> Outcome {
    let made = kit.create("made").await?;
    checks.equal("arn", made.function_arn(), Some(kit.arn("made").as_str()));
    checks.equal(
        "code size",
        made.code_size(),
        i64::try_from(kit.wasm.len())?,
    );
    checks.equal("runtime", made.runtime(), Some(&Runtime::Providedal2023));
    checks.check("request id", made.request_id().is_some(), made.request_id());
    let found = kit
        .lambda
        .get_function()
        .function_name(kit.arn("made"))
        .send()
        .await?;
    let configuration = found.configuration().ok_or("no configuration")?;
    checks.equal("state", configuration.state(), Some(&State::Active));
    kit.lambda
        .wait_until_function_updated_v2()
        .function_name("made")
        .wait(PATIENCE)
        .await?;
    let changed = kit
        .lambda
        .update_function_configuration()
        .function_name("made")
        .timeout(7)
        .description("changed")
        .send()
        .await?;
    checks.equal("timeout", changed.timeout(), Some(7));
    checks.equal("description", changed.description(), Some("changed"));
    let stale = made.revision_id().ok_or("no revision")?;
    let error = kit
        .lambda
        .update_function_configuration()
        .function_name("made")
        .timeout(8)
        .revision_id(stale)
        .send()
        .await
        .err()
        .ok_or("a stale revision was taken")?
        .into_service_error();
    checks.check(
        "a stale revision",
        error.is_precondition_failed_exception(),
        &error,
    );
    kit.create("made-too").await?;
    let listed: Result<Vec<_>, _> = kit
        .lambda
        .list_functions()
        .into_paginator()
        .page_size(1)
        .items()
        .send()
        .collect()
        .await;
    let names: Vec<String> = listed?
        .iter()
        .filter_map(|one| one.function_name().map(str::to_owned))
        .collect();
    let all = ["made", "made-too"]
        .iter()
        .all(|name| names.iter().any(|found| found == name));
    checks.check("all are listed", all, &names);
    kit.lambda
        .delete_function()
        .function_name("made")
        .send()
        .await?;
    let error = kit
        .lambda
        .get_function()
        .function_name("made")
        .send()
        .await
        .err()
        .ok_or("it is still there")?
        .into_service_error();
    checks.check(
        "it is gone",
        error.is_resource_not_found_exception(),
        &error,
    );
    let text = format!("Function not found: {}", kit.arn("made"));
    checks.equal("its message", error.message(), Some(text.as_str()));
    Ok(())
}

async fn invocations(kit: &Kit, checks: &mut Checks) -> Outcome {
    kit.create("echo").await?;
    let invoke = |event: Value| {
        kit.lambda
            .invoke()
            .function_name("echo")
            .payload(Blob::new(event.to_string()))
    };
    for value in [
        json!(null),
        json!(1.5),
        json!("grüße 🦋"),
        json!({ "a": [1, null] }),
    ] {
        let answer = invoke(json!({ "op": "value", "value": value }))
            .send()
            .await?;
        let payload = answer.payload().ok_or("no payload")?;
        let got: Value = serde_json::from_slice(payload.as_ref())?;
        checks.equal("a value comes back", got, value);
        checks.equal("status", answer.status_code(), 200);
        checks.equal("version", answer.executed_version(), Some("$LATEST"));
        checks.equal("no error", answer.function_error(), None);
    }
    let answer = invoke(json!({ "op": "value" }))
        .log_type(LogType::Tail)
        .send()
        .await?;
    checks.check(
        "a log",
        answer.log_result().is_some_and(|log| !log.is_empty()),
        answer.log_result(),
    );
    let answer = invoke(json!({ "op": "error", "msg": "on purpose" }))
        .send()
        .await?;
    checks.equal("a failure", answer.function_error(), Some("Unhandled"));
    let payload = answer.payload().ok_or("no payload")?;
    let said: Value = serde_json::from_slice(payload.as_ref())?;
    checks.equal(
        "its message",
        said["errorMessage"].as_str(),
        Some("on purpose"),
    );
    let answer = invoke(json!({ "op": "timeout" })).send().await?;
    checks.equal("a timeout", answer.function_error(), Some("Unhandled"));
    let dry = invoke(json!({}))
        .invocation_type(InvocationType::DryRun)
        .send()
        .await?;
    checks.equal("a dry run", dry.status_code(), 204);
    let error = kit
        .lambda
        .invoke()
        .function_name("echo")
        .payload(Blob::new("{"))
        .send()
        .await
        .err()
        .ok_or("what is no JSON was taken")?
        .into_service_error();
    checks.check(
        "no JSON",
        error.is_invalid_request_content_exception(),
        &error,
    );
    Ok(())
}

async fn response_stream(kit: &Kit, checks: &mut Checks) -> Outcome {
    kit.create("streamed").await?;
    let mut answer = kit
        .lambda
        .invoke_with_response_stream()
        .function_name("streamed")
        .payload(Blob::new(r#"{"op":"value","value":{"a":1}}"#))
        .send()
        .await?;
    checks.equal("status", answer.status_code(), 200);
    let (mut payload, mut complete) = (Vec::new(), 0);
    while let Some(event) = answer.event_stream.recv().await? {
        match event {
            InvokeWithResponseStreamResponseEvent::PayloadChunk(chunk) => {
                payload.extend_from_slice(chunk.payload().map_or(&[][..], AsRef::as_ref));
            }
            InvokeWithResponseStreamResponseEvent::InvokeComplete(end) => {
                complete += 1;
                checks.equal("no error", end.error_code(), None);
            }
            other => checks.check("a known event", false, other),
        }
    }
    checks.equal("the end is said once", complete, 1);
    checks.equal(
        "payload",
        String::from_utf8(payload)?.as_str(),
        r#"{"a":1}"#,
    );
    Ok(())
}

async fn aliases(kit: &Kit, checks: &mut Checks) -> Outcome {
    kit.create("versioned").await?;
    let first = kit
        .lambda
        .publish_version()
        .function_name("versioned")
        .send()
        .await?;
    checks.equal("the first version", first.version(), Some("1"));
    kit.lambda
        .update_function_configuration()
        .function_name("versioned")
        .timeout(5)
        .send()
        .await?;
    let second = kit
        .lambda
        .publish_version()
        .function_name("versioned")
        .send()
        .await?;
    checks.equal("the second version", second.version(), Some("2"));
    let routing = AliasRoutingConfiguration::builder().additional_version_weights("2", 1.0);
    let alias = kit
        .lambda
        .create_alias()
        .function_name("versioned")
        .name("live")
        .function_version("1")
        .routing_config(routing.build())
        .send()
        .await?;
    checks.equal("alias", alias.function_version(), Some("1"));
    let answer = kit
        .lambda
        .invoke()
        .function_name("versioned")
        .qualifier("live")
        .send()
        .await?;
    checks.equal(
        "its weight is followed",
        answer.executed_version(),
        Some("2"),
    );
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a time that the server gives is compared with now"
)]
async fn settings(kit: &Kit, checks: &mut Checks) -> Outcome {
    kit.create("set").await?;
    kit.lambda
        .put_function_concurrency()
        .function_name("set")
        .reserved_concurrent_executions(0)
        .send()
        .await?;
    let error = kit
        .lambda
        .invoke()
        .function_name("set")
        .send()
        .await
        .err()
        .ok_or("it was not throttled")?
        .into_service_error();
    checks.check("throttled", error.is_too_many_requests_exception(), &error);
    let put = kit
        .lambda
        .put_function_event_invoke_config()
        .function_name("set")
        .maximum_retry_attempts(1)
        .send()
        .await?;
    let modified = put.last_modified().ok_or("no time")?;
    let modified = SystemTime::try_from(*modified)?;
    let age = SystemTime::now()
        .duration_since(modified)
        .unwrap_or_default();
    checks.check("a time of today", age < Duration::from_secs(600), age);
    let url = kit
        .lambda
        .create_function_url_config()
        .function_name("set")
        .auth_type(aws_sdk_lambda::types::FunctionUrlAuthType::AwsIam)
        .send()
        .await?;
    checks.check(
        "a URL",
        url.function_url().ends_with('/'),
        url.function_url(),
    );
    let account = kit.lambda.get_account_settings().send().await?;
    let count = account
        .account_usage()
        .map_or(0, |usage| usage.function_count());
    checks.check("account settings", count >= 1, count);
    Ok(())
}

async fn signatures(kit: &Kit, checks: &mut Checks) -> Outcome {
    for (key, secret, want) in [
        ("AKIAZZZZZZZZZZZZZZZZ", "x", "UnrecognizedClientException"),
        (&own_key(kit).await?, "x", "InvalidSignatureException"),
    ] {
        let config = aws_sdk_lambda::config::Builder::from(&kit.config)
            .credentials_provider(Credentials::new(key, secret, None, None, "suite"));
        let client = aws_sdk_lambda::Client::from_conf(config.build());
        let error = client
            .list_functions()
            .send()
            .await
            .err()
            .ok_or("it was let in")?;
        checks.equal("code", error.code(), Some(want));
        let status = match &error {
            SdkError::ServiceError(context) => context.raw().status().as_u16(),
            _ => 0,
        };
        checks.equal("status", status, 403);
    }
    Ok(())
}

/// The id of the key that the profile holds.
async fn own_key(kit: &Kit) -> Result<String, Box<dyn std::error::Error>> {
    use aws_sdk_lambda::config::ProvideCredentials as _;
    let provider = kit.config.credentials_provider().ok_or("no credentials")?;
    Ok(provider
        .provide_credentials()
        .await?
        .access_key_id()
        .to_owned())
}
