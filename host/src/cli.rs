//! The command line: what `mayfly` understands, and what it says.
//!
//! One file for each subcommand. Answers go to stdout, everything else to stderr; an error is one
//! line that names what is wrong and what to do. Exit codes: 0 done, 1 failed, 2 the command line or the
//! JSON that it gives is wrong.
//!
//! Whoever reads our output may leave at any time (`mayfly billing | head`); that ends a command
//! and is no error.
//!
//! Knows nothing of how functions run or are served; it asks `lifecycle`, `client` and `sandbox`.

mod code_file;
mod number;
mod output;
mod places;
mod since;
mod table;
mod unknown;

mod alias;
mod api_keys;
mod audit;
mod backup;
mod billing;
mod build;
mod create;
mod delete;
mod destinations;
mod dev;
mod events;
mod invoke;
mod keys;
mod list;
mod logs;
mod new;
mod policy;
mod publish;
mod queues;
mod restore;
mod rollback;
mod schedules;
mod serve;
mod topics;
mod update;
mod users;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::places::Places;

const EXAMPLES: &str = "\
Examples:
  mayfly new hello                  a function in Rust, with a test
  mayfly dev                        build every function, serve it, rebuild on change
  curl http://127.0.0.1:3000/hello  call it
  cp module.wasm functions/         live at once, without a restart
  mayfly billing                    what each invocation cost

Exit codes: 0 done; 1 it failed; 2 the command line, or the JSON that it gives, is wrong.";

/// Runs compiled WebAssembly as functions: one sandbox for each event, and a receipt.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
struct Arguments {
    #[command(flatten)]
    places: Places,

    #[command(subcommand)]
    command: Command,
}

/// The documentation of each command's own type is its help.
#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Build(build::Build),
    New(new::New),
    List(list::List),
    Invoke(invoke::Invoke),
    Logs(logs::Logs),
    Create(create::Create),
    Update(update::Update),
    Publish(publish::Publish),
    Alias(alias::Alias),
    Rollback(rollback::Rollback),
    Delete(delete::Delete),
    Events(events::Events),
    Dlq(events::Dlq),
    Destinations(destinations::Destinations),
    Queues(queues::Queues),
    Topics(topics::Topics),
    Billing(billing::Billing),
    Schedules(schedules::Schedules),
    Users(users::Users),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Keys(keys::Keys),
    Policy(policy::Policy),
    ApiKeys(api_keys::ApiKeys),
    /// Compile one module from stdin; what the server starts for each artifact
    #[command(hide = true)]
    CompileWorker {
        /// Within 2 s and 1 GiB
        #[arg(long)]
        short: bool,
    },
}

/// Parses the command line, runs it, and says how it went.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version end up here too; a reader that left is no failure.
            let _printed = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) if output::is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!(
                "error: {}",
                output::one_line(&format!("{error:#}"))
            ));
            ExitCode::from(if output::is_misuse(&error) { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let places = &arguments.places;
    match arguments.command {
        Command::Dev(command) => dev::run(&command, places),
        Command::Serve(command) => serve::run(&command, places),
        Command::Build(command) => build::run(&command, places),
        Command::New(command) => new::run(&command, places),
        Command::List(command) => list::run(&command, places),
        Command::Invoke(command) => invoke::run(&command, places),
        Command::Logs(command) => logs::run(&command, places),
        Command::Create(command) => create::run(&command, places),
        Command::Update(command) => update::run(&command, places),
        Command::Publish(command) => publish::run(&command, places),
        Command::Alias(command) => alias::run(&command, places),
        Command::Delete(command) => delete::run(&command, places),
        Command::Rollback(command) => rollback::run(&command, places),
        Command::Events(command) => events::run(&command, places),
        Command::Dlq(command) => events::run_dlq(&command, places),
        Command::Destinations(command) => destinations::run(&command, places),
        Command::Queues(command) => queues::run(&command, places),
        Command::Topics(command) => topics::run(&command, places),
        Command::Billing(command) => billing::run(&command, places),
        Command::Schedules(command) => schedules::run(&command, places),
        Command::Users(command) => users::run(&command, places),
        Command::Audit(command) => audit::run(&command, places),
        Command::Backup(command) => backup::run(&command, places),
        Command::Restore(command) => restore::run(&command, places),
        Command::Keys(command) => keys::run(&command, places),
        Command::Policy(command) => policy::run(&command, places),
        Command::ApiKeys(command) => api_keys::run(&command, places),
        Command::CompileWorker { short } => serve::compile_worker(short),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        for command in Arguments::command()
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
        {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.starts_with("Examples:\n"), "{}", command.get_name());
        }
    }

    #[test]
    fn places_may_stand_before_or_after_the_command() {
        for line in ["mayfly --functions f list", "mayfly list --functions f"] {
            let arguments = Arguments::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(
                arguments.places.functions.as_deref(),
                Some("f".as_ref()),
                "{line}"
            );
        }
    }
}
