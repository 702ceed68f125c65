//! sshd: who may log in how, on which port, by which algorithms.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use super::sshd_algorithms::{GROUP_EXCHANGE, STRONG, strong};
use super::sshd_difference::differences;
use super::sshd_foreign::{self, Wanted};
use super::sshd_setting::{self, Setting};
use super::{Change, Plan, Problems, Resource, WayIn, sshd_kamal};
use crate::action::sshd::FileEdit;
use crate::action::unit::Verb;
use crate::action::{ConfigureSshd, ControlUnit, PruneModuli};
use crate::base::Diff;
use crate::base::event::Finding;
use crate::base::name::{AbsPath, UnitName, UserName};
use crate::machine::sshd::{Config, FOLDER, MAIN};
use crate::machine::unit::Active;
use crate::machine::{
    Blocked, Machine, Question, Session, SessionState, SshLogin, SshLoginState, Sshd as Here, SshdState, Unit,
    sshd_keyword,
};

/// sshd's settings: passwords off, root by key only, and what else you set.
///
/// They are written to `/etc/ssh/sshd_config.d/00-bedplate.conf`, which outranks other files; a line of somebody else
/// that would outrank it is commented out, and the file as it was is kept beside it. The host judges the new
/// configuration on a copy before anything is touched, and what counts is what `sshd -T` says for each login. The
/// change runs under the guard: if no new login gets in, the host puts everything back by itself. An sshd that would not
/// start at boot is enabled.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sshd {
    /// The port that sshd listens on; `0` leaves it as it is. It moves in two steps: sshd listens on both, a login over
    /// the new one proves it, and the old one goes. Later runs come in by the new one by themselves.
    #[serde(default)]
    pub port: u16,
    /// Whether root may log in: `yes`, `no`, or `prohibit-password` (by key only; Kamal's default user is root).
    #[serde(default)]
    pub root_login: RootLogin,
    /// Whether passwords are taken at all.
    #[serde(default)]
    pub passwords: bool,
    /// Users that must be able to log in by key, such as the deploy user. Settings of others that shut them out are
    /// refused, not overridden.
    #[serde(default)]
    pub users: Vec<UserName>,
    /// `strong` offers only algorithms without known weakness, and always some that Kamal can speak; `leave` leaves
    /// the release's own.
    #[serde(default)]
    pub algorithms: Algorithms,
    /// Whether settings that break Kamal are mistakes: no remote forwarding, algorithms that it does not have.
    #[serde(default = "yes")]
    pub kamal: bool,
    /// Any other settings by their names in sshd_config(5), such as `X11Forwarding = false`.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
}

fn yes() -> bool {
    true
}

/// Whether root may log in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RootLogin {
    /// By every method.
    Yes,
    /// Not at all.
    No,
    /// By key only.
    #[default]
    ProhibitPassword,
}

/// What algorithms sshd offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Algorithms {
    /// Those without known weakness.
    #[default]
    Strong,
    /// The release's own.
    Leave,
}

/// Our own drop-in.
const OURS: &str = "00-bedplate.conf";

impl Sshd {
    fn logins(&self) -> Vec<SshLogin> {
        std::iter::once(SshLogin(None)).chain(self.users.iter().cloned().map(Some).map(SshLogin)).collect()
    }

    /// The settings to be, for this sshd: only those that it knows, by the name that it knows.
    fn wanted(&self, config: &Config, says: &SshLoginState) -> Vec<Wanted> {
        let mut wanted: BTreeMap<&'static str, String> = BTreeMap::new();
        let passwords = if self.passwords { "yes" } else { "no" };
        wanted.insert("PasswordAuthentication", passwords.into());
        wanted.insert("KbdInteractiveAuthentication", passwords.into());
        wanted.insert("PubkeyAuthentication", "yes".into());
        let root = match self.root_login {
            RootLogin::Yes => "yes",
            RootLogin::No => "no",
            RootLogin::ProhibitPassword => "without-password",
        };
        wanted.insert("PermitRootLogin", root.into());
        if self.algorithms == Algorithms::Strong {
            for (keyword, names) in STRONG {
                if let Some(list) = strong(keyword, names, config, says) {
                    wanted.insert(keyword, list);
                }
            }
        }
        for (name, value) in &self.settings {
            if let Some(keyword) = sshd_keyword::find(name)
                && let Ok(value) = keyword.canonical(&value.0)
            {
                wanted.insert(keyword.name, value);
            }
        }
        wanted.into_iter().flat_map(|(name, value)| in_words_of(name, value, says)).collect()
    }

