//! `mayfly events`: what waits, runs and ended; `mayfly dlq`: the same of what was given up.
//!
//! Lists come in pages and are shown as one. `--json` prints what the control API answers, as one array.

mod rows;
mod send;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgGroup, Subcommand};
use domain::event::EventState;
use domain::{FunctionName, RequestId};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use self::rows::Row;
use self::send::Send;
use super::number::number;
use super::output::{answer, misuse, note};
use super::places::Places;
use super::unknown::note_if_unknown;
use crate::client::{Client, query};

const PATH: &str = "/mayfly/events";

/// Events that are shown when nobody says how many.
const LIMIT_DEFAULT: u32 = 100;

/// Most events that can be asked for at once.
const LIMIT_MAX: u32 = 1_000_000;

/// Events of a page.
const PAGE_MAX: u32 = 1_000;

/// The states of events that ended: what waits is only purged when it is named.
const ENDED: [EventState; 3] = [EventState::Succeeded, EventState::Dead, EventState::Expired];

/// The states in which nothing runs.
const STILL: [EventState; 4] = [
    EventState::Queued,
    EventState::Succeeded,
    EventState::Dead,
    EventState::Expired,
];

/// The states of dead letters.
const DEAD: [EventState; 2] = [EventState::Dead, EventState::Expired];

/// Shows and manages events that wait for functions, run, or ended.
///
/// An event is queued, running, succeeded, dead or expired. Dead and expired ones are kept until they
/// are redriven (queued again, as if new) or purged (removed for good); succeeded ones for a day.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly events list
  mayfly events list --function orders --state queued
  mayfly events show 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f
  mayfly events show 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f --payload event.json
  mayfly events send orders --file cloud-event.json
  mayfly events redrive 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f
  mayfly events redrive --all --function orders
  mayfly events purge --all                  what ended; --state queued for what waits
  mayfly events list --json | jq -r '.[].request_id'")]
pub(super) struct Events {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    #[command(flatten)]
    Of(Command),
    Send(Send),
}

/// Shows and manages dead letters: events that were given up, or became too old.
///
/// Each is the original event, with what failed last. It is kept until it is redriven (queued again, as
/// if new) or purged (removed for good).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly dlq list
  mayfly dlq list --function orders
  mayfly dlq show 0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f
  mayfly dlq redrive --all --function orders
  mayfly dlq purge --all --state expired")]
pub(super) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List events, newest first
    List(List),
    /// Show one event with what it carries
    Show {
        /// Its request id
        id: RequestId,
        /// Write what it carries to this file, replaced if it is there
        #[arg(long, value_name = "FILE")]
        payload: Option<PathBuf>,
        /// Print JSON
        #[arg(long, conflicts_with = "payload")]
        json: bool,
    },
    /// Queue dead and expired events again, as if they were new
    Redrive(Which),
    /// Remove events for good
    ///
    /// --all removes those that ended: succeeded, dead and expired. What waits is removed with
    /// `--state queued` alone, and nothing that runs.
    Purge(Which),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Only of this function
    #[arg(short, long, value_name = "NAME")]
    function: Option<FunctionName>,

    /// Only in this state
    #[arg(short, long, value_name = "STATE")]
    state: Option<EventState>,

    /// Events to show, the latest ones, at most 1000000
    #[arg(short = 'n', long, value_name = "N", default_value_t = LIMIT_DEFAULT,
        allow_hyphen_values = true, value_parser = number::<1, LIMIT_MAX>)]
    limit: u32,

    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// One event, or all of some.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "all"]))]
struct Which {
    /// Request id of one event
    id: Option<RequestId>,

    /// All events that ended (redrive: dead or expired); narrowed down by --function and --state
    #[arg(long)]
    all: bool,

    /// Only of this function
    #[arg(
        short,
        long,
        value_name = "NAME",
        requires = "all",
        conflicts_with = "id"
    )]
    function: Option<FunctionName>,

    /// Only in this state; may be said more than once
    #[arg(
        short,
        long,
        value_name = "STATE",
        requires = "all",
        conflicts_with = "id"
    )]
    state: Vec<EventState>,
}

