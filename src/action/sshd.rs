//! sshd's configuration as a whole, and its moduli.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{ACTION, Access, Act, Saved, Undo};
use crate::base::name::{AbsPath, UnitName, UserName};
use crate::machine::sshd::{Config, FOLDER, SSHD, digest};
use crate::machine::{Machine, SshLogin, Sshd, SshdState};
use crate::shell::{Call, Library};

static CONFIGURE: Library = Library { name: "action/sshd.sh", text: include_str!("sshd.sh"), needs: &[&SSHD, &ACTION] };

/// Puts sshd's files in place and makes the running sshd read them. Before anything is touched the host judges a copy:
/// `sshd -t`, and `sshd -T` for each login. Without files it makes sshd read what is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigureSshd {
    /// The files that change.
    pub files: Vec<FileEdit>,
    /// What `sshd -T` must then say, by login: values by keyword, as it prints them.
    pub meets: BTreeMap<SshLogin, BTreeMap<String, String>>,
    /// The ports that must then be listened on.
    pub ports: BTreeSet<u16>,
    /// Whether ssh.socket listens in sshd's place.
    pub socket: bool,
}

/// One file before and after; `None` is no such file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEdit {
    /// Where: below `/etc/ssh`.
    pub path: AbsPath,
    /// The text that it was planned on.
    pub before: Option<String>,
    /// The text that it gets.
    pub after: Option<String>,
}

impl Act for ConfigureSshd {
    fn summary(&self) -> String {
        match self.files.as_slice() {
            [] => "make sshd read its configuration again".into(),
            [_] => "check the new sshd configuration on a copy, put it in place and load it".into(),
            files => format!(
                "check the new sshd configuration on a copy, put its {} files in place and load it",
                files.len()
            ),
        }
    }

    fn call(&self) -> Call {
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let mut call = Call::new(&CONFIGURE, "sshd_configure")
            .arg(if self.socket { "1" } else { "0" })
            .arg(ports.join(" "))
            .arg(self.files.len().to_string());
        for file in &self.files {
            call = call
                .arg(&file.path)
                .arg(digest(file.before.as_deref()))
                .arg(digest(file.after.as_deref()))
                .arg(file.after.clone().unwrap_or_default());
        }
        for (login, meets) in self.meets.iter().filter(|(_, meets)| !meets.is_empty()) {
            let lines: Vec<String> = meets.iter().map(|(keyword, value)| format!("{keyword} {value}")).collect();
            call = call.arg(login.0.as_ref().map_or("", UserName::as_str)).arg(lines.join("\n"));
        }
        call
    }

    fn effect(&self, machine: &mut Machine) {
        let mut turned = Vec::new();
        machine.update(&Sshd::Here, |state| {
            if let SshdState::Present(config) = state {
                let was = config.include_line().is_some();
                self.edit(config);
                config.loaded = true;
                if was != config.include_line().is_some() {
                    turned = said_in_drop_ins(config);
                }
            }
        });
        let logins: Vec<SshLogin> = machine.all::<SshLogin>().map(|(login, _)| login.clone()).collect();
        for login in logins {
            // Drop-ins that count again, or no longer, say more than was asked for.
            let told = |meets: &&BTreeMap<String, String>| turned.iter().all(|keyword| meets.contains_key(keyword));
            let Some(meets) = self.meets.get(&login).filter(told) else {
                machine.forget(&login);
                continue;
            };
            machine.update(&login, |state| {
                state.settings.extend(meets.iter().map(|(keyword, value)| (keyword.clone(), value.clone())));
                state.ports = self.ports.clone();
                state.deaf = BTreeSet::new();
            });
        }
        for file in &self.files {
            machine.forget_file(&file.path);
        }
    }

    fn undo(&self, before: &Machine) -> Undo {
        let Ok(SshdState::Present(config)) = before.get(&Sshd::Here) else {
            return Undo::Impossible("sshd's files of before are not known");
        };
        if !config.loaded {
            return Undo::Impossible("the sshd that ran had not read its files, and what it had read is not known");
        }
        let mut meets = BTreeMap::new();
        let mut ports = BTreeSet::new();
        for (login, wanted) in &self.meets {
            let Ok(state) = before.get(login) else {
                return Undo::Impossible("what sshd said before is not known");
            };
            let known: Option<BTreeMap<String, String>> =
                wanted.keys().map(|keyword| Some((keyword.clone(), state.settings.get(keyword)?.clone()))).collect();
            let alike = state.deaf.is_empty() && (meets.is_empty() || ports == state.ports);
            let Some(known) = known.filter(|_| alike) else {
                return Undo::Impossible("the sshd of before did not say the same of all, or was deaf on a port");
            };
            meets.insert(login.clone(), known);
            ports.clone_from(&state.ports);
        }
        let turned = |file: &FileEdit| FileEdit {
            path: file.path.clone(),
            before: file.after.clone(),
            after: file.before.clone(),
        };
        let files = self.files.iter().map(turned).collect();
        Undo::By(vec![ConfigureSshd { files, meets, ports, socket: self.socket }.into()])
    }