    /// The ports to be; `None` leaves them alone. The port that we came in by stays until we come in by another.
    fn ports(&self, session: &SessionState, says: &SshLoginState) -> Option<BTreeSet<u16>> {
        if self.port == 0 {
            return None;
        }
        let ours = session.server_port.filter(|port| says.ports.contains(port));
        Some(std::iter::once(self.port).chain(ours).collect())
    }
}

/// A setting by the names that this sshd has for it: those that `sshd -T` prints. None: it does not know it.
fn in_words_of(name: &'static str, value: String, says: &SshLoginState) -> Vec<Wanted> {
    let Some(keyword) = sshd_keyword::find(name) else { return Vec::new() };
    let printed = keyword.names().filter(|name| says.settings.contains_key(&name.to_ascii_lowercase()));
    let mut found: Vec<Wanted> = printed.map(|name| Wanted { name, value: value.clone(), printed: true }).collect();
    if found.is_empty() && !keyword.is_printed() {
        found.push(Wanted { name, value, printed: false });
    }
    found
}

fn unit(name: &str) -> Option<Unit> {
    UnitName::new(name).ok().map(Unit)
}

fn control(verb: Verb) -> Option<Change> {
    unit("ssh.service").map(|unit| Change::by(ControlUnit { unit: unit.0, verb }))
}

/// What lets sshd start at boot, where nothing does: the next reboot would lock everybody out.
fn at_boot(machine: &Machine, by_socket: bool) -> Result<Option<Verb>, Blocked> {
    let Some(unit) = unit("ssh.service") else { return Ok(None) };
    let service = machine.get(&unit)?;
    Ok(match (service.masked, service.enabled) {
        (true, _) => Some(Verb::Unmask),
        (false, Some(false)) if service.exists && !by_socket => Some(Verb::Enable),
        _ => None,
    })
}

/// The text of our drop-in.
fn text(wanted: &[Wanted], ports: Option<&BTreeSet<u16>>) -> String {
    let mut text = String::from(
        "# Written by bedplate, which puts changes back: declare settings in its playbook instead.\n\
         # sshd takes the first value that it meets, so this file outranks the others.\n",
    );
    for port in ports.into_iter().flatten() {
        text.push_str(&format!("Port {port}\n"));
    }
    for Wanted { name, value, .. } in wanted {
        text.push_str(&format!("{name} {value}\n"));
    }
    text
}

impl Resource for Sshd {
    const NAME: &'static str = "sshd";
    const EXAMPLE: &'static str = "root_login = \"prohibit-password\"\nusers = [\"deploy\"]\n\
        settings = { X11Forwarding = false, MaxAuthTries = 6 }\n";

    fn check(&self, problems: &mut Problems) {
        for (name, value) in &self.settings {
            sshd_setting::check(self.kamal, name, value, problems);
        }
        if self.root_login == RootLogin::No && self.users.is_empty() {
            problems.push(
                "root_login",
                "with root shut out somebody else must be able to log in",
                Some("name a user with a key and sudo in `users`"),
            );
        }
        if self.root_login == RootLogin::No && self.users.iter().any(|user| user.as_str() == "root") {
            problems.push(
                "users",
                "root is shut out by `root_login` and named in `users`",
                Some("leave one of the two out"),
            );
        }
    }

    fn facts(&self) -> Vec<Question> {
        let mut facts: Vec<Question> = vec![Here::Here.into(), Session::Here.into()];
        facts.extend(self.logins().into_iter().map(Question::from));
        facts.extend(self.needed_logins());
        facts.extend(["ssh.socket", "ssh.service"].into_iter().filter_map(unit).map(Question::from));
        facts
    }

    fn asserts(&self) -> Vec<Question> {
        std::iter::once(Here::Here.into()).chain(self.logins().into_iter().map(Question::from)).collect()
    }

    fn way_in(&self) -> Option<WayIn> {
        let users = if self.root_login == RootLogin::No { self.users.clone() } else { Vec::new() };
        Some(WayIn { port: (self.port != 0).then_some(self.port), users })
    }

