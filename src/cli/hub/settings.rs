//! `ftx hub settings`: the limits of the hub.

use clap::Args;
use serde_json::json;

use super::reach::{Reached, Running, Which};
use super::size::{Most, Size};
use crate::cli::context::Context;
use crate::cli::outcome::{Exit, Failure};
use crate::cli::ui::units::bytes;
use crate::hub::control::message::{Answer, Limits, Request};
use crate::hub::space::Settings as Set;

/// Show the hub's limits, or change those that are named.
///
/// What was replaced or removed counts to no account's limit and to no space's: --keep-days and --keep-bytes bound
/// all of it together, and unless --keep-bytes is set, only the disk bounds it within those days.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ftx hub settings\n  ftx hub settings --account-quota 20G --keep-days 60\n  \
    ftx hub settings --largest-file none")]
pub struct Settings {
    /// Most bytes of an account that has no limit of its own, as 20G; or none
    #[arg(long, value_name = "SIZE")]
    pub account_quota: Option<Most>,
    /// Most bytes of one file, as 4G; or none
    #[arg(long, value_name = "SIZE")]
    pub largest_file: Option<Most>,
    /// Bytes of the disk that uploads leave free
    #[arg(long, value_name = "SIZE")]
    pub reserve: Option<Size>,
    /// How many days what was replaced or removed can be restored
    #[arg(long, value_name = "DAYS")]
    pub keep_days: Option<u32>,
    /// Most bytes of all that is kept for that, as 100G; or none
    #[arg(long, value_name = "SIZE")]
    pub keep_bytes: Option<Most>,
    /// Which hub.
    #[command(flatten)]
    pub which: Which,
}

/// Changes what is named, and shows the limits.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context, command: Settings) -> Result<Exit, Failure> {
    let hub = Reached::find(context, &command.which, Running::Spared).await?;
    let limit = |most: Option<Most>| most.map(|Most(limit)| limit);
    let wanted = Limits {
        account_quota: limit(command.account_quota),
        largest_file: limit(command.largest_file),
        reserve: command.reserve.map(|Size(bytes)| bytes),
        keep_days: command.keep_days,
        keep_bytes: limit(command.keep_bytes),
    };
    if wanted != Limits::default() {
        hub.all(Request::Set(wanted)).await?;
    }
    for answer in hub.all(Request::Settings).await? {
        let Answer::Settings(limits) = answer else { continue };
        shown(&limits).iter().for_each(|line| context.printer.line(line));
        context.printer.object(|| {
            json!({
                "account_quota": limits.account_quota,
                "largest_file": limits.largest_file,
                "reserve": limits.reserve,
                "keep_days": limits.keep_days,
                "keep_bytes": limits.keep_bytes,
            })
        });
    }
    Ok(Exit::Done)
}

fn shown(limits: &Set) -> Vec<String> {
    let most = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), bytes);
    vec![
        format!("account-quota  {}", most(limits.account_quota)),
        format!("largest-file   {}", most(limits.largest_file)),
        format!("reserve        {}", bytes(limits.reserve)),
        format!("keep-days      {}", limits.keep_days),
        format!("keep-bytes     {}", most(limits.keep_bytes)),
    ]
}
