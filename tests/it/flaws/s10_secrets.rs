//! No secret in an argument, in the environment, in what is printed, logged or kept.

use clap::{Arg, Command, CommandFactory};

/// Words that name something nobody else is to know.
const SECRETS: [&str; 8] = ["code", "password", "passphrase", "secret", "token", "key", "pin", "words"];

/// Everything that can be typed, by the command it belongs to.
fn arguments(command: &Command, above: &str, found: &mut Vec<(String, Arg)>) {
    let name = format!("{above} {}", command.get_name());
    found.extend(command.get_arguments().map(|argument| (name.clone(), argument.clone())));
    command.get_subcommands().for_each(|command| arguments(command, &name, found));
}

#[test]
fn s10_croc_cve_2023_43621_no_option_takes_a_secret() {
    let mut found = Vec::new();
    arguments(&ftx::cli::Cli::command(), "", &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (command, argument) in found {
        let values: Vec<String> =
            argument.get_value_names().unwrap_or_default().iter().map(|v| v.to_lowercase()).collect();
        let names: Vec<String> = [argument.get_id().as_str(), argument.get_long().unwrap_or_default()]
            .into_iter()
            .flat_map(|name| name.split(['_', '-']))
            .map(str::to_lowercase)
            .chain(values.iter().cloned())
            .collect();
        if !names.iter().any(|name| SECRETS.contains(&name.as_str())) {
            continue;
        }
        let takes = argument.get_action().takes_values();
        assert!(!takes || values == ["file"], "{command}: {argument} takes a secret");
    }
}

/// What is read of the environment by name: who somebody is, and nothing that is a secret. The rest is where
/// folders are, and how a terminal is.
#[test]
fn s10_no_secret_comes_from_the_environment() {
    let mut found = Vec::new();
    for (path, text) in super::table::sources("src") {
        let read = text.lines().filter(|line| line.contains("env::var") || line.contains(".env(\""));
        found.extend(read.map(|line| (path.clone(), line.trim().to_owned())));
    }
    for (path, line) in &found {
        let known = ["[\"USER\", \"LOGNAME\", \"USERNAME\"]", ".env(\"HOME\", home)", "(\"XDG_RUNTIME_DIR\")"];
        assert!(known.iter().any(|known| line.contains(known)), "{}: {line}: is that no secret?", path.display());
    }
    assert!(!found.is_empty());
}

#[test]
fn s10_what_is_secret_does_not_show_itself() {
    use ftx::flow::secret::{Password, Stretched};
    use ftx::hub::linking::Shown;
    let (bytes, salt) = ([7; 32], [8; 16]);
    let stretched = Stretched::from_bytes(bytes);
    for shown in [
        format!("{:?}", ftx::link::tls::Exporter::from(bytes)),
        format!("{stretched:?}"),
        format!("{:?}", Password { salt, stretched }),
        format!("{:?}", Shown::Code("apple-banana-cherry".to_owned().into())),
        format!("{:?}", ftx::link::key::Key::generate().unwrap()),
    ] {
        assert!(!shown.contains("7, 7") && !shown.contains("apple") && !shown.contains("pkcs8"), "{shown}");
    }
}

#[cfg(target_os = "linux")]
mod run {
    use std::fs;
    use std::path::Path;

    use crate::house::home::Home;
    use crate::house::hub::Hub;
    use crate::house::process::{Process, Ran, Stream};
    use crate::house::until;

    const PASSWORD: &str = "correct horse battery";

    /// Joins with what comes over standard input; looks at what others see of the process meanwhile.
    fn join(hub: &Hub, home: &Home, args: &[&str], typed: &str, secrets: &[&str]) -> Ran {
        let at = hub.at("");
        let mut command = home.command(&[&["-v", "join", &at, "--json"], args].concat());
        command.env("USER", "anna");
        let process = Process::start_with_input(command, typed.as_bytes());
        let seen = Path::new("/proc").join(process.id().to_string());
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(seen.join(file)).unwrap_or_default();
            assert!(secrets.iter().all(|secret| !has(&bytes, secret)), "{file}");
        }
        process.end()
    }

    /// Whether a secret is somewhere in bytes, in any of the forms in which it is typed.
    fn has(bytes: &[u8], secret: &str) -> bool {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        let plain: String = secret.chars().filter(|c| c.is_alphanumeric()).collect();
        [secret, &secret.replace('-', " "), &plain].iter().any(|form| text.contains(*form))
    }

    /// The files below a home in which a secret is.
    fn files(home: &Home, secret: &str) -> Vec<String> {
        let files = home.tree("").into_iter().filter(|path| !path.ends_with('/'));
        files.filter(|path| fs::read(home.path(path)).is_ok_and(|bytes| has(&bytes, secret))).collect()
    }

    #[test]
    fn s10_codes_and_passwords_are_in_no_argument_output_log_or_file() {
        let mut hub = Hub::at_rest(&["-v"]);
        hub.restart();
        let (anna, phone) = (Home::new("anna"), Home::new("phone"));
        let many = hub.invite(&[]);
        let once = hub.invite(&["--once"]);
        let secrets = [many.as_str(), once.as_str(), PASSWORD];
        let mut said = vec![join(&hub, &anna, &["--account", "anna", "--code-file", "-"], &once, &secrets).done()];
        let set = ["--set-password", "--password-file", "-"];
        said.push(join(&hub, &anna, &set, PASSWORD, &secrets).done());
        let by_password = ["--account", "anna", "--password-file", "-"];
        said.push(join(&hub, &phone, &by_password, PASSWORD, &secrets).done());
        // Wrong ones are as secret: they may be those of another place.
        said.push(join(&hub, &Home::new("eve"), &by_password, "hunter2 hunter2", &secrets).exits(10));
        until("the log has it", || (!hub.events("join_refused").is_empty()).then_some(()));
        said.push(hub.manage(&["status"]).done());
        let log = [Stream::Out, Stream::Err].map(|stream| hub.process().lines(stream).join("\n")).join("\n");
        let told: String = said.iter().flat_map(|ran| [ran.out.as_str(), ran.err.as_str(), "\n"]).collect();
        for secret in [&secrets[..], &["hunter2 hunter2"]].concat() {
            assert!(!has(log.as_bytes(), secret), "the log has a secret:\n{log}");
            assert!(!has(told.as_bytes(), secret), "a command tells a secret:\n{told}");
            for home in [&anna, &phone] {
                assert!(files(home, secret).is_empty(), "{:?}", files(home, secret));
            }
        }
        // The register has the codes that still work, as both sides need them; nothing has what is used up.
        assert_eq!(files(&hub.home, &many), ["repository/.ftx/register.toml"]);
        assert!(files(&hub.home, &once).is_empty(), "{:?}", files(&hub.home, &once));
        assert!(files(&hub.home, PASSWORD).is_empty());
        hub.manage(&["invite", "--revoke", many.split('-').next().unwrap()]).done();
        assert!(files(&hub.home, &many).is_empty());
        // A hub whose output is no terminal, and may be a log, shows no code; here for people.
        let open = hub.invite(&[]);
        hub.stop().done();
        let plain = Process::start(hub.home.command(&hub.typed()));
        plain.wait_for(Stream::Out, "the hub runs", |line| line.contains("listening").then_some(()));
        let shown = plain.lines(Stream::Out).join("\n");
        assert!(shown.contains("join code") && !has(shown.as_bytes(), &open), "{shown}");
    }
}
