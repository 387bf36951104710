//! The unit for a user's own systemd.

use std::path::Path;

use super::MARK;
use super::plan::{Kind, Plan};
use crate::cli::outcome::{Exit, Failure};

/// What keeps a flaw in ftx from reaching further. Left out is what takes a capability away: a user's systemd
/// has none to take, and units that ask for it do not start.
const HARDENED: &str = "\
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

/// Those of them that need name spaces of the file system; where a user may make none, systemd goes on
/// without them. If yours does not (status 226/NAMESPACE), take these lines away: ftx confines itself, too.
const NAME_SPACES: &str = "\
PrivateTmp=yes
ProtectSystem=strict
ProtectControlGroups=yes
ProtectKernelTunables=yes
";

/// Where a hub's socket is, which its owner's commands find; other hubs may have theirs there.
const SOCKET: &str = "\
RuntimeDirectory=ftx
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
";

/// The unit's text.
pub(super) fn text(plan: &Plan) -> Result<String, Failure> {
    let what = match plan.kind {
        Kind::Node => "receive files from machines nearby",
        Kind::Hub => "a hub for files on this network",
    };
    let program = plan.program.to_str().unwrap_or_default();
    let typed = std::iter::once(program).chain(plan.arguments.iter().map(String::as_str));
    let typed = typed.map(quoted).collect::<Result<Vec<_>, _>>()?.join(" ");
    let mut writable = String::new();
    for path in &plan.writable {
        writable.push_str(&format!("ReadWritePaths={}\n", optional(path)?));
    }
    Ok(format!(
        "# {MARK}\n\
        [Unit]\nDescription=ftx: {what}\nDocumentation=man:ftx(1)\n\n\
        [Service]\nType=exec\nExecStart={typed}\nRestart=on-failure\nRestartSec=5\n\n\
        # What it may not do. It confines itself to its folders besides, where the kernel has Landlock.\n\
        {HARDENED}\n\
        # These need name spaces of the file system. If it does not start (status 226/NAMESPACE), take them out.\n\
        {NAME_SPACES}{writable}{}\n\
        [Install]\nWantedBy=default.target\n",
        if plan.kind == Kind::Hub { SOCKET } else { "" }
    ))
}

/// A folder that may be missing when the service starts.
fn optional(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or_else(|| unfit(&path.display().to_string()))?;
    quoted(&format!("-{text}"))
}

/// As systemd reads it: one word, no variable, no specifier (systemd.syntax(7)).
fn quoted(word: &str) -> Result<String, Failure> {
    if word.is_empty() || word.chars().any(char::is_control) {
        return Err(unfit(word));
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@~".contains(c);
    Ok(if word.chars().all(plain) { escaped } else { format!("\"{escaped}\"") })
}

fn unfit(word: &str) -> Failure {
    let word = crate::base::text::escape(word);
    Failure::new(Exit::Usage, format!("a unit of systemd cannot hold the word {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_itself_to_systemd() {
        for (word, expected) in [
            ("--accept", "--accept"),
            ("/home/a b", "\"/home/a b\""),
            ("100%", "\"100%%\""),
            ("$HOME/x", "\"$$HOME/x\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("ä", "\"ä\""),
            ("a;b", "\"a;b\""),
        ] {
            assert_eq!(quoted(word).unwrap(), expected);
        }
        for bad in ["", "a\nExecStartPre=/bin/sh", "a\u{1b}"] {
            assert_eq!(quoted(bad).unwrap_err().exit, Exit::Usage);
        }
    }
}
