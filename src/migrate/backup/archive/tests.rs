//! Archives as GNU tar makes them of trees with all that is hard to copy, beside what a host says of the same trees.

use std::path::Path;
use std::process::Command;

use super::*;

/// What a host says of a tree: the digest, and its entries.
fn on_host(root: &Path) -> (String, Tree) {
    let state = tempfile::tempdir().unwrap();
    let text = include_str!("../../manifest.sh").replace("/var/lib/bedplate/migrate", state.path().to_str().unwrap());
    let script = format!(
        "{}{text}manifest_take x \"$1\" 0 >/dev/null; cat {}/x.manifest",
        crate::shell::PRELUDE.text,
        state.path().display()
    );
    let output = Command::new("dash").arg("-c").arg(script).arg("sh").arg(root).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (crate::base::Digest::of(&output.stdout).as_str().to_owned(), Tree::of_host(&output.stdout).unwrap())
}

fn shell(folder: &Path, line: &str) {
    let ran = Command::new("bash").args(["-ec", line]).current_dir(folder).env("LC_ALL", "C").output().unwrap();
    assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A tree with all that is hard to copy, and its archive, made as a host makes it.
fn packed(more: &str) -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    shell(
        folder.path(),
        "mkdir -p tree/deep/er tree/empty && cd tree && echo 1 >deep/one && ln deep/one two && ln deep/one 'a!' && ln -s deep/one soft && \
         ln -s 'x//y' slashes && ln soft hard-soft && printf 'a\\nb' >\"$(printf 'line\\nbreak')\" && printf c >\"$(printf 'r\\351sum\\351')\" && \
         mkdir \"$(printf '%0120d' 7)\" && echo long >\"$(printf '%0120d/%0120d' 7 8)\" && : >nothing && mkfifo pipe && chmod 2750 deep && chmod 4711 two && \
         truncate -s 20M sparse && printf x | dd of=sparse bs=1 seek=9000001 conv=notrunc status=none && truncate -s 3M hollow && \
         head -c 70001 /dev/zero | tr '\\0' q >odd-size && (setfattr -n user.lines -v \"$(printf 'a\\nb\\n12 path=evil\\n')\" odd-size || echo 'no attributes here')",
    );
    shell(folder.path(), &format!("cd tree; {more}"));
    shell(
        folder.path(),
        "find tree ! -type s -printf './%P\\0' >list && tar --create --format=posix --numeric-owner --acls --xattrs '--xattrs-include=*' --sparse \
         --no-recursion --null --verbatim-files-from --file=archive '--use-compress-program=gzip -1' -C tree -T list",
    );
    let bytes = std::fs::read(folder.path().join("archive")).unwrap();
    (folder, bytes)
}

#[test]
fn an_archive_has_the_digest_of_its_tree() {
    let (folder, archive) = packed("true");
    let (digest, host) = on_host(&folder.path().join("tree"));
    let tree = read_compressed(archive.as_slice(), false).unwrap();
    assert_eq!(differences(&tree, &host, &host, &BTreeMap::new()), Differences::default());
    assert_eq!(tree.entries, host.entries);
    assert_eq!((tree.digest(), host.digest()), (digest.clone(), digest));
    let leader = |name: &str| tree.entries.iter().find(|entry| entry.name == name.as_bytes()).unwrap().leader.clone();
    assert_eq!(
        [leader("two"), leader("deep/one"), leader("odd-size")].map(|name| String::from_utf8(name).unwrap()),
        ["a!", "a!", ""]
    );
}

/// What is in a compressed stream, if it is whole.
fn unpacked(archive: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(archive), &mut bytes).ok()?;
    Some(bytes)
}

