//! ftx moves files between the machines of one network.
//!
//! # The house
//!
//! Six floors; imports point down only, and rooms of one floor do not know one another
//! (`tests/it/house_plan.rs` enforces it).
//!
//! ```text
//! cli    what a person types and sees; the only floor that prints, prompts, reads the environment
//! hub    the repository: accounts, spaces and their rules, catalogue, store, what is done there
//! node   a running node: accept connections, decide by policy, serve shares
//! flow   conversations over one stream: greet, offer, send, receive, list, pair
//! wire | disk | link | find     messages and frames | files below one root |
//!                               an authenticated stream | who is where
//! base   the words: names and paths, ids, digests, manifests, events, peer text
//! ```
//!
//! # Where a push is …
//!
//! * typed: [`cli::push`]; its targets named: [`cli::receivers`], found: [`find::search`], dialled:
//!   [`link::dial`], and dialled again where one is lost: [`cli::redial`]
//! * decided: [`node::policy`], asked: [`cli::ui::prompt`]; or only looked at: [`flow::preview`]
//! * walked, once for all receivers: [`flow::outgoing`], from [`disk::source`]
//! * sent, to each receiver: [`flow::send`], with what is known of each in `flow::ledger`; read and hashed
//!   by `flow::pump` (with several receivers shared in `flow::window`), packed by [`flow::pack`], queued in
//!   `flow::frames`, written by `flow::speak`, no faster than [`flow::limit`]
//! * spread over further connections: [`flow::lanes`]; where they attach, and where a lost one gives
//!   way to its successor: [`flow::underway`]
//! * received: [`flow::receive`], heard and unpacked by `flow::hear`, answered by `flow::voice`, checked by
//!   `flow::intake`, written by [`disk::writer`], put into place by `disk::settle`
//! * at a hub: permitted by [`hub::space`], given room by [`hub::quota`], what gives way kept and all of it
//!   noted in [`hub::catalogue`] by `hub::upload`, a [`disk::keeper`], before it is acknowledged
//! * handed over by a code instead: typed: [`cli::give`] and [`cli::take`]; found: [`find::givers`]; both sides
//!   prove the code: [`flow::give`]; tries counted: [`node::giver`]; then as a pull
//! * acknowledged: the receipt, [`wire::message::Receipt`], checked in `flow::confirm`
//!
//! A node and a hub are kept to their folders by the kernel, too: [`disk::confine`], asked for by [`cli::confined`]
//! before there are threads. Why something does not work is found out in [`cli::doctor`].

#![forbid(unsafe_code)]

pub mod base;
pub mod cli;
pub mod disk;
pub mod find;
pub mod flow;
pub mod hub;
pub mod link;
pub mod node;
pub mod wire;