/// Which events a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    DeadLetters,
}

/// What is done to events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Redrive,
    Purge,
}

#[derive(Deserialize)]
struct Page {
    events: Vec<Value>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Changed {
    changed: u64,
}

/// Does what was asked, of all events.
pub(super) fn run(events: &Events, places: &Places) -> anyhow::Result<ExitCode> {
    match &events.command {
        EventsCommand::Of(command) => act(command, Scope::All, places),
        EventsCommand::Send(send) => send::run(send, places),
    }
}

/// Does what was asked, of dead letters.
pub(super) fn run_dlq(dlq: &Dlq, places: &Places) -> anyhow::Result<ExitCode> {
    act(&dlq.command, Scope::DeadLetters, places)
}

fn act(command: &Command, scope: Scope, places: &Places) -> anyhow::Result<ExitCode> {
    let asked: &[EventState] = match command {
        Command::List(List { state, .. }) => state.as_slice(),
        Command::Redrive(which) | Command::Purge(which) => &which.state,
        Command::Show { .. } => &[],
    };
    if let Some(state) = asked.iter().find(|state| !scope.holds(**state)) {
        return Err(misuse(format_args!(
            "dead letters are dead or expired, never {state}; `mayfly events` has the others"
        )));
    }
    let (can, verb): (&[EventState], _) = match command {
        Command::Redrive(_) => (&DEAD, "redriven"),
        Command::Purge(_) => (&STILL, "purged"),
        Command::List(_) | Command::Show { .. } => (&EventState::ALL, ""),
    };
    if let Some(state) = asked.iter().find(|state| !can.contains(state)) {
        let can: Vec<_> = can.iter().map(|state| state.as_str()).collect();
        return Err(misuse(format_args!(
            "events that are {state} can't be {verb}; say --state {}",
            can.join(" or ")
        )));
    }
    let client = Places::client(&places.config()?)?;
    match command {
        Command::List(list) => {
            let events = listed(&client, scope, list)?;
            if events.is_empty() {
                note_if_unknown(&client, list.function.as_ref());
            }
            if list.json {
                answer(format!("{}\n", Value::Array(events)))?;
            } else {
                let rows: Vec<Row> = serde_json::from_value(Value::Array(events))?;
                answer(rows::table(&rows))?;
            }
        }
        Command::Show { id, payload, json } => {
            let text = one(&client, scope, *id)?;
            if let Some(file) = payload {
                let bytes = rows::payload(&text)?;
                std::fs::write(file, &bytes)
                    .with_context(|| format!("writing `{}` failed", file.display()))?;
                note(&format!("{}: {} bytes", file.display(), bytes.len()));
            } else if *json {
                answer(format!("{}\n", text.trim_end()))?;
            } else {
                let is_cut = std::io::stdout().is_terminal();
                answer(rows::details(&text, is_cut)?)?;
            }
        }
        Command::Redrive(which) => change(&client, scope, Change::Redrive, which)?,
        Command::Purge(which) => change(&client, scope, Change::Purge, which)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Scope {
    fn holds(self, state: EventState) -> bool {
        match self {
            Self::All => true,
            Self::DeadLetters => DEAD.contains(&state),
        }
    }
}

/// The events that a list asks for, newest first.
fn listed(client: &Client, scope: Scope, list: &List) -> anyhow::Result<Vec<Value>> {
    let states: Vec<Option<EventState>> = match (list.state, scope) {
        (Some(state), _) => vec![Some(state)],
        (None, Scope::All) => vec![None],
        (None, Scope::DeadLetters) => DEAD.into_iter().map(Some).collect(),
    };
    let mut events = Vec::new();
    for state in &states {
        events.extend(pages(client, list, *state)?);
    }
    if states.len() > 1 {
        // The latest of either.
        let changed = |event: &Value| event["changed_at"].as_str().unwrap_or("").to_owned();
        events.sort_by_cached_key(|event| std::cmp::Reverse(changed(event)));
        events.truncate(usize::try_from(list.limit).unwrap_or(usize::MAX));
    }
    Ok(events)
}

fn pages(client: &Client, list: &List, state: Option<EventState>) -> anyhow::Result<Vec<Value>> {
    let mut events = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let have = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let missing = list.limit.saturating_sub(have);
        let query = query(&[
            ("function", list.function.as_ref().map(ToString::to_string)),
            ("state", state.map(|state| state.to_string())),
            ("limit", Some(missing.min(PAGE_MAX).to_string())),
            ("next", next),
        ]);
        let page: Page = client.get(&format!("{PATH}{query}"))?;
        let is_empty = page.events.is_empty();
        events.extend(page.events);
        next = page.next;
        let is_full = events.len() >= usize::try_from(list.limit).unwrap_or(usize::MAX);
        if is_full || is_empty || next.is_none() {
            return Ok(events);
        }
    }
}

/// One event with its payload, as JSON; of dead letters only if it is one.
fn one(client: &Client, scope: Scope, id: RequestId) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    struct InState {
        state: String,
    }
    let text = client.get_text(&format!("{PATH}/{id}"))?;
    let InState { state } = serde_json::from_str(&text)?;
    let is_held = state.parse().is_ok_and(|state| scope.holds(state));
    anyhow::ensure!(
        is_held,
        "event {id} is {state}, so it is no dead letter; see `mayfly events show {id}`"
    );
    Ok(text)
}

fn change(client: &Client, scope: Scope, change: Change, which: &Which) -> anyhow::Result<()> {
    let body = match which.id {
        Some(id) => {
            if scope == Scope::DeadLetters {
                one(client, scope, id)?;
            }
            json!({ "id": id })
        }
        None => {
            let mut body = json!({ "all": true, "states": change.states(scope, &which.state) });
            if let Some(function) = &which.function {
                body["function"] = json!(function);
            }
            body
        }
    };
    let path = format!("{PATH}/{}", change.verb());
    let Changed { changed } = client.send_patiently(&Method::POST, &path, &body)?;
    let events = if changed == 1 { "event" } else { "events" };
    note(&format!("{} {changed} {events}", change.done()));
    if changed == 0 {
        note_if_unknown(client, which.function.as_ref());
    }
    Ok(())
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::Redrive => "redrive",
            Self::Purge => "purge",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Redrive => "queued again:",
            Self::Purge => "removed:",
        }
    }

    /// The states that are meant: those that were asked for, or all that it can be done in.
    fn states(self, scope: Scope, asked: &[EventState]) -> Vec<EventState> {
        if !asked.is_empty() {
            return asked.to_vec();
        }
        match self {
            Self::Redrive => DEAD.to_vec(),
            Self::Purge => ENDED
                .into_iter()
                .filter(|state| scope.holds(*state))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        events: Events,
    }

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(|line| match line.events.command {
            EventsCommand::Of(command) => command,
            EventsCommand::Send(send) => panic!("{send:?}"),
        })
    }

    #[test]
    fn a_purge_needs_an_id_or_all() {
        let id = "0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f";
        for line in [
            "x purge",
            "x redrive",
            "x purge --function f",
            "x purge --state dead",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        for line in [
            format!("x purge {id} --all"),
            format!("x purge {id} --state dead"),
            "x purge f".to_owned(),
            "x list --state done".to_owned(),
            "x list --limit 0".to_owned(),
            "x list --function a.b".to_owned(),
        ] {
            assert_eq!(parse(&line).unwrap_err().exit_code(), 2, "{line}");
        }
        parse(&format!("x purge {id}")).unwrap();
        let command = parse("x purge --all --function f --state dead --state expired").unwrap();
        let Command::Purge(which) = command else {
            panic!("{command:?}");
        };
        assert_eq!(which.state, DEAD);
    }

    #[test]
    fn a_purge_of_all_spares_what_waits_and_runs_and_one_of_dead_letters_all_else() {
        let states = |scope| Change::Purge.states(scope, &[]);
        assert_eq!(states(Scope::All), ENDED);
        assert_eq!(states(Scope::DeadLetters), DEAD);
        assert_eq!(Change::Redrive.states(Scope::All, &[]), DEAD);
        let asked = [EventState::Queued];
        assert_eq!(Change::Purge.states(Scope::All, &asked), asked);
    }
}
