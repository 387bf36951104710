//! Peers that break the rules of further connections and of packed bytes: what they open in vain
//! disturbs nobody, what they say out of place ends their own transfer and leaves nothing.

use std::sync::Arc;

use ftx::base::digest::{CHUNK, ChunkHash, EntryDigest};
use ftx::base::id::TransferId;
use ftx::base::manifest::{Entry, Outcome};
use ftx::link::key::Key;
use ftx::wire::frame;
use ftx::wire::limits::MAX_LANES;
use ftx::wire::message::{ChunkHead, Receiving, Request, Sending, Ticket};

use crate::house::home::{Home, Node};
use crate::house::hostile::{Hostile, Trap, entry_end, file};
use crate::house::{noise, until};

/// A push under way, by a peer that keeps its key.
struct Push {
    port: u16,
    peer: Hostile,
    transfer: TransferId,
    ticket: Ticket,
}

impl Push {
    /// Offers these entries; they are accepted, and the node has said what it has.
    async fn of(node: &Node, entries: &[Entry]) -> Self {
        let mut peer = Hostile::pushing(node.port()).await;
        let transfer = TransferId::new();
        peer.say(&Sending::Offer { transfer, set: [1; 32] }).await;
        peer.say(&Sending::Page(entries.to_vec())).await;
        let bytes = entries.iter().map(Entry::size).sum();
        peer.say(&Sending::PagesEnd { entries: entries.len() as u64, bytes }).await;
        let mut ticket = None;
        loop {
            match peer.hear().await.expect("the node goes on") {
                Receiving::Ticket(said) => ticket = Some(said),
                Receiving::Have(_) => break,
                _ => {}
            }
        }
        Self { port: node.port(), peer, transfer, ticket: ticket.expect("a ticket comes with the yes") }
    }

    /// Opens another connection; it has not been agreed to.
    async fn attach(&self) -> Hostile {
        self.attach_as(&self.peer.key, self.transfer, self.ticket).await
    }

    async fn attach_as(&self, key: &Arc<Key>, transfer: TransferId, ticket: Ticket) -> Hostile {
        Hostile::wanting(key.clone(), self.port, Request::Attach { transfer, ticket }).await
    }

    /// Opens another connection that is agreed to.
    async fn lane(&self) -> Hostile {
        let mut lane = self.attach().await;
        assert_eq!(lane.hear().await, Some(Receiving::Accept));
        lane
    }

    /// Hears to the end: the outcomes.
    async fn outcomes(mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(message) = self.peer.hear().await {
            if let Receiving::Outcomes(page) = message {
                outcomes.extend(page);
            }
        }
        outcomes
    }

    /// Hears to the end; as what the node tells that it failed.
    async fn failed(mut self, node: &Node) -> String {
        while let Some(message) = self.peer.hear::<Receiving>().await {
            assert!(!matches!(message, Receiving::Receipt(_) | Receiving::Outcomes(_)), "{message:?}");
        }
        let name = self.peer.name;
        until(&format!("{name} is told"), || {
            let failed = node.events("failed").into_iter().find(|failed| failed["peer"]["name"] == *name);
            failed.map(|failed| failed["kind"].as_str().unwrap().to_owned())
        })
    }
}

/// Says one chunk with its right hash.
async fn chunk(peer: &mut Hostile, entry: u32, index: u32, bytes: &[u8]) {
    peer.say(&Sending::Chunk(ChunkHead { entry, index, length: bytes.len() as u32 })).await;
    peer.raw(bytes).await;
    peer.raw(&ChunkHash::of(bytes).0).await;
}

/// What is in the inbox besides staging.
fn placed(home: &Home) -> Vec<String> {
    home.tree("inbox").into_iter().filter(|path| !path.starts_with(".ftx-partial")).collect()
}