    fn plan(&self, machine: &Machine) -> Result<Plan, Blocked> {
        let SshdState::Present(config) = machine.get(&Here::Here)? else {
            return Err(Blocked::refused("there is no sshd", "install openssh-server in an earlier task"));
        };
        let session = machine.get(&Session::Here)?;
        let mut says = Vec::new();
        for login in self.logins() {
            let state = machine.get(&login)?;
            if let Some(broken) = &state.broken {
                return Err(Blocked::refused(
                    format!("sshd can not read its own configuration: {broken}"),
                    "mend that line first: at its next start this sshd would not come up",
                ));
            }
            let user = login.0.as_ref().map_or(session.user.as_str(), UserName::as_str).to_owned();
            says.push((login, user, state));
        }
        let Some((_, _, here)) = says.first().cloned() else { return Ok(Plan::in_sync("nobody is to log in")) };
        let users: Vec<(String, &SshLoginState)> = says.iter().map(|(_, user, state)| (user.clone(), *state)).collect();
        self.refusals(session, &users)?;
        self.somebody_is_left(machine)?;

        let wanted = self.wanted(config, here);
        let ports = self.ports(session, here);
        if ports.is_some()
            && let Some(line) = sshd_foreign::address_with_port(config)
        {
            return Err(Blocked::refused(
                format!("{line} names a port in its ListenAddress, so `port` can not decide it"),
                "take the port out of that line, or leave `port` out",
            ));
        }
        let files = edits(config, &wanted, ports.as_ref(), &users)?;
        let meets: BTreeMap<String, String> = wanted
            .iter()
            .filter(|wanted| wanted.printed)
            .map(|w| (w.name.to_ascii_lowercase(), w.value.clone()))
            .collect();
        let ports = ports.unwrap_or_else(|| here.ports.clone());
        let effective = differences(&meets, &ports, &says);
        if files.is_empty() && effective.iter().any(|line| line.settings) {
            let lines: Vec<String> = effective.into_iter().map(|line| line.now).collect();
            return Err(Blocked::refused(
                format!("sshd says `{}`, which none of its known files explains", lines.join("`, `")),
                "look for an `Include` of another folder in /etc/ssh/sshd_config, and take it out",
            ));
        }
        let socket = unit("ssh.socket").and_then(|unit| machine.known(&unit));
        let at_boot = at_boot(machine, socket.is_some_and(|socket| socket.enabled == Some(true)))?;
        let socket = socket.is_some_and(|socket| socket.active == Active::Active);
        if let Some(unmask) = at_boot.as_ref().filter(|verb| **verb == Verb::Unmask).and_then(|verb| control(*verb)) {
            // What the mask hides shows after it is gone; the task is then decided again.
            return Ok(Plan::changes(vec![unmask], ""));
        }
        let mut changes: Vec<Change> = at_boot.and_then(control).into_iter().collect();
        let group_exchange = meets.get("kexalgorithms").is_some_and(|list| list.contains(GROUP_EXCHANGE));
        if group_exchange && config.short_moduli && self.algorithms == Algorithms::Strong {
            changes.push(Change::by(PruneModuli));
        }
        changes.extend(files.iter().map(|file| Change {
            summary: format!("write {}", file.path),
            diff: Some(Diff::Text {
                path: file.path.to_string(),
                before: file.before.clone(),
                after: file.after.clone(),
            }),
            actions: Vec::new(),
        }));
        if !files.is_empty() || !effective.is_empty() || !config.loaded {
            let meets = says.iter().map(|(login, ..)| (login.clone(), meets.clone())).collect();
            let mut change = Change::by(ConfigureSshd { files, meets, ports: ports.clone(), socket });
            if !effective.is_empty() {
                let (minus, plus) = effective.into_iter().map(|line| (line.now, line.then)).unzip();
                change = change.diff(Diff::Set { what: "sshd -T".into(), minus, plus });
            }
            changes.push(change);
        }
        let mut findings = self.findings(&ports, here);
        if self.kamal {
            findings.extend(sshd_kamal::limits(&wanted, &users));
        }
        Ok(Plan::changes(changes, why(self.port, &ports, session)).with_findings(findings))
    }

