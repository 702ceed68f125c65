//! The guard on real boxes, driven by the engine: one row a fault. Whatever happens inside the window, whoever got in
//! before gets in again, the report is true, and running again finishes the job.

use bedplate::base::Exit;
use bedplate::base::event::EventKind;
use bedplate::sandbox::Suite;

use super::docker::{Bench, Ran};

const TASKS: [(&str, &str); 3] = [("packages", "install = [\"ufw\"]\n"), ("ufw", ""), ("sshd", "")];

/// Logins that confirmed.
fn confirmed(ran: &Ran) -> Vec<String> {
    let logins = ran.events.iter().filter_map(|event| match event {
        EventKind::GuardConfirmed { login, .. } => Some(login.clone()),
        _ => None,
    });
    logins.collect()
}

#[test]
fn a_change_of_access_is_confirmed_by_a_new_login() {
    let mut bench = Bench::up(Suite::Bookworm, &TASKS);
    let apply = bench.apply().exits(Exit::Done);
    assert_eq!(confirmed(&apply).len(), 1, "{:#?}", apply.events);
    bench.check().exits(Exit::Done);

    // The port moves in one run: both are listened on, the new one is proved, the old one goes.
    bench.tasks[1].1 = "ssh_port = 2222\n".into();
    bench.tasks[2].1 = "port = 2222\n".into();
    let apply = bench.apply().exits(Exit::Done);
    assert_eq!(confirmed(&apply).len(), 2, "{:#?}", apply.events);
}
