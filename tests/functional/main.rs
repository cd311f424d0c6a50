//! Does each feature do what it says? One module for each, all through the built binary.

#![expect(clippy::unwrap_used, reason = "a test that can't set up must stop")]

mod audit;
mod backup;
mod billing;
mod billing_verify;
mod budgets;
mod cli;
mod clients;
mod cloud_events;
mod cloudwatch_logs;
mod control;
mod cors;
mod credentials;
mod deploy_cli;
mod destinations;
mod dev;
mod drop_folder;
mod events;
mod events_api;
mod examples;
mod failures;
mod first_event;
mod function_urls;
mod guests;
mod http_event;
mod http_protocol;
mod http_response;
mod iam;
mod invoices;
mod invoke_api;
mod invoke_stream;
mod lambda_aliases;
mod lambda_functions;
mod lambda_settings;
mod lifecycle;
mod logs;
mod manifest;
mod many_functions;
mod new_function;
mod route_security;
mod schedules;
mod swap;
mod tls;
mod topics;
mod versions;