    #[cfg(test)]
    fn any() -> proptest::strategy::BoxedStrategy<Self> {
        use proptest::prelude::*;
        use proptest::sample::select;
        let setting = (select(vec!["X11Forwarding", "MaxAuthTries", "DebianBanner", "RequiredRSASize"]))
            .prop_map(|name| (name.to_owned(), Setting(if name.starts_with('M') { "5" } else { "no" }.into())));
        (
            select(vec![0, 22, 2222]),
            select(vec![RootLogin::Yes, RootLogin::No, RootLogin::ProhibitPassword]),
            any::<(bool, bool)>(),
            proptest::collection::vec(select(vec!["deploy", "admin", "root"]), 0..3),
            proptest::collection::btree_map(setting.clone().prop_map(|s| s.0), setting.prop_map(|s| s.1), 0..2),
        )
            .prop_map(|(port, root_login, (passwords, strong), users, mut settings)| {
                // Names and values were drawn apart.
                for (name, value) in &mut settings {
                    *value = Setting(if name.starts_with('M') || name.starts_with('R') { "5" } else { "no" }.into());
                }
                Sshd {
                    port,
                    root_login,
                    passwords,
                    users: users.into_iter().map(|user| UserName::new(user).unwrap()).collect(),
                    algorithms: if strong { Algorithms::Strong } else { Algorithms::Leave },
                    kamal: true,
                    settings,
                }
            })
            .boxed()
    }
}

impl Sshd {
    fn findings(&self, ports: &BTreeSet<u16>, says: &SshLoginState) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.port != 0 && ports.len() > 1 {
            findings.push(Finding {
                id: "sshd-two-ports".into(),
                what: format!("sshd listens on more than port {}, because you are connected over another", self.port),
                help: Some(format!("connect over port {} and run again: then the old port goes", self.port)),
            });
        }
        for name in self.settings.keys() {
            if let Some(keyword) = sshd_keyword::find(name)
                && in_words_of(keyword.name, String::new(), says).is_empty()
            {
                findings.push(Finding {
                    id: "sshd-unknown-setting".into(),
                    what: format!("this release's sshd does not know {name}, which is left out"),
                    help: None,
                });
            }
        }
        findings
    }
}

fn why(port: u16, ports: &BTreeSet<u16>, session: &SessionState) -> String {
    let what = "sshd says the declared settings for each login, and has read its files";
    match session.server_port {
        Some(here) if port != 0 && ports.len() > 1 => {
            format!("{what}; it listens on {port} and, until you come in by that, on {here}")
        }
        _ => what.into(),
    }
}

/// The files that must change: ours, the main one where it does not include ours, and those that outrank it.
fn edits(
    config: &Config,
    wanted: &[Wanted],
    ports: Option<&BTreeSet<u16>>,
    users: &[(String, &SshLoginState)],
) -> Result<Vec<FileEdit>, Blocked> {
    let bad = |name: crate::base::name::BadName| Blocked::refused(name.to_string(), "report this mistake of bedplate");
    let ours = AbsPath::new(format!("{FOLDER}/{OURS}")).map_err(bad)?;
    let main = AbsPath::new(MAIN).map_err(bad)?;
    // A port that was set by us stays when it is no longer declared: to leave it alone is to leave it.
    let own = config.lines(&ours).into_iter().filter(|line| line.keyword == "port");
    let kept: BTreeSet<u16> = own.filter_map(|line| line.value.parse().ok()).collect();
    let mut after = config.files.clone();
    after.insert(ours.clone(), text(wanted, Some(ports.unwrap_or(&kept))));
    for (path, numbers) in sshd_foreign::outranking(config, &ours, wanted, ports.is_some(), users) {
        if let Some(text) = after.get_mut(&path) {
            *text = sshd_foreign::commented_out(text, &numbers);
        }
    }
    if config.include_line().is_none() {
        let text = after.entry(main).or_default();
        *text = format!("# Added by bedplate.\nInclude {FOLDER}/*.conf\n{text}");
    }
    Ok(after
        .into_iter()
        .filter(|(path, text)| config.files.get(path) != Some(text))
        .map(|(path, text)| FileEdit { before: config.files.get(&path).cloned(), path, after: Some(text) })
        .collect())
}
