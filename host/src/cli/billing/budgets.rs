//! `mayfly billing budgets`: what may be spent this month, and what is.

use std::process::ExitCode;

use clap::Args;

use crate::budgets::BudgetView;
use crate::cli::output::answer;
use crate::cli::places::Places;
use crate::cli::table::{Align, aligned};

/// Shows budgets, and what of them is spent this month (UTC). Needs a running server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mayfly billing budgets
  mayfly billing budgets --json | jq '.[] | select(.throttled)'")]
pub(super) struct BudgetsCommand {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

/// Shows.
pub(super) fn run(command: &BudgetsCommand, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let text = Places::client(&config)?.get_text("/mayfly/billing/budgets")?;
    if command.json {
        answer(format!("{}\n", text.trim_end()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let views: Vec<BudgetView> = serde_json::from_str(&text).map_err(|error| {
        anyhow::anyhow!("the budgets are not what this version of Mayfly expects: {error}")
    })?;
    answer(table(&views))?;
    Ok(ExitCode::SUCCESS)
}

fn table(views: &[BudgetView]) -> String {
    if views.is_empty() {
        return "no budgets\n".to_owned();
    }
    let columns = [
        ("FUNCTION", Align::Left),
        ("MONTH", Align::Left),
        ("BUDGET USD", Align::Right),
        ("SPENT USD", Align::Right),
        ("%", Align::Right),
        ("WHEN SPENT", Align::Left),
    ];
    let rows: Vec<_> = views
        .iter()
        .map(|view| {
            let then = match (view.throttle, view.throttled) {
                (_, true) => "refuses now",
                (true, false) => "refuses",
                (false, false) => "warns",
            };
            vec![
                view.function
                    .clone()
                    .unwrap_or_else(|| "(the server)".to_owned()),
                view.month.clone(),
                view.monthly_usd.clone(),
                view.spent_usd.clone(),
                view.percent.clone(),
                then.to_owned(),
            ]
        })
        .collect();
    aligned(&columns, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_whose_how_much_and_what_follows() {
        let view = BudgetView {
            function: None,
            month: "2026-11".to_owned(),
            monthly_picousd: 1,
            monthly_usd: "0.000000000001".to_owned(),
            spent_picousd: 2,
            spent_usd: "0.000000000002".to_owned(),
            percent: "200.00".to_owned(),
            throttle: true,
            throttled: true,
        };
        assert_eq!(
            table(&[view]),
            "FUNCTION      MONTH        BUDGET USD       SPENT USD       %  WHEN SPENT\n(the server)  2026-11  0.000000000001  0.000000000002  200.00  refuses now\n"
        );
        assert_eq!(table(&[]), "no budgets\n");
    }
}
