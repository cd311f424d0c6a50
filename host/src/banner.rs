//! What the server says on standard output about itself: where it listens, which functions it has,
//! what it refused. Lines are for people; the first one, `listening …`, is also for scripts that
//! start it on port 0.

use std::fmt::Arguments;
use std::io::Write as _;
use std::time::Duration;

use crate::api::mayfly::functions::function_views;
use crate::app::App;
use crate::config::CertificateFiles;

/// Where we listen; printed once both sockets accept.
pub(crate) fn listening(app: &App) {
    let scheme = |tls: &Option<CertificateFiles>| if tls.is_some() { "https" } else { "http" };
    let (triggers, control) = (
        scheme(&app.config.tls.triggers),
        scheme(&app.config.tls.control),
    );
    say(format_args!(
        "listening http={triggers}://{} control={control}://{}",
        app.listen, app.control
    ));
    say(format_args!("engine: {}", app.sandboxes.settings_report()));
}

/// What the drop folder held; printed when all of it was looked at.
pub(crate) fn ready(app: &App) {
    let refused = app.refusals.list();
    let views = function_views(app, &refused);
    say(format_args!(
        "functions in {}:",
        app.config.functions_dir.display()
    ));
    let width = views.iter().map(|view| view.name.len()).max().unwrap_or(0);
    for view in &views {
        let urls = view.urls.join(" ");
        let seconds = f64::from(view.timeout_ms) / 1_000.0;
        say(format_args!(
            "  {:width$}  {:7}  {:>4} MB  {seconds:>5} s  {urls}",
            view.name, view.kind, view.memory_mb
        ));
    }
    if views.is_empty() {
        say(format_args!(
            "  none yet; drop a .wasm file there, or make one with `mayfly new NAME`"
        ));
    }
    for file in &refused {
        say(format_args!("  refused {}: {}", file.file, file.reason));
    }
    let (mut events, mut queues) = (0_u64, 0_u64);
    for depth in app.queue.depths().values() {
        events += depth.queued + depth.running;
        queues += 1;
    }
    if events > 0 {
        let events = counted(events, "event waits", "events wait");
        let queues = counted(queues, "queue", "queues");
        say(format_args!("{events} in {queues}"));
    }
    say(format_args!("ready"));
}

/// A drain has started.
pub(crate) fn draining(running: u32, at_most: Duration) {
    say(format_args!(
        "draining: {}; at most {} s",
        counted(running, "invocation runs", "invocations run"),
        at_most.as_secs()
    ));
}

/// The last line.
pub(crate) fn stopped() {
    say(format_args!("stopped"));
}

fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Prints a line. Whoever started us may have closed the pipe; that is no reason to stop serving.
fn say(line: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