#[tokio::test]
async fn whoever_has_no_right_to_a_transfer_does_not_get_into_it() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let mut push = Push::of(&node, &[file("a", 5)]).await;
    let (transfer, ticket, key) = (push.transfer, push.ticket, push.peer.key.clone());
    let mut almost = ticket;
    almost.0[15] ^= 1;
    let other = Arc::new(Key::generate().unwrap());
    for (what, key, transfer, ticket) in [
        ("no ticket", &key, transfer, Ticket([0; 16])),
        ("almost the ticket", &key, transfer, almost),
        ("another's key", &other, transfer, ticket),
        ("another transfer", &key, TransferId::new(), ticket),
    ] {
        let mut lane = push.attach_as(key, transfer, ticket).await;
        chunk(&mut lane, 0, 0, b"jello").await;
        assert_eq!(lane.hear::<Receiving>().await, None, "{what}");
    }
    chunk(&mut push.peer, 0, 0, b"hello").await;
    push.peer.say(&entry_end(0, b"hello")).await;
    push.peer.say(&Sending::End).await;
    let (port, at) = (push.port, node.at());
    assert_eq!(push.outcomes().await, [Outcome::Placed]);
    assert_eq!(alice.read("inbox/a"), b"hello");
    // The right one, too late.
    let mut lane = Hostile::wanting(key, port, Request::Attach { transfer, ticket }).await;
    assert_eq!(lane.hear::<Receiving>().await, None);
    let bob = Home::new("bob");
    bob.write("honest", "h");
    bob.run(&["push", "honest", &at]).done();
}

#[tokio::test]
async fn as_many_lanes_as_may_be_carry_bytes_and_no_more_are_let_in() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let count = MAX_LANES as u32;
    let entries: Vec<_> = (0..count).map(|n| file(&format!("f{n}"), 5)).collect();
    let mut push = Push::of(&node, &entries).await;
    let mut lanes = Vec::new();
    for _ in 0..count {
        lanes.push(push.lane().await);
    }
    let mut beyond = push.attach().await;
    assert_eq!(beyond.hear::<Receiving>().await, None);
    for (lane, n) in lanes.iter_mut().zip(0..) {
        chunk(lane, n, 0, b"hello").await;
        lane.say(&entry_end(n, b"hello")).await;
        lane.say(&Sending::End).await;
    }
    push.peer.say(&Sending::Lanes(count)).await;
    push.peer.say(&Sending::End).await;
    assert_eq!(push.outcomes().await, vec![Outcome::Placed; MAX_LANES]);
    assert_eq!(placed(&alice).len(), MAX_LANES);
}

/// Between connections there is no order: here everything comes the wrong way round.
#[tokio::test]
async fn an_end_may_come_before_its_chunks_and_these_in_any_order() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let bytes = noise(1, 5 * CHUNK as usize + 77);
    let size = bytes.len() as u64;
    let mut push = Push::of(&node, &[file("big", size), file("small", 5)]).await;
    let mut lanes = [push.lane().await, push.lane().await, push.lane().await];
    let chunks: Vec<_> = bytes.chunks(CHUNK as usize).collect();
    let hashes: Vec<_> = chunks.iter().map(|chunk| ChunkHash::of(chunk)).collect();
    let digest = EntryDigest::over(size, hashes.iter());
    push.peer.say(&Sending::EntryEnd { entry: 0, size, digest }).await;
    push.peer.say(&Sending::Lanes(3)).await;
    push.peer.say(&Sending::End).await;
    lanes[2].say(&entry_end(1, b"hello")).await;
    lanes[2].say(&Sending::End).await;
    for (index, bytes) in chunks.iter().enumerate().rev() {
        chunk(&mut lanes[index % 2], 0, index as u32, bytes).await;
    }
    chunk(&mut lanes[1], 1, 0, b"hello").await;
    lanes[1].say(&Sending::End).await;
    lanes[0].say(&Sending::End).await;
    assert_eq!(push.outcomes().await, [Outcome::Placed, Outcome::Placed]);
    assert!(alice.read("inbox/big") == bytes && alice.read("inbox/small") == b"hello");
}

#[tokio::test]
async fn a_chunk_that_comes_on_two_lanes_ends_the_transfer() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let push = Push::of(&node, &[file("a", 5)]).await;
    let mut lanes = [push.lane().await, push.lane().await];
    for lane in &mut lanes {
        chunk(lane, 0, 0, b"hello").await;
    }
    assert_eq!(push.failed(&node).await, "protocol");
    assert!(placed(&alice).is_empty());
}