#[test]
fn a_cut_or_altered_archive_is_refused() {
    let (_folder, archive) = packed("head -c 300000 /dev/urandom >noise");
    read_compressed(archive.as_slice(), false).unwrap();
    for length in (0..archive.len()).step_by(archive.len() / 37) {
        assert!(read_compressed(&archive[..length], false).is_err(), "cut to {length} of {}", archive.len());
    }
    let (mut same, whole) = (0, read_compressed(archive.as_slice(), false).unwrap().digest());
    for at in (20..archive.len()).step_by(archive.len() / 37) {
        let mut altered = archive.clone();
        altered[at] ^= 4;
        // Some bits of a compressed stream stand for nothing.
        let says_the_same = unpacked(&altered).is_some_and(|bytes| Some(bytes) == unpacked(&archive));
        match read_compressed(altered.as_slice(), false) {
            Ok(tree) if tree.digest() == whole && !says_the_same => same += 1,
            _ => {}
        }
    }
    assert_eq!(same, 0, "an altered archive passes");
}

#[test]
fn a_name_that_leads_out_of_the_tree_is_refused() {
    let (folder, _) = packed("true");
    shell(
        folder.path(),
        "tar --create --format=posix --absolute-names --file=out --transform 's,^tree/two,../two,' tree/two",
    );
    let error = read(&mut std::fs::read(folder.path().join("out")).unwrap().as_slice(), false).unwrap_err();
    assert!(error.to_string().contains("leads out of its tree"), "{error}");
}

#[test]
fn a_name_that_leads_through_a_link_is_refused() {
    let (folder, _) = packed("true");
    // The link of one tree, and a file below a folder of that name of another.
    shell(folder.path(), "mkdir -p one two/way && ln -s / one/way && echo x >two/way/out && echo x >two/way.txt");
    shell(folder.path(), "tar --create --format=posix --file=out -C one ./way -C ../two ./way.txt ./way/out");
    let error = read(&mut std::fs::read(folder.path().join("out")).unwrap().as_slice(), false).unwrap_err();
    assert!(error.to_string().contains("`way/out` lies below `way`, which is no folder"), "{error}");
    let names: Vec<&[u8]> = above(b"a/b/c").collect();
    assert_eq!(names, [&b"a/b"[..], b"a"]);
}

#[test]
fn what_changed_meanwhile_is_told_and_what_lacks_is_an_error() {
    let (folder, archive) = packed("printf 'SQLite format 3\\0%0200d' 5 >base && printf x >still");
    let tree = read_compressed(archive.as_slice(), false).unwrap();
    assert_eq!(tree.databases, [b"base".to_vec()]);
    let root = folder.path().join("tree");
    let (_, before) = on_host(&root);
    // A file that the archive has as it was before is no torn one.
    shell(&root, "echo new >nothing");
    let (_, after) = on_host(&root);
    assert_eq!(differences(&tree, &before, &after, &BTreeMap::new()), Differences::default());
    assert_eq!(differences(&tree, &after, &after, &BTreeMap::new()).in_use, ["nothing"]);
    // A database that was written to is not whole because its file was caught at one of its ends.
    shell(&root, "echo more >>base");
    let (_, later) = on_host(&root);
    assert_eq!(differences(&tree, &before, &later, &BTreeMap::new()).in_use, ["base"]);
    let staged = |sum: &str| BTreeMap::from([(b"base".to_vec(), sum.to_owned())]);
    let sum = tree.entries.iter().find(|entry| entry.name == b"base").unwrap().sum.clone();
    assert_eq!(differences(&tree, &before, &later, &staged(&sum)).in_use, Vec::<String>::new());
    assert_eq!(differences(&tree, &before, &before, &staged("0")).in_use, ["base"]);
    let less = tree.without(|entry| entry.name == b"still");
    assert_eq!(differences(&less, &before, &before, &BTreeMap::new()).missing, ["still"]);
    assert_ne!(less.digest(), tree.digest());
}

#[test]
fn a_tree_may_be_one_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("the file"), "x").unwrap();
    shell(
        folder.path(),
        "tar --create --format=posix --file=archive './the file' && tar --create --format=posix --file=two './the file' archive",
    );
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let tree = read(&mut bytes("archive").as_slice(), true).unwrap();
    assert_eq!(tree.digest(), on_host(&folder.path().join("the file")).0);
    assert!(read(&mut bytes("two").as_slice(), true).is_err());
}
