//! How a hub stands, as lines for a person.

use crate::base::path::Name;
use crate::base::text::PeerText;
use crate::cli::ui::table::table;
use crate::cli::ui::units::{ago, bytes, count, moment};
use crate::hub::space::Kind;
use crate::hub::status::{AccountUse, Arrived, Connected, Moving, SpaceUse, Status, Way};
use crate::wire::hub::Rank;

/// Everything, as it is at `now`, in seconds since 1970.
pub fn lines(status: &Status, now: u64) -> Vec<String> {
    let hub = &status.hub;
    let port = hub.port.map_or_else(|| "does not run".to_owned(), |port| format!("port {port}"));
    let mut lines = vec![
        format!("{}~{}  (hub)  {port}, up since {}", hub.name, hub.id.short(), moment(hub.since)),
        format!("  repository  {}{}", hub.dir, status.free.map(free).unwrap_or_default()),
        format!("  join codes  {} open", status.codes),
    ];
    let mut part = |title: String, rows: Vec<Vec<String>>| {
        lines.push(String::new());
        lines.push(title);
        lines.extend(table(&rows).into_iter().map(|line| format!("  {line}")));
    };
    let here = count(status.connected.len(), "device", "devices");
    part(format!("connected: {here}"), status.connected.iter().map(|device| connected(device, now)).collect());
    let moving = count(status.moving.len(), "transfer", "transfers");
    part(format!("under way: {moving}"), status.moving.iter().map(transfer).collect());
    let counters = &status.counters;
    let came = format!("{} files, {}, since it was started", counters.received, bytes(counters.received_bytes));
    part(format!("received last ({came})"), status.received.iter().map(arrived).collect());
    part("spaces".to_owned(), status.spaces.iter().map(space).collect());
    part("accounts".to_owned(), status.accounts.iter().map(|one| account(one, now)).collect());
    if status.cut {
        lines.push("  … there is more than fits here; ftx hub accounts and ftx hub spaces list all".to_owned());
    }
    lines
}

fn free(free: u64) -> String {
    format!("; {} free", bytes(free))
}

fn whose(account: Option<&Name>) -> String {
    account.map_or_else(|| "(not joined)".to_owned(), Name::to_string)
}

fn device(name: &PeerText, id: &crate::base::id::PeerId) -> String {
    format!("{name}~{}", id.short())
}

fn connected(one: &Connected, now: u64) -> Vec<String> {
    vec![whose(one.account.as_ref()), device(&one.name, &one.id), one.address.clone(), ago(one.since, now)]
}

fn transfer(one: &Moving) -> Vec<String> {
    let way = if one.way == Way::In { "←" } else { "→" };
    let done = format!("{} of {}", bytes(one.moved + one.kept), bytes(one.bytes.max(one.moved + one.kept)));
    let path = one.path.as_ref().map(ToString::to_string).unwrap_or_default();
    vec![
        format!("{way} {}", whose(one.account.as_ref())),
        device(&one.name, &one.id),
        path,
        done,
        format!("{}/s", bytes(one.rate)),
    ]
}

fn arrived(one: &Arrived) -> Vec<String> {
    vec![moment(one.at), whose(one.account.as_ref()), one.path.to_string(), bytes(one.size)]
}

fn used(used: u64, quota: Option<u64>) -> String {
    quota.map_or_else(|| bytes(used), |quota| format!("{} of {}", bytes(used), bytes(quota)))
}

/// A space: its name, kind, files, bytes, deadline.
pub fn space(one: &SpaceUse) -> Vec<String> {
    let until = match one.kind {
        Kind::Drop { deadline: Some(deadline) } => format!("until {}", moment(deadline)),
        _ => String::new(),
    };
    let files = count(usize::try_from(one.files).unwrap_or(usize::MAX), "file", "files");
    vec![one.name.to_string(), one.kind.as_str().to_owned(), files, used(one.bytes, one.quota), until]
}

/// An account: its name, what it may do, its bytes, since when it is there, its devices.
pub fn account(one: &AccountUse, now: u64) -> Vec<String> {
    let role = match (one.rank, one.disabled) {
        (_, true) => "disabled",
        (Rank::Member, false) => "member",
        (Rank::Manager, false) => "manager",
    };
    let devices: Vec<String> = one.devices.iter().map(|one| device(&one.name, &one.id)).collect();
    let since = ago(one.since, now);
    vec![one.name.to_string(), role.to_owned(), used(one.bytes, one.quota), since, devices.join(", ")]
}
