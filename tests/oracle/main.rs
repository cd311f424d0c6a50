//! The oracle: a process beside a server that is killed, which remembers what the server promised.
//!
//! It sends requests and events, keeps a journal of its own of each one sent and each answer that came
//! back, receives the records that destinations are sent, and holds all that against what the server
//! says after it was started again. It is told what to do on standard input, one line for each command,
//! and answers each with one line on standard output:
//!
//! ```text
//! start HTTP CONTROL RATE   sends until it is stopped        started
//! stop                      waits for the last answer        stopped {…}
//! check HTTP CONTROL        while the server goes on         ok {…} | violation …
//! settle HTTP CONTROL       waits for every event to end     ok {…} | violation …
//! ```
//!
//! Knows the server by its addresses and its credentials alone, and nothing of who kills it.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an oracle that can't go on must stop; its answers go to standard output"
)]

mod collector;
mod journal;
mod judge;
mod load;
mod state;

use std::io::BufRead as _;
use std::path::PathBuf;
use std::sync::Arc;

use support::Signer;

use self::collector::Collector;
use self::journal::Journal;
use self::judge::Judge;
use self::load::Load;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(credentials)) = (arguments.next(), arguments.next()) else {
        println!("usage: oracle JOURNAL-FOLDER CREDENTIALS-FILE");
        return;
    };
    let (folder, credentials) = (PathBuf::from(folder), PathBuf::from(credentials));
    let journal = Arc::new(Journal::create(&folder));
    let collector = Collector::start();
    println!("collector {}", collector.address());

    let mut judge = Judge::new(Arc::clone(&journal), collector);
    let mut load = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["start", http, control, rate] => {
                let signer = Signer::read(&credentials).unwrap();
                let addresses = (http.parse().unwrap(), control.parse().unwrap());
                let rate = rate.parse().unwrap();
                load = Some(Load::start(addresses, &signer, rate, &journal));
                "started".to_owned()
            }
            ["stop"] => {
                if let Some(load) = load.take() {
                    load.stop();
                }
                journal.sync();
                format!("stopped {}", journal.figures())
            }
            ["check" | "settle", _http, control] => {
                let signer = Signer::read(&credentials).unwrap();
                let server = state::Server::new(control.parse().unwrap(), signer);
                let is_last = words[0] == "settle";
                match judge.judge(&server, is_last) {
                    Ok(figures) => format!("ok {figures}"),
                    Err(violation) => format!("violation {}", violation.replace('\n', " ")),
                }
            }
            _ => format!("violation there is no command `{line}`"),
        };
        println!("{answer}");
    }
}
