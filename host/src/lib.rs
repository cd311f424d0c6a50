//! Mayfly: a self-hosted function platform.
//!
//! A compiled WebAssembly file answers HTTP. Every event gets a sandbox of its own, under limits, and
//! leaves a receipt. The modules below are listed in the order in which an event meets them;
//! `docs/ARCHITECTURE.md` is the map.

pub mod cli;

mod answer;
mod api;
mod app;
mod audit;
mod auth;
mod banner;
mod budgets;
mod capacity;
mod client;
mod closing;
mod concurrency;
mod config;
mod faults;
mod folder_watch;
mod http;
mod invoices;
mod invoke;
mod lifecycle;
mod live_tails;
mod manifest;
mod metrics;
mod outgoing;
mod registry;
#[cfg(test)]
mod steps;
mod time_text;
mod tokens;
mod trigger;
