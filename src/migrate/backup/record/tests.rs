//! Folders of backups: made, damaged, and grown old.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A backup of `host` with one archive, made at `stamp`.
fn made(parent: &Path, host: &str, stamp: &str) -> PathBuf {
    let filling = Filling::begin(parent, host, stamp).unwrap();
    let tree = tempfile::tempdir().unwrap();
    fs::write(tree.path().join("file"), stamp.repeat(4000)).unwrap();
    let archive = filling.path("01-tree.tar.gz");
    filling.file("01-tree.tar.gz").unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.args(["--create", "--gzip", "--format=posix", "-C"]).arg(tree.path()).arg("--file").arg(&archive).arg(".");
    assert!(tar.status().unwrap().success());
    let (sum, found) = examine(File::open(&archive).unwrap(), false);
    let mut manifest = Manifest::new(host, "SHA256:x", stamp, false, "0");
    manifest.trees.push(Saved {
        what: "tree".into(),
        path: "/srv/tree".into(),
        archive: "01-tree.tar.gz".into(),
        sha256: sum.unwrap(),
        size: fs::metadata(&archive).unwrap().len(),
        digest: found.unwrap().digest(),
        ..Saved::default()
    });
    filling.finish(&manifest).unwrap()
}

fn names(parent: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_is_private_and_can_be_checked_by_others() {
    let parent = tempfile::tempdir().unwrap();
    let folder = made(parent.path(), "web1", "20260101-000000");
    assert_eq!(names(parent.path()), ["web1-20260101-000000"]);
    assert_eq!(names(&folder), ["01-tree.tar.gz", "SHA256SUMS", "manifest.json"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in names(&folder) {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
    let checked = std::process::Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(&folder).output();
    assert_eq!(String::from_utf8_lossy(&checked.unwrap().stdout), "manifest.json: OK\n01-tree.tar.gz: OK\n");
    let manifest = read(&folder).unwrap();
    prove(&folder, &manifest.trees[0]).unwrap();
}

#[test]
fn a_truncated_altered_or_missing_part_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = made(parent.path(), "web1", "20260101-000000");
    let tree = read(&folder).unwrap().trees.remove(0);
    let archive = folder.join(&tree.archive);
    let whole = fs::read(&archive).unwrap();
    fs::write(&archive, &whole[..whole.len() - 1]).unwrap();
    assert!(prove(&folder, &tree).unwrap_err().contains("is truncated"));
    for at in [4, whole.len() / 2, whole.len() - 1] {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        fs::write(&archive, altered).unwrap();
        assert!(prove(&folder, &tree).unwrap_err().contains("is altered"), "at {at}");
    }
    fs::remove_file(&archive).unwrap();
    assert!(prove(&folder, &tree).unwrap_err().contains("is missing"));
    fs::write(&archive, &whole).unwrap();
    // An archive that is sound, and not the one of this tree.
    assert!(
        prove(&folder, &Saved { digest: "0".repeat(64), ..tree.clone() }).unwrap_err().contains("not what was written")
    );
    let manifest = folder.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("/srv/tree", "/etc")).unwrap();
    assert!(read(&folder).unwrap_err().contains("is not as it was written"));
    fs::remove_file(&manifest).unwrap();
    assert!(read(&folder).unwrap_err().contains("is missing"));
}

#[test]
fn a_manifest_of_another_form_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = made(parent.path(), "web1", "20260101-000000");
    let rewrite = |from: &str, to: &str| {
        let text = fs::read_to_string(folder.join(MANIFEST)).unwrap();
        assert!(text.contains(from), "{text}");
        let text = text.replace(from, to);
        fs::write(folder.join(SUMS), format!("{}  {MANIFEST}\n", sum_of(&mut text.as_bytes()).unwrap().0)).unwrap();
        fs::write(folder.join(MANIFEST), text).unwrap();
    };
    rewrite("01-tree.tar.gz", "../other");
    assert!(read(&folder).unwrap_err().contains("names ../other"));
    rewrite("../other", "01-tree.tar.gz");
    rewrite("/srv/tree", "/srv/../etc");
    assert!(read(&folder).unwrap_err().contains("at /srv/../etc"));
    rewrite("\"version\": 1", "\"version\": 2");
    assert!(read(&folder).unwrap_err().contains("this bedplate knows 1"));
}

#[test]
fn a_manifest_of_the_first_bedplate_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{"version": 1, "bedplate": "0.1.0", "host": "web1", "host_key": "SHA256:x", "taken": "2026-11-23T19:49:26Z",
        "stopped": false, "left": [], "trees": [{"what": "certificates of kamal-proxy", "volume": {"name": "kamal-proxy-config",
        "driver": "local", "below": "certs"}, "path": "/v/certs", "file": false, "archive": "01-x.tar.gz", "sha256": "0",
        "size": 1, "used": 2, "entries": 3, "bytes": 4, "digest": "0"}]}"#;
    fs::write(folder.path().join(MANIFEST), text).unwrap();
    fs::write(folder.path().join(SUMS), format!("{}  {MANIFEST}\n", sum_of(&mut text.as_bytes()).unwrap().0)).unwrap();
    let manifest = read(folder.path()).unwrap();
    assert_eq!(manifest.trees[0].volume.as_ref().unwrap().owner, "");
    assert!(matches!(manifest.trees[0].to(), To::Volume { below, .. } if below == "certs"));
}

