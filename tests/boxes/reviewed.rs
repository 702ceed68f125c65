//! A plan that was saved and looked at is done to the letter, or not at all.

use bedplate::sandbox::Suite;

use super::support::Rig;

const PLAYBOOK: &str = "[[task]]\nname = \"motd\"\n[task.file]\npath = \"/etc/motd\"\ncontent = \"kept\\n\"\n\
    [[task]]\nname = \"issue\"\n[task.file]\npath = \"/etc/issue\"\ncontent = \"kept too\\n\"\n\
    [[task]]\nname = \"unit\"\n[task.service]\nunit = \"ssh.service\"\n";

const SAVE: [&str; 4] = ["--tags", "own", "--save", "plan.json"];
const PLAN: [&str; 4] = ["--tags", "own", "--plan", "plan.json"];

/// Both files as they are, and whether the run left word of itself.
fn state(rig: &Rig) -> String {
    rig.inside("cat /etc/motd /etc/issue; cat /var/lib/bedplate/journal.jsonl 2>/dev/null | wc -l")
}

#[test]
fn a_saved_plan_is_done_to_the_letter_or_not_at_all() {
    let rig = Rig::up(Suite::Bookworm);
    rig.write("playbooks/95-own.toml", PLAYBOOK);
    rig.inside("echo old >/etc/motd; echo old >/etc/issue");
    rig.run("check", &SAVE).exits(2).complains("saved in plan.json");
    let bare = state(&rig);

    // What was planned on is gone.
    rig.inside("echo newer >/etc/motd");
    let before = state(&rig);
    let moved = rig.run("apply", &PLAN).exits(4);
    moved.complains("has moved on since the plan was saved").complains("`motd`").complains("nothing was changed");
    assert_eq!(state(&rig), before, "something was done all the same");
    rig.inside("echo old >/etc/motd");
    assert_eq!(state(&rig), bare);

    // A file that says otherwise leads nowhere.
    let plan = rig.read("plan.json");
    rig.write("plan.json", &plan.replace("kept too", "kept two"));
    rig.run("apply", &PLAN).exits(4).complains("`issue`");
    assert_eq!(state(&rig), bare, "an edited plan was followed");
    rig.write("plan.json", &plan);

    // Nor does one of other playbooks.
    rig.write("playbooks/95-own.toml", &PLAYBOOK.replace("kept too", "kept two"));
    rig.run("apply", &PLAN).exits(4).complains("are not those that it was made of");
    rig.write("playbooks/95-own.toml", PLAYBOOK);
    assert_eq!(state(&rig), bare);

    // As it was planned, it is done; once.
    rig.run("apply", &PLAN).exits(0);
    assert!(state(&rig).starts_with("kept\nkept too\n1"), "{}", state(&rig));
    rig.run("apply", &PLAN).exits(4).complains("`motd`");
    rig.run("check", &["--tags", "own"]).exits(0);
}
