//! The scripts that bare hosts would be sent, whole, as shellcheck and dash see them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bedplate::machine::{Machine, Probe, System};
use bedplate::plan;
use bedplate::shell::{Batch, Mode};

use super::{built_in, recorded, tools};

/// What `program` says about `script`; nothing when it is content.
fn judged(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    tools::need(program, program);
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program that runs");
    child.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("the script is taken");
    let output = child.wait_with_output().expect("an end");
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

/// Every script of a first check and of the first round of an apply.
fn scripts(set: &[&str], machine: &Machine) -> Vec<String> {
    let tasks = built_in::tasks(set);
    let questions = tasks.iter().flat_map(plan::Task::facts).chain([System::Here.into()]);
    let probe = Probe::new(questions).batch();
    let plan = plan::plan(&tasks, machine);
    let acts = plan
        .segments()
        .into_iter()
        .map(|segment| Batch::new(Mode::Act, segment.steps().iter().map(|step| step.action.call()).collect()));
    std::iter::once(probe).chain(acts).map(|batch| batch.show()).collect()
}

/// SC2016 asks whether a `$` in single quotes was meant to be expanded: never, since data stays data.
#[test]
fn whole_scripts_are_clean() {
    let machine = recorded("debian-12");
    for (user, set) in built_in::USERS {
        for script in scripts(set, &machine) {
            let shellcheck = ["-s", "sh", "-S", "style", "-e", "SC2016", "-"];
            for (program, arguments) in [("dash", &["-n"][..]), ("shellcheck", &shellcheck)] {
                let said = judged(program, arguments, &script);
                assert!(said.is_none(), "{user}, {program}: {}", said.unwrap_or_default());
            }
        }
    }
}
