//! The way in: what this run dials, and what the next one will, after a change. Computed from what the tasks declare
//! and from what the model says sshd will be. Pure.

use std::time::Duration;

use crate::base::name::UserName;
use crate::machine::{Machine, Session, SshLogin, User, UserState};
use crate::plan::{Declaration, Task};
use crate::resource::WayIn;
use crate::ssh::Target;

/// How long a port that was not asked for may take to answer.
const GUESS: Duration = Duration::from_secs(5);
/// Where sshd listens that nobody has told otherwise.
const USUAL: u16 = 22;

/// The way in that the tasks declare.
pub(super) fn declared(tasks: &[Task]) -> WayIn {
    let mut ways = tasks.iter().filter_map(|task| match &task.declaration {
        Declaration::Ready(resource) => resource.way_in(),
        // Facts are known once somebody is in.
        Declaration::Late(_) => None,
    });
    ways.next_back().unwrap_or_default()
}

/// The targets to try, which differ in their port. A host whose declared port is another than the usual one is likelier
/// to have been moved there than not, and a port that is shut says so at once.
pub(super) fn ports(target: &Target, declared: &WayIn) -> Vec<Target> {
    let other = declared.port.filter(|port| *port != target.port && target.proxy_command.is_none());
    let Some(port) = other else { return vec![target.clone()] };
    let guess = Target { port, connect_timeout: target.connect_timeout.min(GUESS), ..target.clone() };
    if target.port == USUAL { vec![guess, target.clone()] } else { vec![target.clone(), guess] }
}

/// The ways in which the next run can come in on `after`, likeliest first, when `target` was the one on `before`.
pub(super) fn next(target: &Target, before: &Machine, after: &Machine) -> Vec<Target> {
    let port = port(target, before, after);
    users(target, after).into_iter().map(|user| Target { port, user, ..target.clone() }).collect()
}

/// The port to dial. Behind a forwarding the ports of the host are not those that are dialled, so they say nothing.
fn port(target: &Target, before: &Machine, after: &Machine) -> u16 {
    let came_by = before.known(&Session::Here).and_then(|session| session.server_port);
    let ports = |machine: &Machine| machine.known(&SshLogin(None)).map(|login| login.ports.clone());
    let (Some(was), Some(is)) = (ports(before), ports(after)) else { return target.port };
    if was == is || came_by != Some(target.port) || target.proxy_command.is_some() {
        return target.port;
    }
    // One that comes new is the one that is wanted; the one that we came by may be about to go.
    let new = is.iter().find(|port| !was.contains(port));
    let left = is.iter().find(|port| **port == target.port);
    new.or(left).or(is.iter().next()).copied().unwrap_or(target.port)
}

/// Who logs in: whoever did, unless that is root and root is shut out.
fn users(target: &Target, after: &Machine) -> Vec<String> {
    let root = after.known(&SshLogin(None)).and_then(|login| login.settings.get("permitrootlogin"));
    if target.user != "root" || root.is_none_or(|root| root != "no") {
        return vec![target.user.clone()];
    }
    let mut users: Vec<&UserName> = after.all::<SshLogin>().filter_map(|(login, _)| login.0.as_ref()).collect();
    // Those whom the model knows as members of group sudo are likelier to be able to go on.
    users.sort_by_key(|user| !may_sudo(after, user));
    users.into_iter().filter(|user| user.as_str() != "root").map(|user| user.as_str().to_owned()).collect()
}

fn may_sudo(machine: &Machine, user: &UserName) -> bool {
    match machine.known(&User(user.clone())) {
        Some(UserState::Present(account)) => account.groups.contains("sudo"),
        _ => false,
    }
}

/// Whether on `machine` the running sshd must offer nothing but keys.
pub(super) fn keys_alone(machine: &Machine) -> bool {
    let Some(login) = machine.known(&SshLogin(None)) else { return false };
    let by_password = ["passwordauthentication", "kbdinteractiveauthentication", "challengeresponseauthentication"];
    let says = |keyword: &&str| login.settings.get(*keyword).map(String::as_str);
    says(&"passwordauthentication") == Some("no") && by_password.iter().all(|keyword| says(keyword) != Some("yes"))
}
