//! A running node: it accepts connections, decides by its policy, receives and serves.

pub mod accept;
pub mod caps;
pub mod event;
pub mod giver;
pub mod policy;
pub mod promise;
pub mod serve;
pub mod share;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::disk::root::Root;
use crate::disk::state::State;
use crate::flow::greet::Me;
use crate::flow::limit::Limit;
use crate::flow::underway::Underway;
use crate::link::tls::{Stream, Tls};

/// What a node is made of; shared by all its connections.
#[derive(Debug)]
pub struct Node {
    /// Who it is.
    pub me: Me,
    /// How it proves that.
    pub tls: Tls,
    /// Where what it receives goes.
    pub inbox: Root,
    /// What it shares.
    pub shares: share::Shares,
    /// Whom it accepts without asking.
    pub policy: policy::Policy,
    /// The address book.
    pub state: Arc<State>,
    /// Transfers under way, to which further connections may attach.
    pub underway: Underway<Stream>,
    /// Offers that a person has accepted and that have not come to their end.
    pub accepted: promise::Promises,
    /// How fast bytes may move, in and out, all together.
    pub limit: Limit,
    /// Whoever draws what happens, and asks.
    pub events: mpsc::Sender<event::Event>,
}
