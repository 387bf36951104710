use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::*;
use crate::base::fault::FaultKind;
use crate::base::id::Role;
use crate::flow::greet::{Greeted, Me, Proof};
use crate::flow::join::Typed;
use crate::hub::code::Invitation;
use crate::hub::tries::{MAX_WRONG, MAX_WRONG_ONCE};
use crate::link::key::Key;
use crate::wire::hub::Rank;
use crate::wire::message::Request;

const NOW: u64 = 1000;

/// A hub's gate, with an address for those who come.
struct House {
    gate: Gate,
    me: Me,
    address: IpAddr,
    _folder: TempDir,
}

fn me(name: &str, role: Role) -> Me {
    Me { key: Arc::new(Key::generate().unwrap()), name: name.into(), role }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn typed(account: &str, by: Secret, secret: &str, password: Option<&str>) -> Typed {
    let own = |text: &str| Zeroizing::new(text.to_owned());
    Typed { account: Name::parse(account).ok(), by, secret: own(secret), password: password.map(own) }
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let register = Register::open(folder.path()).unwrap();
        let gate = Gate::new(register, Arc::new(|name| name.as_str() == "Found"));
        Self { gate, me: me("lab", Role::Hub), address: [10, 0, 0, 1].into(), _folder: folder }
    }

    fn invite(&self, once: bool) -> String {
        let wanted = Invitation { once, lasts: None, account: None, rank: Rank::Member };
        self.gate.register.change(|records| records.invite(wanted, NOW)).unwrap().words.to_string()
    }

    /// A device's try: what it is told, and what the hub notes.
    async fn tries(&self, device: &Me, typed: Typed) -> (Result<(Name, Rank), FlowFault>, Result<Admitted, FlowFault>) {
        let (one, two) = tokio::io::duplex(1 << 12);
        let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
        let (to_hub, to_device) = (proof(&self.me), proof(device));
        let joining = async { join::join(Greeted::dialled(one, to_hub, device).await?, typed).await };
        let answering = async {
            let (session, request) = Session::answered(two, to_device, &self.me).await?;
            let Request::Join { account, by } = request else { panic!("{request:?}") };
            self.gate.admit(session, Asked { account, by, address: self.address }, NOW).await
        };
        tokio::join!(joining, answering)
    }

    async fn joins(&self, device: &Me, typed: Typed) -> Admitted {
        let (told, noted) = self.tries(device, typed).await;
        let (noted, told) = (noted.unwrap(), told.unwrap());
        assert!(
            matches!(&noted, Admitted::Joined { member, .. } if (&member.account, member.rank) == (&told.0, told.1))
        );
        noted
    }

    async fn is_refused(&self, device: &Me, typed: Typed) -> (Fault, Admitted) {
        let (told, noted) = self.tries(device, typed).await;
        let Err(FlowFault::Theirs(fault)) = told else { panic!("{told:?}") };
        (fault, noted.unwrap())
    }

    fn member(&self, device: &Me) -> Option<Member> {
        self.gate.register.read(|records| records.member(&device.key.public().id()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_then_its_accounts_password_let_devices_join() {
    let house = House::new();
    let code = house.invite(false);
    let (laptop, phone) = (me("laptop", Role::Peer), me("phone", Role::Peer));
    let noted = house.joins(&laptop, typed("Anna", Secret::Code, &code, Some("s3cret pw"))).await;
    let anna = Member { account: name("Anna"), rank: Rank::Member };
    assert_eq!(noted, Admitted::Joined { member: anna.clone(), password: true });
    assert_eq!(house.member(&laptop), Some(anna.clone()));

    let noted = house.joins(&phone, typed("ANNA", Secret::Password, "s3cret pw", None)).await;
    assert_eq!(noted, Admitted::Joined { member: anna.clone(), password: false });
    assert_eq!(house.member(&phone), Some(anna));
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_the_same_whatever_was_wrong_and_comes_after_a_while() {
    let house = House::new();
    let code = house.invite(false);
    let first = me("laptop", Role::Peer);
    house.joins(&first, typed("Anna", Secret::Code, &code, Some("s3cret pw"))).await;
    house.joins(&me("x", Role::Peer), typed("Bob", Secret::Code, &code, None)).await;
    for (n, tried) in [
        typed("Carol", Secret::Code, "apple-banana-cherry", None),
        typed("Anna", Secret::Password, "other", None),
        typed("Bob", Secret::Password, "s3cret pw", None),
        typed("Nobody", Secret::Password, "s3cret pw", None),
    ]
    .into_iter()
    .enumerate()
    {
        let begun = Instant::now();
        let (fault, noted) = house.is_refused(&me(&n.to_string(), Role::Peer), tried).await;
        assert_eq!((fault, noted), (wrong(), Admitted::Wrong { burnt: 0 }));
        assert!(begun.elapsed() >= WRONG);
    }
    house.gate.register.change(|records| records.take_back(&code)).unwrap();
    let (fault, _) = house.is_refused(&me("y", Role::Peer), typed("Carol", Secret::Code, &code, None)).await;
    assert_eq!(fault, wrong());
}

#[tokio::test(start_paused = true)]
async fn a_right_code_does_not_give_away_another_persons_name() {
    let house = House::new();
    let code = house.invite(true);
    let device = me("laptop", Role::Peer);
    house.gate.register.change(|records| records.add_account(name("Anna"), Rank::Member, NOW).map(drop)).unwrap();
    for (account, told) in [("anna", "already"), ("Found", "files"), ("", "name")] {
        let (fault, noted) = house.is_refused(&device, typed(account, Secret::Code, &code, Some("12345678"))).await;
        assert!(fault.to_string().contains(told), "{fault}");
        assert_eq!(noted, Admitted::Refused(fault));
    }
    assert_eq!(house.member(&device), None);
    // It was not used up by that.
    house.joins(&device, typed("Carol", Secret::Code, &code, None)).await;
    let (fault, _) = house.is_refused(&me("phone", Role::Peer), typed("Dan", Secret::Code, &code, None)).await;
    assert_eq!(fault, wrong());
}

#[tokio::test(start_paused = true)]
async fn who_is_wrong_too_often_waits_even_with_the_right_code() {
    let mut house = House::new();
    let code = house.invite(false);
    for n in 0..MAX_WRONG {
        let device = me(&n.to_string(), Role::Peer);
        house.is_refused(&device, typed("Anna", Secret::Code, "apple", None)).await;
    }
    let device = me("laptop", Role::Peer);
    for account in ["Anna", "Bob"] {
        let (fault, noted) = house.is_refused(&device, typed(account, Secret::Code, &code, None)).await;
        assert_eq!(fault.kind, FaultKind::Busy);
        assert!(fault.to_string().contains("minute"), "{fault}");
        assert!(matches!(noted, Admitted::TooMany(wait) if wait <= Duration::from_secs(600)));
    }
    house.address = [10, 0, 0, 2].into();
    house.joins(&device, typed("Bob", Secret::Code, &code, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_code_that_works_once_is_taken_back_after_a_few_wrong_ones() {
    let mut house = House::new();
    let (once, many) = (house.invite(true), house.invite(false));
    for n in 1..=MAX_WRONG_ONCE {
        let (_, noted) = house.is_refused(&me("x", Role::Peer), typed("Anna", Secret::Code, "apple", None)).await;
        assert_eq!(noted, Admitted::Wrong { burnt: usize::from(n == MAX_WRONG_ONCE) });
    }
    house.address = [10, 0, 0, 2].into();
    let (fault, _) = house.is_refused(&me("y", Role::Peer), typed("Bob", Secret::Code, &once, None)).await;
    assert_eq!(fault, wrong());
    house.joins(&me("z", Role::Peer), typed("Carol", Secret::Code, &many, None)).await;
}

/// However many try at the same time, no more are wrong than may be.
#[tokio::test(start_paused = true)]
async fn tries_at_the_same_time_are_counted_like_others() {
    let house = House::new();
    let devices: Vec<Me> = (0..12).map(|n| me(&n.to_string(), Role::Peer)).collect();
    let tries = devices.iter().map(|device| house.tries(device, typed("Anna", Secret::Password, "x", None)));
    let mut noted = Vec::new();
    let mut all: Vec<_> = tries.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready((_, done)) => {
                noted.push(done.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    let wrong = noted.iter().filter(|noted| matches!(noted, Admitted::Wrong { .. })).count();
    assert_eq!((wrong, noted.len()), (MAX_WRONG as usize, 12));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_hangs_up_before_its_last_word_has_not_joined_and_used_up_nothing() {
    let house = House::new();
    let code = house.invite(true);
    let device = me("laptop", Role::Peer);
    let ((one, cut), (on, two)) = (tokio::io::duplex(1 << 12), tokio::io::duplex(1 << 12));
    let proof = |of: &Me| Proof { peer: of.key.public(), exporter: [7; 32].into() };
    let (to_hub, to_device) = (proof(&house.me), proof(&device));
    // A line that is cut in front of the device's fourth message, its last.
    let line = async {
        let (mut from_device, mut to_device) = tokio::io::split(cut);
        let (mut from_hub, mut to_hub) = tokio::io::split(on);
        let back = tokio::io::copy(&mut from_hub, &mut to_device);
        let forth = async {
            for _ in 0..3 {
                let mut frame = vec![0; 4];
                from_device.read_exact(&mut frame).await.unwrap();
                frame.resize(4 + u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, 0);
                from_device.read_exact(&mut frame[4..]).await.unwrap();
                to_hub.write_all(&frame).await.unwrap();
            }
            from_device.read_u32().await.unwrap();
        };
        tokio::select! {
            _ = back => panic!("the hub hung up"),
            () = forth => {}
        }
    };
    let joining = async {
        let greeted = Greeted::dialled(one, to_hub, &device).await.unwrap();
        join::join(greeted, typed("Anna", Secret::Code, &code, None)).await
    };
    let answering = async {
        let (session, _) = Session::answered(two, to_device, &house.me).await?;
        let asked = Asked { account: Some(name("Anna")), by: Secret::Code, address: house.address };
        house.gate.admit(session, asked, NOW).await
    };
    let ((), told, noted) = tokio::join!(line, joining, answering);
    assert_eq!((told.unwrap_err().kind(), noted.unwrap_err().kind()), (FaultKind::Lost, FaultKind::Lost));
    assert_eq!(house.member(&device), None);
    house.joins(&device, typed("Anna", Secret::Code, &code, None)).await;
}
