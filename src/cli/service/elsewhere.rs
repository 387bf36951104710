//! The files for launchd (macOS) and for the task scheduler (Windows). Neither has been tried.

use super::MARK;
use super::plan::Plan;

/// A property list for launchd.
pub(super) fn launchd(plan: &Plan) -> String {
    let program = plan.program.display().to_string();
    let words = std::iter::once(&program).chain(&plan.arguments);
    let words: String = words.map(|word| format!("    <string>{}</string>\n", xml(word))).collect();
    format!(
        "<!-- {MARK} -->\n\
        <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
        <plist version=\"1.0\">\n<dict>\n  <key>Label</key>\n  <string>{}</string>\n  \
        <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n  \
        <key>RunAtLoad</key>\n  <true/>\n  <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    <false/>\n  </dict>\n  \
        <key>Umask</key>\n  <integer>63</integer>\n  \
        <key>HardResourceLimits</key>\n  <dict>\n    <key>Core</key>\n    <integer>0</integer>\n  </dict>\n</dict>\n</plist>\n",
        plan.kind.name()
    )
}

/// A script whose one line makes a task.
pub(super) fn task(plan: &Plan) -> String {
    let program = plan.program.display().to_string();
    let words = std::iter::once(&program).chain(&plan.arguments);
    // What runs is one argument of schtasks: its own quotes are escaped; % is doubled for the script.
    let typed: Vec<String> = words.map(|word| format!("\\\"{}\\\"", word.replace('%', "%%"))).collect();
    let name = plan.kind.name();
    format!("@rem {MARK}\r\nschtasks /Create /F /TN {name} /SC ONLOGON /TR \"{}\"\r\n", typed.join(" "))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::service::plan::Kind;

    fn plan() -> Plan {
        Plan {
            kind: Kind::Node,
            program: "/opt/a & b/ftx".into(),
            arguments: ["up", "--dir", "<x>", "--name", "100%"].map(str::to_owned).to_vec(),
            writable: vec![],
            accepts_trusted_only: false,
        }
    }

    #[test]
    fn what_it_runs_is_in_the_files_and_they_are_ours_to_remove() {
        let (list, task) = (launchd(&plan()), task(&plan()));
        for text in [&list, &task] {
            assert!(text.lines().next().unwrap().contains(MARK));
        }
        assert!(list.contains("<string>/opt/a &amp; b/ftx</string>\n    <string>up</string>"), "{list}");
        assert!(list.contains("<string>&lt;x&gt;</string>"));
        assert!(task.contains(r#"/TR "\"/opt/a & b/ftx\" \"up\" \"--dir\" \"<x>\" \"--name\" \"100%%\"""#), "{task}");
    }
}
