//! A running node: it accepts connections, decides by its policy, receives and serves.

pub mod accept;
pub mod caps;
pub mod event;
pub mod policy;
pub mod serve;
pub mod share;

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::disk::root::Root;
use crate::disk::state::State;
use crate::flow::greet::Me;
use crate::link::tls::Tls;

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
    /// Whoever draws what happens, and asks.
    pub events: mpsc::Sender<event::Event>,
}
