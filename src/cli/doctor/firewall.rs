//! What to type where a firewall is in the way, here or there.

use std::fs;

/// What lets ftx in on this machine, by the firewall that it seems to have.
pub(super) fn here() -> String {
    if cfg!(windows) {
        return format!("in an administrator's PowerShell: {WINDOWS}");
    }
    if cfg!(target_os = "macos") {
        return MACOS.to_owned();
    }
    match active() {
        Some(Firewall::Ufw) => format!("type: {UFW}"),
        Some(Firewall::Firewalld) => format!("type: {FIREWALLD}"),
        None => {
            format!("let UDP 5353 and 23547 and TCP 23547 in; with ufw: {UFW}; with firewalld: {FIREWALLD}")
        }
    }
}

/// What lets TCP port `port` in on a peer's machine, whatever that is.
pub(super) fn there(port: u16) -> String {
    format!(
        "there, type: sudo ufw allow {port}/tcp (Ubuntu, Mint), \
        sudo firewall-cmd --add-port={port}/tcp --permanent && sudo firewall-cmd --reload (Fedora), \
        sudo nft add rule inet filter input tcp dport {port} accept (nftables), \
        or in an administrator's PowerShell: New-NetFirewallRule -DisplayName ftx -Direction Inbound \
        -Protocol TCP -LocalPort {port} -Action Allow (Windows)"
    )
}

const UFW: &str = "sudo ufw allow 5353/udp && sudo ufw allow 23547";
const FIREWALLD: &str = "sudo firewall-cmd --permanent --add-service=mdns --add-port=23547/tcp --add-port=23547/udp \
    && sudo firewall-cmd --reload";
const WINDOWS: &str = "Set-NetConnectionProfile -NetworkCategory Private (if it says Public), then \
    New-NetFirewallRule -DisplayName ftx -Direction Inbound -Program (Get-Command ftx).Source -Action Allow";
const MACOS: &str = "in System Settings, Network, Firewall, allow incoming connections for ftx";

/// A firewall that can be recognised without being root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firewall {
    /// Ubuntu's and Mint's.
    Ufw,
    /// Fedora's and SUSE's.
    Firewalld,
}

impl Firewall {
    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ufw => "ufw",
            Self::Firewalld => "firewalld",
        }
    }
}

/// The one that is on here, if it is one of those.
pub(super) fn active() -> Option<Firewall> {
    let ufw = fs::read_to_string("/etc/ufw/ufw.conf").is_ok_and(|text| ufw_is_on(&text));
    if ufw {
        return Some(Firewall::Ufw);
    }
    fs::exists("/run/firewalld").is_ok_and(|there| there).then_some(Firewall::Firewalld)
}

fn ufw_is_on(text: &str) -> bool {
    text.lines().any(|line| line.trim().eq_ignore_ascii_case("enabled=yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ufw_says_whether_it_is_on() {
        assert!(ufw_is_on("# x\nENABLED=yes\n"));
        assert!(!ufw_is_on("#ENABLED=yes\nENABLED=no\n"));
        assert!(there(23548).contains("ufw allow 23548/tcp"));
    }
}