    fn access(&self) -> Option<Access> {
        let folder = |path: &str| AbsPath::new(path).ok().map(Saved::Folder);
        let unit = |name: &str| UnitName::new(name).ok().map(Saved::Unit);
        let saves =
            [folder("/etc/ssh"), folder("/etc/systemd/system/ssh.socket.d"), unit("ssh.service"), unit("ssh.socket")];
        Some(Access { what: "sshd", saves: saves.into_iter().flatten().collect() })
    }
}

impl ConfigureSshd {
    fn edit(&self, config: &mut Config) {
        for file in &self.files {
            match &file.after {
                Some(text) => config.files.insert(file.path.clone(), text.clone()),
                None => config.files.remove(&file.path),
            };
        }
    }
}

/// The keywords of all drop-ins.
fn said_in_drop_ins(config: &Config) -> Vec<String> {
    let drop_ins = config.files.keys().filter(|path| path.as_str().starts_with(FOLDER));
    drop_ins.flat_map(|path| config.lines(path)).map(|line| line.keyword).collect()
}

/// Takes the groups of less than 3072 bits out of `/etc/ssh/moduli`; the list as it was is kept beside it. No running
/// sshd has to be told: each login reads the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PruneModuli;

impl Act for PruneModuli {
    fn summary(&self) -> String {
        "take the groups of less than 3072 bits out of /etc/ssh/moduli".into()
    }

    fn call(&self) -> Call {
        Call::new(&CONFIGURE, "sshd_prune_moduli")
    }

    fn effect(&self, machine: &mut Machine) {
        machine.update(&Sshd::Here, |state| {
            if let SshdState::Present(config) = state {
                config.short_moduli = false;
            }
        });
        let logins: Vec<(SshLogin, _)> =
            machine.all::<SshLogin>().filter_map(|(login, state)| Some((login.clone(), state?.clone()))).collect();
        // No login's settings come from that list.
        for (login, state) in logins {
            machine.set(login, state);
        }
        if let Ok(path) = AbsPath::new("/etc/ssh/moduli") {
            machine.forget_file(&path);
        }
    }

    fn undo(&self, _: &Machine) -> Undo {
        Undo::Impossible("the list as it was is kept as /etc/ssh/moduli.before-bedplate")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::SshLoginState;
    use crate::machine::sshd::MAIN;

    /// The machine behind an edit of the main file, with a drop-in of somebody else's beside it.
    fn behind(before: &str, after: &str, drop_in: &str) -> Machine {
        let main = AbsPath::new(MAIN).unwrap();
        let files = BTreeMap::from([
            (main.clone(), before.to_owned()),
            (AbsPath::new(format!("{FOLDER}/70-own.conf")).unwrap(), drop_in.to_owned()),
        ]);
        let config =
            Config { files, loaded: true, socket_generator: false, short_moduli: false, defaults: BTreeMap::new() };
        let state = SshLoginState {
            settings: BTreeMap::from([("clientaliveinterval".to_owned(), "0".to_owned())]),
            ports: BTreeSet::from([22]),
            deaf: BTreeSet::new(),
            groups: BTreeSet::new(),
            broken: None,
        };
        let mut machine = Machine::default();
        machine.set(Sshd::Here, SshdState::Present(config));
        machine.set(SshLogin(None), state);
        let meets = BTreeMap::from([("passwordauthentication".to_owned(), "no".to_owned())]);
        let edit = FileEdit { path: main, before: Some(before.into()), after: Some(after.into()) };
        let action = ConfigureSshd {
            files: vec![edit],
            meets: BTreeMap::from([(SshLogin(None), meets)]),
            ports: BTreeSet::from([22]),
            socket: false,
        };
        let by = crate::machine::Unknown { task: 1, name: "sshd".into() };
        machine.perform(&by, |machine| action.effect(machine));
        machine
    }

    #[test]
    fn an_include_that_comes_back_brings_what_others_say() {
        let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
        let own = "ClientAliveInterval 77\n";
        assert_eq!(behind("", include, own).known(&SshLogin(None)), None, "what others say was not reckoned with");
        let known = |before: &str, drop_in: &str| behind(before, include, drop_in).known(&SshLogin(None)).is_some();
        assert!(known(include, own), "nothing of theirs has turned");
        assert!(known("", "PasswordAuthentication no\n"), "what is asked for anyhow is known");
    }
}