/// As where the sender has nothing left for it by the time it is there.
#[tokio::test]
async fn a_lane_that_says_nothing_and_ends_is_as_if_it_had_not_been() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let mut push = Push::of(&node, &[file("a", 5), file("b", 5)]).await;
    drop(push.lane().await);
    drop(push.attach().await);
    let mut used = push.lane().await;
    chunk(&mut push.peer, 0, 0, b"hello").await;
    push.peer.say(&entry_end(0, b"hello")).await;
    push.peer.say(&Sending::Lanes(1)).await;
    push.peer.say(&Sending::End).await;
    // It is waited for, although the others have ended.
    chunk(&mut used, 1, 0, b"hello").await;
    used.say(&entry_end(1, b"hello")).await;
    used.say(&Sending::End).await;
    assert_eq!(push.outcomes().await, [Outcome::Placed, Outcome::Placed]);
}

#[tokio::test]
async fn what_has_no_place_on_a_lane_ends_the_transfer_and_leaves_nothing() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let head = ChunkHead { entry: 7, index: 0, length: 5 };
    for (what, message) in [
        ("an offer", Sending::Offer { transfer: TransferId::new(), set: [2; 32] }),
        ("a page", Sending::Page(vec![file("b", 5)])),
        ("the end of the manifest", Sending::PagesEnd { entries: 1, bytes: 5 }),
        ("a ticket", Sending::Ticket(Ticket([1; 16]))),
        ("lanes", Sending::Lanes(1)),
        ("how to compare", Sending::ByContent),
        ("bytes of what was not offered", Sending::Chunk(head)),
        ("the end of what was not offered", entry_end(7, b"hello")),
    ] {
        let push = Push::of(&node, &[file("a", 5)]).await;
        let mut lane = push.lane().await;
        lane.say(&message).await;
        lane.raw(b"hello").await;
        lane.raw(&ChunkHash::of(b"hello").0).await;
        assert_eq!(push.failed(&node).await, "protocol", "{what}");
        assert_eq!(lane.hear::<Receiving>().await, None, "{what}");
        assert!(placed(&alice).is_empty(), "{what}");
    }
}

#[tokio::test]
async fn a_lane_that_is_lost_in_the_middle_ends_the_transfer_which_goes_on_later() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let push = Push::of(&node, &[file("a", 5), file("b", 5)]).await;
    let mut lane = push.lane().await;
    chunk(&mut lane, 0, 0, b"hello").await;
    lane.say(&entry_end(0, b"hello")).await;
    drop(lane);
    assert_eq!(push.failed(&node).await, "lost");
    assert!(placed(&alice).is_empty());
}

#[tokio::test]
async fn words_about_lanes_and_tickets_that_make_no_sense() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let too_many = vec![Sending::Lanes(MAX_LANES as u32 + 1)];
    for (what, messages) in [
        ("too many", too_many),
        ("twice", vec![Sending::Lanes(1), Sending::Lanes(1)]),
        ("how to compare, later", vec![Sending::ByContent]),
        ("a ticket twice", vec![Sending::Ticket(Ticket([1; 16])), Sending::Ticket(Ticket([2; 16]))]),
        ("none", vec![Sending::Lanes(0)]),
    ] {
        let mut push = Push::of(&node, &[file("a", 5)]).await;
        for message in &messages {
            push.peer.say(message).await;
        }
        assert_eq!(push.failed(&node).await, "protocol", "{what}");
    }
    // Nobody has a use for it: the side that sends was the one that dialled.
    let mut push = Push::of(&node, &[file("a", 5)]).await;
    push.peer.say(&Sending::Ticket(Ticket([1; 16]))).await;
    chunk(&mut push.peer, 0, 0, b"hello").await;
    push.peer.say(&entry_end(0, b"hello")).await;
    push.peer.say(&Sending::End).await;
    assert_eq!(push.outcomes().await, [Outcome::Placed]);
}

/// A whole push of the file `bytes`; what is packed is said to be `length` bytes in `said`.
async fn packed(node: &Node, bytes: &[u8], packed: &[u8], length: usize, said: usize) -> Push {
    let mut push = Push::of(node, &[file("a", bytes.len() as u64)]).await;
    let mut frames = Vec::new();
    frame::encode(&Sending::Packed { length: length as u32, packed: said as u32 }, &mut frames).unwrap();
    frames.extend(packed);
    push.peer.raw(&frames).await;
    push.peer.say(&entry_end(0, bytes)).await;
    push.peer.say(&Sending::End).await;
    push
}

