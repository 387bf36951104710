use super::*;

fn found(name: &str, v4: &str) -> Found {
    Found {
        interface: Interface {
            name: name.into(),
            index: 1,
            v4: if v4.is_empty() { vec![] } else { vec![(v4.parse().unwrap(), 24)] },
            v6: vec![],
            loopback: name == "lo",
        },
        up: true,
        point_to_point: false,
    }
}

fn chosen(found: &[Found], only: &[&str], route: &[&str]) -> Vec<String> {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    select(found.to_vec(), &own(only), &own(route)).unwrap().names()
}

#[test]
fn containers_and_tunnels_are_left_out_and_loopback_stays() {
    let mut list = ["lo", "eth0", "docker0", "br-1a2b", "veth9", "tailscale0", "vEthernet (WSL)", "wlan0"]
        .map(|n| found(n, "10.0.0.1"))
        .to_vec();
    assert_eq!(chosen(&list, &[], &["eth0"]), ["lo", "eth0", "wlan0"]);
    assert_eq!(chosen(&list, &[], &["br-1a2b"]), ["lo", "eth0", "br-1a2b", "wlan0"]);
    list[1].up = false;
    list[7].point_to_point = true;
    assert_eq!(chosen(&list, &[], &["br-1a2b"]), ["lo", "br-1a2b"]);
}

#[test]
fn if_nothing_remains_all_are_used() {
    let list = [found("lo", "127.0.0.1"), found("docker0", "172.17.0.1")];
    assert_eq!(chosen(&list, &[], &[]), ["lo", "docker0"]);
    assert_eq!(chosen(&list[..1], &[], &[]), ["lo"]);
}

#[test]
fn names_override_everything_and_must_exist() {
    let list = [found("lo", "127.0.0.1"), found("eth0", "10.0.0.1"), found("wg0", "10.9.0.1")];
    assert_eq!(chosen(&list, &["wg0"], &[]), ["wg0"]);
    assert_eq!(chosen(&list, &["lo"], &[]), ["lo"]);
    let fault = select(list.to_vec(), &["eth7".into()], &[]).unwrap_err();
    assert_eq!(fault.kind(), io::ErrorKind::NotFound);
}

#[test]
fn an_interface_that_comes_up_later_is_judged_by_the_same_rule() {
    let list = [found("lo", "127.0.0.1"), found("eth0", "10.0.0.1")];
    let usual = select(list.to_vec(), &[], &[]).unwrap();
    assert!(usual.accepts("wlan0") && !usual.accepts("docker0"));
    let named = select(list.to_vec(), &["lo".into()], &[]).unwrap();
    assert!(named.accepts("lo") && !named.accepts("eth0") && named.is_loopback_only());
}

#[test]
fn only_neighbours_are_on_link() {
    let mut eth = found("eth0", "10.0.0.1");
    eth.interface.v6 = ["fe80::1".parse().unwrap(), "fd77::1".parse().unwrap()].to_vec();
    let list = select(vec![eth], &[], &[]).unwrap();
    let on = |ip: &str| list.on_link(ip.parse().unwrap());
    assert!(on("10.0.0.200") && on("fe80::9") && on("fd77::9"));
    assert!(!on("10.0.1.1") && !on("8.8.8.8") && !on("127.0.0.1") && !on("::1") && !on("2001:db8::1"));
    assert!(list.contains_ip("10.0.0.1".parse().unwrap()));
    assert!(!same_subnet("10.0.0.1".parse().unwrap(), "8.8.8.8".parse().unwrap(), 0));
}

#[test]
fn the_default_route_is_read() {
    let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                 br0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
                 tun0 00000000 00000000 0001 0 0 0 00000080 0 0 0\n\
                 eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\nbad\n";
    assert_eq!(devices_of_default_route(table), ["br0"]);
}
