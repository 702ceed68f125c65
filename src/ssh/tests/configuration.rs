//! `~/.ssh/config` against its judge: `ssh -G`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use crate::base::name::HostName;
use crate::ssh::config::{Myself, Query, Settings, SshConfig};
use crate::ssh::{Family, NewKeys, Request, Target, resolve};

/// What `ssh -G` says, for the settings that bedplate follows. `None`: ssh refuses the file.
fn judge(file: &Path, host: &str, user: Option<&str>) -> Option<BTreeMap<String, Vec<String>>> {
    crate::tools::need("ssh", "openssh-client");
    let mut ssh = Command::new("ssh");
    ssh.arg("-G").arg("-F").arg(file);
    if let Some(user) = user {
        ssh.args(["-l", user]);
    }
    let output = ssh.arg("--").arg(host).output().expect("ssh runs");
    if !output.status.success() {
        return None;
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        found.entry(key.to_owned()).or_default().push(value.to_owned());
    }
    Some(found)
}

fn request(host: &str, user: Option<&str>) -> Request {
    Request { user: user.map(str::to_owned), ..Request::new(HostName::new(host).unwrap()) }
}

fn settings(config: &SshConfig, host: &str, user: Option<&str>) -> Settings {
    let settled = Settings { user: user.map(str::to_owned), ..Settings::default() };
    config.lookup(&Query { host: host.to_owned(), settled }).settings
}

/// Our settings in `ssh -G`'s words.
fn ours(settings: &Settings, target: &Target) -> BTreeMap<&'static str, Vec<String>> {
    let paths =
        |paths: &[std::path::PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut own = BTreeMap::new();
    own.insert("hostname", vec![target.address.clone()]);
    own.insert("user", vec![target.user.clone()]);
    own.insert("port", vec![target.port.to_string()]);
    if !settings.identity_files.is_empty() {
        own.insert("identityfile", settings.identity_files.clone());
    }
    own.insert("userknownhostsfile", vec![paths(&target.known_hosts)]);
    own.insert("globalknownhostsfile", vec![paths(&target.global_known_hosts)]);
    own.insert("identitiesonly", vec![if target.identities_only { "yes" } else { "no" }.to_owned()]);
    let family = match target.family {
        Family::Any => "any",
        Family::Four => "inet",
        Family::Six => "inet6",
    };
    own.insert("addressfamily", vec![family.to_owned()]);
    let strict = match target.new_keys {
        NewKeys::Refuse => "true",
        NewKeys::Ask => "ask",
        NewKeys::Accept => "accept-new",
    };
    own.insert("stricthostkeychecking", vec![strict.to_owned()]);
    let seconds = |time: Option<std::time::Duration>| time.unwrap_or_default().as_secs();
    let timeout = seconds(settings.connect_timeout);
    own.insert("connecttimeout", vec![if timeout == 0 { "none".to_owned() } else { timeout.to_string() }]);
    own.insert("serveraliveinterval", vec![seconds(settings.alive_interval).to_string()]);
    own.insert("serveralivecountmax", vec![settings.alive_count.unwrap_or(3).to_string()]);
    for (key, value) in [
        ("hostkeyalias", &settings.host_key_alias),
        ("proxycommand", &settings.proxy_command),
        ("proxyjump", &settings.proxy_jump),
        ("identityagent", &settings.identity_agent),
    ] {
        if let Some(value) = value {
            // ssh shows this one with the home folder in it.
            let value = if key == "identityagent" {
                value.replace('~', &Myself::detect().home.display().to_string())
            } else {
                value.clone()
            };
            own.insert(key, vec![value]);
        }
    }
    own
}