#[test]
fn the_oldest_go_and_nothing_else() {
    let parent = tempfile::tempdir().unwrap();
    let stamps = ["20260101-000000", "20260102-000000", "20260103-000000", "20260104-000000"];
    let all: Vec<PathBuf> = stamps.iter().map(|stamp| made(parent.path(), "web1", stamp)).collect();
    made(parent.path(), "web10", "20250101-000000");
    made(parent.path(), "web1-20250101-000000", "20250101-000000");
    fs::create_dir(parent.path().join("web1-20250101-000001")).unwrap();
    fs::write(parent.path().join("web1-20250101-000002"), "x").unwrap();
    // Of another host by its manifest, whatever its name.
    fs::rename(made(parent.path(), "web2", "20250101-000003"), parent.path().join("web1-20250101-000003")).unwrap();
    // Of that name, and another machine by its key.
    let other = made(parent.path(), "web1", "20250101-000004");
    for name in [MANIFEST, SUMS] {
        let text = fs::read_to_string(other.join(name)).unwrap().replace("SHA256:x", "SHA256:y");
        fs::write(other.join(name), text).unwrap();
    }
    let text = fs::read(other.join(MANIFEST)).unwrap();
    fs::write(other.join(SUMS), format!("{}  {MANIFEST}\n", sum_of(&mut text.as_slice()).unwrap().0)).unwrap();
    // Somebody keeps something of theirs in it.
    fs::write(all[0].join("notes"), "x").unwrap();
    let retired = retire(parent.path(), &all[3], 2).unwrap();
    assert_eq!(retired.removed, ["web1-20260102-000000"]);
    let told = [
        ("web1-20250101-000004", "it is of a host with another key"),
        ("web1-20260101-000000", "notes in it is not of the backup"),
    ];
    assert_eq!(retired.left, told.map(|(name, why)| (name.to_owned(), why.to_owned())));
    let left = [
        "web1-20250101-000000-20250101-000000",
        "web1-20250101-000001",
        "web1-20250101-000002",
        "web1-20250101-000003",
        "web1-20250101-000004",
        "web1-20260101-000000",
        "web1-20260103-000000",
        "web1-20260104-000000",
        "web10-20250101-000000",
    ];
    assert_eq!(names(parent.path()), left);
    // The newest stays, whatever is asked.
    assert_eq!(retire(parent.path(), &all[3], 0).unwrap().removed, ["web1-20260103-000000"]);
    assert!(all[3].join(MANIFEST).exists());
}

#[test]
fn what_is_not_done_does_not_count_and_goes_away() {
    let parent = tempfile::tempdir().unwrap();
    let filling = Filling::begin(parent.path(), "web1", "20260101-000000").unwrap();
    filling.file("x").unwrap().write_all(b"x").unwrap();
    assert_eq!(names(parent.path()), [".web1-20260101-000000.part"]);
    drop(filling);
    assert_eq!(names(parent.path()), Vec::<String>::new());
    // A run that was killed has left its own; that of another host is not this one's.
    for name in [".web1-20260101-000000.part", ".web10-20260101-000000.part", ".web1-mine.part"] {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    made(parent.path(), "web1", "20260101-000001");
    assert_eq!(names(parent.path()), [".web1-mine.part", ".web10-20260101-000000.part", "web1-20260101-000001"]);
}

#[test]
fn what_another_run_is_filling_stays() {
    let parent = tempfile::tempdir().unwrap();
    let filling = Filling::begin(parent.path(), "web1", "20260101-000000").unwrap();
    filling.file("x").unwrap().write_all(b"x").unwrap();
    // Another host of that name.
    made(parent.path(), "web1", "20260101-000001");
    assert_eq!(names(parent.path()), [".web1-20260101-000000.part", "web1-20260101-000001"]);
    assert_eq!(fs::read(filling.path("x")).unwrap(), b"x");
}

#[test]
fn names_of_hosts_and_trees_become_names_of_files() {
    assert_eq!(folder_name("root@[2001:db8::5]:22", "20260101-000000"), "root__2001_db8__5__22-20260101-000000");
    assert_eq!(file_name("/srv/../etc of shop"), "srv_.._etc_of_shop");
    assert_eq!(file_name("..x"), "x");
}

#[test]
fn a_folder_that_can_not_be_written_to_is_no_place() {
    let parent = tempfile::tempdir().unwrap();
    assert!(room(parent.path()).unwrap() > 0);
    assert_eq!(names(parent.path()), Vec::<String>::new());
    assert!(room(&parent.path().join("nowhere")).is_err());
}
