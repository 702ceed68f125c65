//! The functions that a host is asked, run by a shell here.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::tools;

/// Runs a line behind the functions, and gives what it prints.
fn run(folder: &Path, line: &str) -> (bool, String) {
    let place = folder.join("place");
    let state = folder.join("state");
    fs::create_dir_all(&state).unwrap();
    let text = BACKUP.text.replace(PLACE, place.to_str().unwrap());
    let text = text.replace("/var/lib/bedplate", state.to_str().unwrap());
    let script = format!("{}{text}{line}", crate::shell::PRELUDE.text);
    // A group of its own: what goes down in it takes nobody else along.
    let mut command = Command::new("dash");
    command.arg("-c").arg(script).current_dir(folder).env("LC_ALL", "C").process_group(0);
    let ran = command.output().unwrap();
    (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A folder with three trees that are staged: one in the place of another, one of a mount point, one that is a file.
fn staged() -> tempfile::TempDir {
    let all = tempfile::tempdir().unwrap();
    let at = |path: &str| all.path().join(path);
    write(&at("one/old"), "old");
    write(&at(".bedplate-restore-1/tree/new"), "new");
    write(&at("two/old"), "old");
    write(&at("two/lost+found/x"), "");
    write(&at("two/.bedplate-restore/tree/new"), "new");
    write(&at("two/.bedplate-restore/tree/lost+found/y"), "");
    write(&at("base.db"), "old");
    write(&at("base.db-wal"), "old log");
    write(&at(".bedplate-restore-3/tree/base.db"), "new");
    all
}

const TREES: &str = "\"$PWD/one\" \"$PWD/.bedplate-restore-1\" beside '' \"$PWD/two\" \"$PWD/two/.bedplate-restore\" inside '' \
                     \"$PWD/base.db\" \"$PWD/.bedplate-restore-3\" beside base.db";

/// All files below, with what is in them.
fn files(folder: &Path) -> Vec<String> {
    let ran = Command::new("sh")
        .args(["-c", "find . -type f | LC_ALL=C sort | xargs grep -H ''"])
        .current_dir(folder)
        .output();
    String::from_utf8(ran.unwrap().stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn data_is_exchanged_and_what_was_there_is_kept() {
    let all = staged();
    let (good, said) = run(all.path(), &format!("restore_swap_now T {TREES}"));
    assert!(good, "{said}");
    let expected = [
        "./base.db:new",
        "./base.db.bedplate-before-T:old",
        "./base.db.bedplate-before-T-wal:old log",
        "./one.bedplate-before-T/old:old",
        "./one/new:new",
        "./two/.bedplate-before-T/old:old",
        "./two/new:new",
    ];
    assert_eq!(files(all.path()), expected);
    let words = "T \"$PWD/one\" beside \"$PWD/two\" inside \"$PWD/base.db\" beside";
    let (_, kept) = run(all.path(), &format!("restore_kept {words}"));
    assert_eq!(kept.lines().count(), 3, "{kept}");
    assert!(run(all.path(), &format!("restore_drop {words}")).0);
    assert_eq!(files(all.path()), ["./base.db:new", "./one/new:new", "./two/new:new"]);
}

#[test]
fn an_exchange_that_fails_puts_all_back() {
    // Whichever fails, by what was staged being gone.
    for gone in [".bedplate-restore-1/tree", "two/.bedplate-restore/tree", ".bedplate-restore-3/tree/base.db"] {
        let all = staged();
        let place = all.path().join(gone);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap()
        } else {
            fs::remove_file(&place).unwrap()
        }
        let before = files(all.path());
        let (good, said) = run(all.path(), &format!("restore_swap_now T {TREES}"));
        assert!(!good && said.contains("has been put back"), "{said}");
        assert_eq!(files(all.path()), before, "{gone} is gone: {said}");
    }
}

/// A command that kills all that runs with it when it has been asked `after` times: a host that goes down.
fn going_down(folder: &Path, after: usize) -> String {
    let (programs, count) = (folder.join("state/programs"), folder.join("state/count"));
    fs::create_dir_all(&programs).unwrap();
    fs::write(&count, "").unwrap();
    for name in ["mv", "find", "rm", "chown"] {
        let text = format!(
            "#!/bin/sh\necho >>{0}\n[ \"$(wc -l <{0})\" -le {after} ] || kill -9 0\nexec /usr/bin/{name} \"$@\"\n",
            count.display()
        );
        write(&programs.join(name), &text);
        fs::set_permissions(programs.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    format!("PATH={}:$PATH; restore_swap_now T {TREES}", programs.display())
}

#[test]
fn an_exchange_that_the_host_goes_down_in_is_taken_back_whole() {
    let mut cuts = 0;
    for after in 0.. {
        let all = staged();
        let before = files(all.path());
        let before: Vec<&String> = before.iter().filter(|line| !line.contains(".bedplate-restore")).collect();
        let (good, said) = run(all.path(), &going_down(all.path(), after));
        if good {
            assert!(!all.path().join("state/exchange").exists());
            break;
        }
        cuts += 1;
        let is_begun = all.path().join("state/exchange").exists();
        // Taking it back may be cut as well.
        let again = going_down(all.path(), after % 3).replace(&format!("restore_swap_now T {TREES}"), "restore_settle");
        run(all.path(), &again);
        let (good, settled) = run(all.path(), "restore_settle");
        assert!(good, "{after}: {said} {settled}");
        let now = files(all.path());
        let now: Vec<&String> =
            now.iter().filter(|line| !line.contains(".bedplate-restore") && !line.starts_with("./state/")).collect();
        // What was done before it was written down as begun, or after it was as done, is all or nothing too.
        let done = now.iter().any(|line| line.ends_with("one/new:new"));
        assert!(now == before || (done && !is_begun), "{after}: {now:?}");
    }
    assert!(cuts > 10, "only {cuts}");
}

#[test]
fn what_can_not_be_put_back_is_not_swept_away() {
    let all = staged();
    let before = files(all.path());
    let at = |path: &str| all.path().join(path);
    // It went down behind the first exchange, and the place of what was there is taken by something else meanwhile.
    let (good, said) = run(all.path(), &going_down(all.path(), 2));
    assert!(!good && at("one.bedplate-before-T/old").exists() && !at("one").exists(), "{said}");
    write(&at("one/other"), "other");
    write(&at("state/restoring"), &format!("{}\n", at(".bedplate-restore-1").display()));
    let (good, said) = run(all.path(), "restore_sweep");
    assert!(!good && said.contains("can not be put back") && said.contains("/one"), "{said}");
    assert!(at("state/exchange").exists() && at(".bedplate-restore-1/tree/new").exists());
    fs::remove_dir_all(at("one")).unwrap();
    let (good, said) = run(all.path(), "restore_sweep");
    assert!(good && said.contains("put back as it was before"), "{said}");
    assert!(!at(".bedplate-restore-1").exists() && !at("state/exchange").exists());
    let now = files(all.path());
    let kept = |line: &&String| !line.contains(".bedplate-restore") && !line.starts_with("./state/");
    assert_eq!(now.iter().filter(kept).collect::<Vec<_>>(), before.iter().filter(kept).collect::<Vec<_>>());
}

#[test]
fn an_exchange_that_goes_on_is_waited_for() {
    let all = tempfile::tempdir().unwrap();
    let sleeps = |most: usize| {
        let line = format!(
            ": >state/exchange; n=0; sleep() {{ n=$((n + 1)); [ $n -lt {most} ] || rm -f state/exchange; }}; restore_wait && echo $n"
        );
        run(all.path(), &line)
    };
    assert_eq!(sleeps(5), (true, "5\n".to_owned()));
    let (good, said) = sleeps(601);
    assert!(!good && said.contains("still being exchanged"), "{said}");
}

#[test]
fn an_empty_folder_is_not_kept() {
    let all = staged();
    fs::remove_file(all.path().join("one/old")).unwrap();
    let (good, said) = run(all.path(), "restore_swap_now T \"$PWD/one\" \"$PWD/.bedplate-restore-1\" beside ''");
    assert!(good, "{said}");
    assert!(!all.path().join("one.bedplate-before-T").exists() && all.path().join("one/new").exists());
}

#[test]
fn what_is_packed_leaves_out_what_belongs_to_a_copied_database() {
    let all = tempfile::tempdir().unwrap();
    for name in
        ["a", "sub/base", "sub/base-wal", "sub/base-shm", "sub/base-journal", "base-wal", ".bedplate-before-1/x", "[x]"]
    {
        write(&all.path().join("tree").join(name), "");
    }
    assert!(Command::new("mkfifo").arg(all.path().join("tree/pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(all.path().join("tree/socket")).unwrap();
    let list = |line: &str| {
        let (good, said) = run(all.path(), &format!("backup_place; backup_list k \"$PWD/tree\" {line}"));
        assert!(good, "{said}");
        let read = |end: &str| {
            let text = fs::read_to_string(all.path().join(format!("place/k.{end}"))).unwrap();
            let mut names: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
            names.sort();
            names
        };
        (read("list"), read("staged.list"))
    };
    let (live, staged) = list("'' sub/base");
    assert_eq!(live, ["./", "./[x]", "./a", "./base-wal", "./pipe", "./sub"]);
    assert_eq!(staged, ["./sub/base"]);
    assert_eq!(list("''").0.len(), 10);
    assert_eq!(list("a"), (vec!["./a".to_owned()], Vec::new()));
    assert_eq!(list("a a"), (Vec::new(), vec!["./a".to_owned()]));
}

#[test]
fn a_database_is_copied_while_somebody_writes_to_it() {
    tools::need("sqlite3", "sqlite3");
    let all = tempfile::tempdir().unwrap();
    let base = all.path().join("base");
    // A writer in the middle of a transaction, its earlier rows in the log alone.
    let mut writer = Command::new("sqlite3")
        .arg(&base)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = writer.stdin.take().unwrap();
    let text = "pragma journal_mode=wal; pragma wal_autocheckpoint=0; create table t (n); insert into t values (1), (2);\n\
                begin; insert into t values (3); select 'so far';\n";
    keys.write_all(text.as_bytes()).unwrap();
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(writer.stdout.take().unwrap()));
    // What it prints comes at its end, so the log is looked at.
    let log = all.path().join("base-wal");
    let until = Instant::now() + Duration::from_secs(20);
    while fs::metadata(&log).map_or(0, |facts| facts.len()) < 8192 {
        assert!(Instant::now() < until, "the writer does not write");
        std::thread::yield_now();
    }
    let (good, answer) = run(all.path(), "backup_place; backup_database k \"$PWD\" base");
    let fields: Vec<&str> = answer.split('\0').collect();
    assert!(good && fields[..2] == ["taken", "ok"], "{answer:?}");
    let copy = all.path().join("place/k.staged/base");
    assert_eq!(fields[2], crate::base::Digest::of(fs::read(&copy).unwrap()).as_str());
    let rows = Command::new("sqlite3").arg(&copy).arg("select n from t").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&rows.stdout), "1\n2\n");
    drop(keys);
    assert!(said.any(|line| line.unwrap() == "so far"));
    assert!(writer.wait().unwrap().success());
    // What only looks like one is told, and left to be taken as a file.
    write(&base, &format!("SQLite format 3\0{}", "x".repeat(200)));
    let _ = fs::remove_file(&log);
    let (good, answer) = run(all.path(), "backup_place; backup_database k \"$PWD\" base");
    assert!(good && answer.starts_with("SQLite can not copy it"), "{answer:?}");
    assert!(!copy.exists());
}