fn compare(text: &str, host: &str, user: Option<&str>) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, text.replace("INCLUDED", &folder.path().join("part").display().to_string())).unwrap();
    std::fs::write(folder.path().join("part_a"), "User included\nHost web*\nPort 2022\n").unwrap();
    std::fs::write(folder.path().join("part_b"), "Match user included\nHostKeyAlias from-b\n").unwrap();
    let Some(judged) = judge(&file, host, user) else { return Ok(()) };
    let config = SshConfig::only(&file, Myself::detect());
    let settings = settings(&config, host, user);
    // Jump hosts of random text may be refused; ssh -G does not look into them.
    let plain = Request { jump: Some("none".to_owned()), ..request(host, user) };
    let Ok(resolved) = resolve(&plain, &config) else { return Ok(()) };
    for (key, value) in ours(&settings, &resolved.target) {
        let mut expected = judged.get(key).cloned().unwrap_or_default();
        if key == "stricthostkeychecking" {
            expected.iter_mut().for_each(|word| *word = word.replace("false", "accept-new"));
        }
        if matches!(key, "proxycommand" | "proxyjump" | "identityagent") && value == ["none"] {
            // Not shown, or shown as none, depending on the version.
            expected = vec!["none".to_owned()];
        }
        if key == "identitiesonly" {
            expected.iter_mut().for_each(|word| *word = word.replace("true", "yes").replace("false", "no"));
        }
        if value != expected {
            return Err(format!("{key}: ours {value:?}, ssh's {expected:?}\nfor {user:?} on {host} with\n{text}"));
        }
    }
    Ok(())
}