/// The frames of one chunk: head, bytes, and the hash of `hashed`.
fn chunk_frames(bytes: &[u8], hashed: &[u8]) -> Vec<u8> {
    let head = ChunkHead { entry: 0, index: 0, length: bytes.len() as u32 };
    let mut frames = Vec::new();
    frame::encode(&Sending::Chunk(head), &mut frames).unwrap();
    frames.extend(bytes);
    frames.extend(ChunkHash::of(hashed).0);
    frames
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_bytes_that_are_not_what_they_say_are_not_taken() {
    let alice = Home::new("alice");
    let node = alice.up_for_all();
    let shrink = |bytes: &[u8]| zstd::bulk::compress(bytes, 3).unwrap();
    let bytes = b"lecture notes, week 1\n".repeat(1000);
    let frames = chunk_frames(&bytes, &bytes);
    let (length, small) = (frames.len(), shrink(&frames));
    let mut other = bytes.clone();
    other[17] ^= 1;
    for (what, length, form) in [
        ("less than was said", length + 1, small.clone()),
        ("more than was said", length - 1, small.clone()),
        ("very much more", length, shrink(&vec![0; 64 << 20])),
        ("nothing", length, shrink(&[])),
        ("half of it", length, small[..small.len() / 2].to_vec()),
        ("garbage", length, noise(3, 500)),
        ("other bytes", length, shrink(&chunk_frames(&other, &bytes))),
    ] {
        let push = packed(&node, &bytes, &form, length, form.len());
        assert_eq!(push.await.failed(&node).await, "integrity", "{what}");
        assert!(placed(&alice).is_empty(), "{what}: {:?}", placed(&alice));
    }
    let frame_of = |message: &Sending| {
        let mut frames = Vec::new();
        frame::encode(message, &mut frames).unwrap();
        frames.extend([0; 500]);
        frames
    };
    for (what, frames) in [
        ("a page", frame_of(&Sending::Page(vec![file("b", 5)]))),
        ("the end", frame_of(&Sending::End)),
        ("more that is packed", frame_of(&Sending::Packed { length: 9, packed: 5 })),
        ("a chunk that is cut off", frames[..length - 1].to_vec()),
        ("a chunk that is too long", frame_of(&Sending::Chunk(ChunkHead { entry: 0, index: 0, length: 1 << 30 }))),
        ("no frames", vec![0xff; 500]),
    ] {
        let form = shrink(&frames);
        let push = packed(&node, &bytes, &form, frames.len(), form.len()).await;
        assert_eq!(push.failed(&node).await, "protocol", "{what}");
        assert!(placed(&alice).is_empty(), "{what}");
    }
    for (what, said) in [("as many as it has unpacked", length), ("many more", u32::MAX as usize)] {
        let push = packed(&node, &bytes, &small, length, said).await;
        assert_eq!(push.failed(&node).await, "protocol", "{what}");
        assert!(placed(&alice).is_empty(), "{what}");
    }
    let push = packed(&node, &bytes, &small, length, small.len()).await;
    assert_eq!(push.outcomes().await, [Outcome::Placed]);
    assert!(alice.read("inbox/a") == bytes);
}

/// Whoever fetches may dial again with the ticket, and finds that nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_invites_lanes_and_lets_none_in_is_still_heard() {
    let (trap, bob) = (Trap::set().await, Home::new("bob"));
    let target = format!("{}:notes/a", trap.at());
    let pulling = bob.start(&["pull", &target, "--to", "here", "--connections", "4"]);
    let (mut peer, _) = trap.greeted().await;
    peer.say(&Sending::Offer { transfer: TransferId::new(), set: [1; 32] }).await;
    peer.say(&Sending::Ticket(Ticket([1; 16]))).await;
    peer.say(&Sending::Page(vec![file("a", 5)])).await;
    peer.say(&Sending::PagesEnd { entries: 1, bytes: 5 }).await;
    while !matches!(peer.hear().await.expect("the receiver goes on"), Receiving::Have(_)) {}
    let (_lane, wish) = trap.greeted().await;
    assert!(matches!(wish, Request::Attach { ticket: Ticket(bytes), .. } if bytes == [1; 16]), "{wish:?}");
    chunk(&mut peer, 0, 0, b"hello").await;
    peer.say(&entry_end(0, b"hello")).await;
    peer.say(&Sending::End).await;
    while peer.hear::<Receiving>().await.is_some() {}
    tokio::task::spawn_blocking(|| pulling.end().done()).await.unwrap();
    assert_eq!(bob.read("here/a"), b"hello");
}
