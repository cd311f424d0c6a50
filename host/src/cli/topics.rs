//! `mayfly topics`: an event for every function that subscribes, and which those are.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use domain::TopicName;
use serde::Deserialize;
use serde_json::Value;

use super::invoke::read_event;
use super::output::{answer, note};
use super::places::Places;
use super::table::{Align, aligned};

const PATH: &str = "/mayfly/topics";

/// Publishes to topics, and shows who subscribes.
///
/// A function subscribes in its manifest, with a table `[[subscribe]]`. Each subscriber gets
/// what is published as an event of its own, with its own request id and its own attempts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly topics list
  mayfly topics publish orders.created -d '{\"id\": 7}'
  mayfly topics publish orders.created --file order.json
  echo '{\"id\": 7}' | mayfly topics publish orders.created --json | jq -r '.[].request_id'")]
pub(super) struct Topics {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// List the patterns that functions subscribe to
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Publish JSON, from -d, --file or stdin; nothing is {}
    Publish {
        /// The topic, such as orders.created
        topic: TopicName,

        /// What is published
        #[arg(short = 'd', long, value_name = "JSON", conflicts_with = "file")]
        event: Option<String>,

        /// File that holds it; - is stdin
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,

        /// Print the events as one JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
struct Listing {
    topics: Vec<Value>,
}

#[derive(Deserialize)]
struct Topic {
    topic: String,
    subscribers: Vec<Subscriber>,
}

#[derive(Deserialize)]
struct Subscriber {
    function: String,
    qualifier: Option<String>,
}

#[derive(Deserialize)]
struct Published {
    events: Vec<Value>,
    #[serde(default)]
    refused: usize,
    #[serde(default)]
    skipped: usize,
}

#[derive(Deserialize)]
struct Event {
    /// Not told to who may not know.
    function: Option<String>,
    qualifier: Option<String>,
    request_id: String,
    state: String,
}

impl Subscriber {
    /// `NAME` or `NAME:QUALIFIER`.
    fn target(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.function),
            None => self.function.clone(),
        }
    }
}

/// Does what was asked.
pub(super) fn run(topics: &Topics, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    match &topics.command {
        TopicsCommand::List { json } => {
            let Listing { topics } = client.get(PATH)?;
            let topics = Value::Array(topics);
            if *json {
                answer(format!("{topics}\n"))?;
            } else {
                answer(listing(&serde_json::from_value::<Vec<Topic>>(topics)?))?;
            }
        }
        TopicsCommand::Publish {
            topic,
            event,
            file,
            json,
        } => {
            let event = read_event(event.as_deref(), file.as_deref())?;
            let Published {
                events,
                refused,
                skipped,
            } = client.post_body(&format!("{PATH}/{topic}"), event)?;
            if events.is_empty() {
                note(&format!(
                    "nobody subscribes to {topic}, so nothing was queued"
                ));
            }
            if refused > 0 {
                note(&format!(
                    "{refused} subscribers got nothing: their queues are full, or they are too many"
                ));
            }
            if skipped > 0 {
                note(&format!(
                    "{skipped} subscribers got nothing: their alias or version is not there"
                ));
            }
            let events = Value::Array(events);
            if *json {
                answer(format!("{events}\n"))?;
            } else {
                answer(published(&serde_json::from_value::<Vec<Event>>(events)?))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listing(topics: &[Topic]) -> String {
    if topics.is_empty() {
        return "no subscriptions; a function has them in its manifest, under [[subscribe]]\n"
            .to_owned();
    }
    let rows: Vec<_> = topics
        .iter()
        .flat_map(|topic| {
            let row = |one: &Subscriber| vec![topic.topic.clone(), one.target()];
            topic.subscribers.iter().map(row).collect::<Vec<_>>()
        })
        .collect();
    aligned(&[("TOPIC", Align::Left), ("FUNCTION", Align::Left)], &rows)
}

fn published(events: &[Event]) -> String {
    if events.is_empty() {
        return String::new();
    }
    let row = |event: &Event| {
        let subscriber = event.function.clone().map(|function| Subscriber {
            function,
            qualifier: event.qualifier.clone(),
        });
        vec![
            subscriber.map_or_else(|| "-".to_owned(), |one| one.target()),
            event.request_id.clone(),
            event.state.clone(),
        ]
    };
    let columns = [
        ("FUNCTION", Align::Left),
        ("REQUEST ID", Align::Left),
        ("STATE", Align::Left),
    ];
    aligned(&columns, &events.iter().map(row).collect::<Vec<_>>())
}
