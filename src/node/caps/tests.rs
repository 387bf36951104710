use super::*;

const ALL: Most = Most::of(CONNECTIONS);

fn ip(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::from([10, 0, high, low])
}

fn peer(n: u16) -> PeerId {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    PeerId::of_public_key(&key)
}

/// A connection that is to stay.
fn proven(caps: &Caps, address: IpAddr, peer: PeerId, met: Met) -> Option<Counted> {
    let mut counted = caps.connection(address)?;
    counted.proven(peer, met).then_some(counted)
}

#[tokio::test(start_paused = true)]
async fn one_address_cannot_take_every_place_and_places_come_back() {
    let caps = Caps::within(8192);
    let mut held = Vec::new();
    for n in 0.. {
        match proven(&caps, ip(1), peer(n), Met::Stranger) {
            Some(one) => held.push(one),
            None => break,
        }
    }
    assert_eq!(held.len(), ALL.from_address);
    assert!(proven(&caps, ip(2), peer(9999), Met::Stranger).is_some());
    held.pop();
    assert!(caps.connection(ip(1)).is_some());
}

#[tokio::test(start_paused = true)]
async fn one_peer_cannot_take_every_place_from_wherever_it_comes() {
    let caps = Caps::within(8192);
    let held: Vec<_> = (0..200).filter_map(|n| proven(&caps, ip(n), peer(1), Met::Known)).collect();
    assert_eq!(held.len(), ALL.of_peer);
    assert!(proven(&caps, ip(1), peer(2), Met::Stranger).is_some());
}

#[tokio::test(start_paused = true)]
async fn strangers_leave_places_to_those_who_are_known() {
    let caps = Caps::within(8192);
    let mut held: Vec<_> = (0..600).filter_map(|n| proven(&caps, ip(n), peer(n), Met::Stranger)).collect();
    assert_eq!(held.len(), ALL.of_strangers);
    held.extend((1000..1600).filter_map(|n| proven(&caps, ip(n), peer(n), Met::Known)));
    assert_eq!(held.len(), ALL.all);
    held.clear();
    let counts = caps.lock();
    assert_eq!((counts.proven, counts.strangers, counts.peers.len()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_begins_and_does_not_go_on_keeps_nobody_out() {
    let caps = Caps::within(8192);
    // Ten addresses with as many as they may have, then one that has none.
    let held: Vec<_> = (0..10).flat_map(|n| (0..40).map(move |_| n)).map(|n| caps.connection(ip(n)).unwrap()).collect();
    assert_eq!(caps.lock().unproven.len(), UNPROVEN);
    let honest = caps.connection(ip(77)).unwrap();
    let more: Vec<_> = (0..10).map(|n| caps.connection(ip(n)).unwrap()).collect();
    let gave_way = |one: &Counted| caps.lock().unproven.iter().all(|other| other.number != one.number);
    assert!(!gave_way(&honest) && more.iter().all(|one| !gave_way(one)));
    for one in held.iter().filter(|one| gave_way(one)) {
        one.gives_way().await;
    }
    assert_eq!(caps.lock().unproven.len(), UNPROVEN);
    assert!((0..10).all(|n| caps.lock().unproven_of(ip(n)) <= UNPROVEN_EACH));
    drop((held, honest, more));
    assert_eq!(caps.lock().unproven.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_connects_again_and_again_is_slowed_down_and_others_are_not() {
    let caps = Caps::within(8192);
    let opened = |n: usize| (0..n).filter(|_| caps.connection(ip(1)).is_some()).count();
    assert_eq!(opened(3000), BURST as usize);
    assert!(caps.connection(ip(2)).is_some());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(opened(3000), PER_SECOND as usize);
    for n in 0..u16::MAX {
        let _ = caps.connection(ip(n));
    }
    assert!(caps.lock().visitors.len() <= REMEMBERED);
}

#[tokio::test(start_paused = true)]
async fn a_peer_asks_one_question_at_a_time_and_few_a_minute() {
    let caps = Caps::within(8192);
    for _ in 0..ASKED_OF_PEER {
        let asking = caps.question(peer(1), ip(1), Met::Known);
        assert!(asking.is_some() && caps.question(peer(1), ip(1), Met::Known).is_none());
    }
    assert!(caps.question(peer(1), ip(2), Met::Known).is_none());
    assert!(caps.question(peer(2), ip(1), Met::Known).is_some());
    tokio::time::advance(MINUTE).await;
    assert!(caps.question(peer(1), ip(1), Met::Known).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_machine_with_a_new_key_for_each_question_asks_few_of_them() {
    let caps = Caps::within(8192);
    let open: Vec<_> = (0..99).filter_map(|n| caps.question(peer(n), ip(1), Met::Stranger)).collect();
    assert_eq!(open.len(), QUESTIONS_EACH);
    drop(open);
    let asked = (100..199).filter(|n| caps.question(peer(*n), ip(1), Met::Stranger).is_some()).count();
    assert_eq!(asked, ASKED_OF_ADDRESS - QUESTIONS_EACH);
    // Nor do strangers of many addresses keep a known peer's question from being put.
    let open: Vec<_> = (200..299).filter_map(|n| caps.question(peer(n), ip(n), Met::Stranger)).collect();
    assert_eq!(open.len(), STRANGE_QUESTIONS);
    assert!(caps.question(peer(1), ip(9999), Met::Known).is_some());
}

#[test]
fn one_machine_is_not_served_all_the_time_and_places_come_back() {
    let caps = Caps::within(8192);
    let one: Vec<_> = (0..99).filter_map(|_| caps.serving(peer(1), ip(1), Met::Known)).collect();
    assert_eq!(one.len(), SERVED_EACH);
    let there: Vec<_> = (2..99).filter_map(|n| caps.serving(peer(n), ip(1), Met::Stranger)).collect();
    assert_eq!(there.len(), SERVED_AT - SERVED_EACH);
    let strangers: Vec<_> = (100..200).filter_map(|n| caps.serving(peer(n), ip(n), Met::Stranger)).collect();
    assert_eq!(strangers.len() + there.len(), STRANGERS_SERVED);
    assert!(caps.serving(peer(300), ip(300), Met::Known).is_some());
    drop((one, there, strangers));
    assert!(caps.lock().served.is_empty());
}

#[test]
fn nonsense_is_told_once() {
    let caps = Caps::within(8192);
    assert!(caps.first_nonsense([1, 2, 3, 4].into()));
    assert!(!caps.first_nonsense([1, 2, 3, 4].into()));
}

#[test]
fn fewer_descriptors_are_shared_out_among_fewer_connections() {
    for (descriptors, all) in [(1 << 20, CONNECTIONS), (8192, CONNECTIONS), (1024, 128), (256, 32), (20, 16)] {
        let most = Most::within(descriptors);
        assert_eq!(most.all, all);
        assert!(most.of_strangers < all && most.from_address < most.of_strangers && most.of_peer < all / 4);
    }
}
