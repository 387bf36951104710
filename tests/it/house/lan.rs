//! A LAN of network namespaces: hosts on one bridge, nothing of it visible outside. Needs root.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::home::{Home, Node, PROGRAM};
use super::process::{Process, Ran};

/// Which addresses the hosts have besides their link-local ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// IPv4 and IPv6.
    Both,
    /// IPv6 only.
    V6,
}

/// A LAN; dropped, it is gone with all that runs on it.
pub(crate) struct Lan {
    name: String,
    hosts: u32,
}

impl Lan {
    /// A LAN of so many hosts, `None` (and a word on why) where this machine lets us make none.
    pub(crate) fn of(hosts: u32, addresses: Addresses) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ftx{:x}n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lan = Self { name, hosts };
        match lan.make(addresses) {
            Ok(()) => Some(lan),
            Err(why) => {
                eprintln!("skipped: network namespaces cannot be made here: {why}");
                None
            }
        }
    }

    fn make(&self, addresses: Addresses) -> Result<(), String> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"])?;
        ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for host in 1..=self.hosts {
            let (space, port, number) = (self.host(host), format!("p{host}"), host.to_string());
            ip(&["netns", "add", &space])?;
            // No duplicate address detection: addresses are there at once.
            for setting in ["all", "default"] {
                let setting = format!("net.ipv6.conf.{setting}.accept_dad=0");
                run(Command::new("ip").args(["netns", "exec", &space, "sysctl", "-qw", &setting]))?;
            }
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
            ip(&["link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            if addresses == Addresses::Both {
                ip(&["-n", &space, "addr", "add", &format!("10.77.0.{number}/24"), "brd", "+", "dev", "eth0"])?;
            }
            ip(&["-n", &space, "addr", "add", &format!("fd77::{host:x}/64"), "dev", "eth0", "nodad"])?;
        }
        Ok(())
    }

    fn switch(&self) -> String {
        format!("{}-sw", self.name)
    }

    fn host(&self, host: u32) -> String {
        format!("{}-{host}", self.name)
    }

    /// Gives a host another interface with this address, which leads nowhere.
    pub(crate) fn dead_interface(&self, host: u32, name: &str, address: &str) {
        let space = self.host(host);
        let other = format!("{name}x");
        ip(&["-n", &space, "link", "add", name, "type", "veth", "peer", "name", &other]).unwrap();
        ip(&["-n", &space, "link", "set", &other, "up"]).unwrap();
        ip(&["-n", &space, "link", "set", name, "up"]).unwrap();
        ip(&["-n", &space, "addr", "add", address, "dev", name]).unwrap();
    }

    /// Has the switch drop multicast, but for neighbour discovery; `false` where there is no `nft`.
    pub(crate) fn drop_multicast(&self) -> bool {
        let rules = "table bridge lan { chain forward { type filter hook forward priority 0; policy accept;
            icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
            ip daddr 224.0.0.0/4 drop
            ip6 daddr ff00::/8 meta l4proto udp drop; }; }";
        let done = run(Command::new("ip").args(["netns", "exec", &self.switch(), "nft", rules]));
        done.is_ok()
    }

    /// Has a host's own firewall keep to these rules of `nft`: those of a chain that packets come in by, and of
    /// one that they go out by. `false` where there is no `nft`.
    pub(crate) fn firewall(&self, host: u32, input: &str, output: &str) -> bool {
        let chain = |hook: &str, rules: &str| {
            format!("chain {hook} {{ type filter hook {hook} priority 0; policy accept; {rules} }}")
        };
        let table = format!("table inet own {{ {} {} }}", chain("input", input), chain("output", output));
        run(Command::new("ip").args(["netns", "exec", &self.host(host), "nft", &table])).is_ok()
    }

    /// Takes the cable of a host out.
    pub(crate) fn unplug(&self, host: u32) {
        ip(&["-n", &self.host(host), "link", "set", "eth0", "down"]).unwrap();
    }

    /// Gives the LAN a gateway, and keeps its hosts apart from one another, as a guest Wi-Fi does.
    pub(crate) fn keep_apart(&self) {
        ip(&["-n", &self.switch(), "addr", "add", "10.77.0.254/24", "dev", "br0"]).unwrap();
        for host in 1..=self.hosts {
            let port = format!("p{host}");
            let isolated = ["link", "set", &port, "type", "bridge_slave", "isolated", "on"];
            ip(&[&["-n", &self.switch()], &isolated[..]].concat()).unwrap();
            ip(&["-n", &self.host(host), "route", "add", "default", "via", "10.77.0.254"]).unwrap();
        }
    }

    /// Has a host forget where the others are.
    pub(crate) fn forget_neighbours(&self, host: u32) {
        ip(&["-n", &self.host(host), "neigh", "flush", "all"]).unwrap();
    }

    /// Has a host forget, for some ten seconds and as fast as it can, whom it asked for in vain; it does so by itself
    /// where its table of neighbours is full.
    pub(crate) fn forget_the_lost(&self, host: u32) -> Process {
        let mut command = Command::new("ip");
        command.args(["-n", &self.host(host), "-force", "-batch", "-"]);
        Process::start_with_input(command, "neigh flush nud failed\n".repeat(1 << 20).as_bytes())
    }

    /// Runs something in a host's network.
    pub(crate) fn within<T: Send>(&self, host: u32, what: impl FnOnce() -> T + Send) -> T {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let space = std::fs::File::open(Path::new("/run/netns").join(self.host(host))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&space), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            thread.join().unwrap()
        })
    }

    fn command(&self, host: u32, home: &Home, args: &[&str]) -> Process {
        let mut command = Command::new("ip");
        home.dress(&mut command);
        command.args(["netns", "exec", &self.host(host), PROGRAM]).args(args);
        command.args(["--name", home.name(), "--json"]);
        Process::start(command)
    }

    /// Runs a command on a host, without naming an interface, as a new user would.
    pub(crate) fn run(&self, host: u32, home: &Home, args: &[&str]) -> Ran {
        self.command(host, home, args).end()
    }

    /// Runs one test of this program on a host, which finds what to do in the variable `FTX_TEST_TASK`.
    pub(crate) fn this_test(&self, host: u32, test: &str, task: &str) -> Process {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.host(host)]).arg(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--ignored", "--nocapture"]).env("FTX_TEST_TASK", task);
        Process::start(command)
    }

    /// Has `one` host take a third for the `other`, as after ARP was deceived; what it says to the other's
    /// address by TCP the third takes at its own `port`. `false` where there is no `nft`.
    pub(crate) fn deceive(&self, one: u32, other: u32, third: u32, port: u16) -> bool {
        let rules = format!(
            "table ip between {{ chain in {{ type nat hook prerouting priority 0;
                ip daddr 10.77.0.{other} tcp dport 1-65535 redirect to :{port}; }}; }}"
        );
        let space = self.host(third);
        // What an earlier one left.
        let _ = run(Command::new("ip").args(["netns", "exec", &space, "nft", "delete table ip between"]));
        if run(Command::new("ip").args(["netns", "exec", &space, "nft", &rules])).is_err() {
            return false;
        }
        let shown = Command::new("ip").args(["-n", &space, "-o", "link", "show", "dev", "eth0"]).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let hardware = shown.split("link/ether ").nth(1).unwrap().split_whitespace().next().unwrap();
        let address = format!("10.77.0.{other}");
        let (one, dev) = (self.host(one), ["dev", "eth0", "nud", "permanent"]);
        ip(&[&["-n", &one, "neigh", "replace", &address, "lladdr", hardware], &dev[..]].concat()).unwrap();
        true
    }

    /// Has a host look itself who has an address.
    pub(crate) fn undeceive(&self, one: u32, other: u32) {
        let _ = ip(&["-n", &self.host(one), "neigh", "del", &format!("10.77.0.{other}"), "dev", "eth0"]);
    }

    /// Starts a command on a host.
    pub(crate) fn start(&self, host: u32, home: &Home, args: &[&str]) -> Process {
        self.command(host, home, args)
    }

    /// Runs a node on a host.
    pub(crate) fn up(&self, host: u32, home: &Home, args: &[&str]) -> Node {
        let args: Vec<&str> = ["up", "--dir", "inbox"].iter().chain(args).copied().collect();
        Node::new(self.command(host, home, &args))
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in 1..=self.hosts {
            let _ = ip(&["netns", "del", &self.host(host)]);
        }
        let _ = ip(&["netns", "del", &self.switch()]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(args))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}