#[test]
fn a_table_of_files_means_what_ssh_says() {
    let files = [
        "Host web\n  HostName Web.Example.ORG\n  User deploy\n  Port 2222\n  IdentityFile ~/a\n  IdentityFile ~/b\nHost *\n  User other\n  IdentityFile ~/c\n",
        // What crates get wrong: lines of a Match block belong to it alone.
        "Host db*\nUser db\nMatch host db1\nHostName 10.0.0.1\nUser m\nHost web*\nPort 99\nMatch originalhost web1 user deploy\nHostName 10.0.0.2\n",
        "Host * !web\nUser all\nHost web\nUser me\n",
        "Host web\nHostName real-%h.example.org\nMatch host real-*\nPort 77\n",
        "Port=23\nUser = \"quoted user\"\nhostname 'x' # comment\n",
        "Host \"web\" other\nUser q\n",
        "Match final host *.example.org\nUser late\nHost web\nHostName web.example.org\n",
        "Match final\nHostName other.example.org\nPort 5\nHost web\nPort 6\n",
        "Match all\nUser a\nMatch !host web\nPort 1\nMatch localuser root,nobody\nPort 2\n",
        "Match host web exec \"true\"\nUser yes\nMatch host web !exec \"true\"\nPort 4\nMatch exec \"test %h = web -a %n = web -a %r = yes\"\nHostKeyAlias tokens\n",
        "Include INCLUDED_*\nHost web1\nUser late\nInclude /nonexistent/*\n",
        "Host nothing\nInclude INCLUDED_a\nHost *\nUser outer\n",
        "Host web\nInclude INCLUDED_?\nConnectTimeout 1m\nHost *\nConnectTimeout 5\n",
        "ProxyJump a,b:22\nProxyCommand nc %h %p\n",
        "ProxyCommand nc -X 5 -x 'proxy:1080' %h %p\nProxyJump a\n",
        "ProxyJump none\nHost *\nProxyJump b\n",
        "UserKnownHostsFile ~/one \"/tmp/two three\" /tmp/%n\nGlobalKnownHostsFile /etc/x\nIdentitiesOnly yes\nIdentityAgent ~/agent\n",
        "StrictHostKeyChecking accept-new\nServerAliveInterval 7\nServerAliveCountMax 4\nAddressFamily inet6\nHostKeyAlias alias\n",
        "StrictHostKeyChecking no\nAddressFamily inet\nServerAliveInterval 1h2m\n",
        "Host WEB\nUser upper\nHost web\nUser lower\n",
        "IdentityFile none\nForwardAgent yes\nControlMaster auto\nSendEnv LANG LC_*\n",
        "\tHost\tweb\t\n\t\tUser\ttabbed\t\n\u{c}\n",
    ];
    for text in files {
        for host in ["web", "web1", "WEB", "db1", "other", "10.0.0.7", "web.example.org"] {
            for user in [None, Some("deploy")] {
                compare(text, host, user).unwrap_or_else(|difference| panic!("{difference}"));
            }
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    let pattern =
        prop::sample::select(vec!["web", "web*", "!web1", "*", "db?", "web.example.org", "*.org", "real-web"]);
    let patterns = prop::collection::vec(pattern, 1..3);
    let user = prop::sample::select(vec!["me", "deploy", "\"a b\"", "root"]);
    prop_oneof![
        patterns.clone().prop_map(|p| format!("Host {}", p.join(" "))),
        patterns.clone().prop_map(|p| format!("Match host {}", p.join(","))),
        patterns.prop_map(|p| format!("Match originalhost={} user me,deploy", p.join(","))),
        Just("Match all".to_owned()),
        Just("Match final".to_owned()),
        Just("Match !user deploy".to_owned()),
        Just("Include INCLUDED_*".to_owned()),
        user.prop_map(|u| format!("  User {u}")),
        prop::sample::select(vec!["1.example.org", "real-%h", "x%%y", "Web.ORG"]).prop_map(|h| format!("HostName={h}")),
        (1u16..4).prop_map(|p| format!("Port {p}")),
        prop::sample::select(vec!["~/a", "/b/%h", "\"~/c d\"", "none"]).prop_map(|f| format!("IdentityFile {f}")),
        prop::sample::select(vec!["yes", "no", "ask", "accept-new", "off"])
            .prop_map(|s| format!("StrictHostKeyChecking {s}")),
        prop::sample::select(vec!["ProxyJump a,b", "ProxyJump none", "ProxyCommand nc %h %p", "ProxyCommand none"])
            .prop_map(str::to_owned),
        prop::sample::select(vec!["# a comment", "", "HashKnownHosts yes", "HostKeyAlias k", "IdentitiesOnly yes"])
            .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn random_files_mean_what_ssh_says(
        lines in prop::collection::vec(line(), 0..14),
        host in prop::sample::select(vec!["web", "web1", "db1", "web.example.org", "Real-web"]),
        user in prop::sample::select(vec![None, Some("deploy")]),
    ) {
        if let Err(difference) = compare(&(lines.join("\n") + "\n"), host, user) {
            prop_assert!(false, "{}", difference);
        }
    }

    #[test]
    fn no_file_can_break_the_reader(text in "[ -~\\n\\t]{0,200}") {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        // No commands of random text are to be run.
        std::fs::write(&file, text.to_lowercase().replace("exec", "")).unwrap();
        let _ = resolve(&request("web", None), &SshConfig::only(&file, Myself::detect()));
    }
}

#[test]
fn jump_hosts_are_settled_like_hosts_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = "Host inner\nProxyJump first,second:2200\nHost first\nUser one\nProxyJump zero\nHost second\nProxyJump zero\n\
                Host loop\nProxyJump loop\n";
    std::fs::write(&file, text).unwrap();
    let config = SshConfig::only(&file, Myself::detect());
    let target = resolve(&request("inner", None), &config).unwrap().target;
    let way: Vec<String> = target.jumps.iter().map(Target::place).collect();
    let me = &config.me().user;
    assert_eq!(way, [format!("{me}@zero"), "one@first".to_owned(), format!("{me}@second:2200")]);
    let looped = resolve(&request("loop", None), &config).unwrap_err();
    assert!(looped.message.contains("circle"), "{looped:?}");
    let explicit = Request { jump: Some("other".to_owned()), port: Some(7), ..request("inner", None) };
    let target = resolve(&explicit, &config).unwrap().target;
    assert_eq!((target.jumps.len(), target.port), (1, 7), "what the operator writes wins");
}

#[test]
fn odd_lines_are_warned_of_by_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, "Host web\nPort http\nUser \"open\nCanonicalizeHostname yes\nUser fine\n").unwrap();
    let resolved = resolve(&request("web", None), &SshConfig::only(&file, Myself::detect())).unwrap();
    assert_eq!(resolved.target.user, "fine");
    let places: Vec<String> =
        resolved.warnings.iter().map(|w| w.at.as_ref().map(|(span, _)| span.line()).unwrap_or_default()).collect();
    assert_eq!(places, [2, 3, 4].map(|n| format!("{}:{n}", file.display())));
}
