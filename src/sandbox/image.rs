//! The base images: a fresh Debian as a provider would hand it over, built once per release and recipe, then copied.

use std::fs::{self, File};
use std::net::ToSocketAddrs as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Suite;
use super::apt::{self, Mirror};
use super::command::{command, output, run};
use super::error::{Doing as _, Error, Result, last_lines};
use crate::base::Digest;

/// What a provider's image has beyond `minbase`, and no more: no sudo, curl, python3 or ufw.
const PACKAGES: &str = "systemd-sysv,dbus,libpam-systemd,openssh-server,ca-certificates,iproute2,procps,netbase,tzdata,kmod,e2fsprogs,adduser";

const EARLY_SCRIPT: &str = include_str!("early.sh");
const EARLY_UNIT: &str = include_str!("early.service");

const MERGE_SCRIPT: &str = include_str!("merge.sh");

/// Units that would reach out of the box: the kernel's debugging file systems are the machine's.
const MASKED: [&str; 2] = ["sys-kernel-debug.mount", "sys-kernel-tracing.mount"];

/// A user's manager that hangs while it stops would hold back that user's next login for 90 s.
const USER_MANAGER: &str = "[Service]\nTimeoutStopSec=2s\n";

/// MiB that building an image takes at its peak.
const BUILD_MIB: u64 = 1200;

/// MiB that a box takes before anything is installed in it.
const BOX_MIB: u64 = 400;

/// An image is removed once a newer recipe is built and it was not used for this long.
const KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// An image that may be copied for as long as this value lives.
pub(super) struct Image {
    /// The tree.
    pub(super) tree: PathBuf,
    _lock: File,
}

/// Gives the image of `suite`, building it when it is not there. Of several processes one builds and the others wait.
pub(super) fn ensure(suite: Suite, cache: &Path, say: &dyn Fn(&str)) -> Result<Image> {
    let images = cache.join("images");
    fs::create_dir_all(&images).doing(|| format!("can not make {}", images.display()))?;
    let source = Source::of_this_machine()?;
    let name = format!("{}-{}", suite.codename(), recipe(suite, &source).short());
    let tree = images.join(&name);
    let lock_path = images.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).doing(|| format!("can not make {}", lock_path.display()))?;
    loop {
        lock.lock_shared().doing(|| format!("can not lock {}", lock_path.display()))?;
        if tree.exists() {
            // The time of the lock file tells when the image was last used.
            let _ = lock.set_modified(SystemTime::now());
            return Ok(Image { tree, _lock: lock });
        }
        lock.unlock().and_then(|()| lock.lock()).doing(|| format!("can not lock {}", lock_path.display()))?;
        if !tree.exists() {
            require_space(&images, BUILD_MIB)?;
            say(&format!("building the image of {suite} (once, about 30 s)"));
            build(suite, &source, &images, &tree)?;
            prune(&images, &name);
        }
        lock.unlock().doing(|| format!("can not unlock {}", lock_path.display()))?;
    }
}

/// Copies the image to `root`.
pub(super) fn copy(image: &Image, root: &Path) -> Result<()> {
    require_space(&image.tree, BOX_MIB)?;
    run(&["cp", "-a", "--reflink=auto", "--", &image.tree.to_string_lossy(), &root.to_string_lossy()]).map(drop)
}

/// Where packages come from on this machine.
struct Source {
    mirrors: Vec<Mirror>,
    settings: Vec<String>,
}

impl Source {
    fn of_this_machine() -> Result<Self> {
        let mut entries = apt::one_line_entries(&fs::read_to_string("/etc/apt/sources.list").unwrap_or_default());
        let mut parts: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
            .map(|directory| directory.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        parts.sort();
        for path in parts {
            let text = || fs::read_to_string(&path).unwrap_or_default();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("list") => entries.extend(apt::one_line_entries(&text())),
                Some("sources") => entries.extend(apt::deb822_entries(&text())),
                _ => {}
            }
        }
        let settings = apt::fetch_settings(&run(&["apt-config", "dump"])?);
        Ok(Self { mirrors: apt::mirrors(&entries), settings })
    }

    /// The host of `mirror`, when it has no address: apt would take minutes to find that out, once for each file.
    /// Behind a proxy it need not have one.
    fn unknown_host(&self, mirror: &Mirror) -> Option<String> {
        if self.settings.iter().any(|line| line.contains("::Proxy")) {
            return None;
        }
        let (host, port) = authority(&mirror.main)?;
        (host.as_str(), port).to_socket_addrs().is_err().then_some(host)
    }
}

/// What a killed build left. Whoever calls holds the image's lock, so no other builds it now.
fn remove_abandoned(images: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(images) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        // That it stays is no reason not to build.
        let _ = run(&["rm", "-rf", "--one-file-system", "--", &entry.path().to_string_lossy()]);
    }
}

/// The host and port of a URL.
fn authority(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?.rsplit('@').next()?;
    let default = if scheme == "https" { 443 } else { 80 };
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.trim_matches(['[', ']']).to_owned(), default)),
    }
}

/// Names everything that an image depends on, so that a change of it builds a new one.
fn recipe(suite: Suite, source: &Source) -> Digest {
    let parts = format!(
        "2\n{}\n{PACKAGES}\n{MERGE_SCRIPT}\n{EARLY_SCRIPT}\n{EARLY_UNIT}\n{USER_MANAGER}\n{MASKED:?}\n{:?}\n{:?}\n",
        suite.codename(),
        source.mirrors,
        source.settings
    );
    Digest::of(parts)
}

fn build(suite: Suite, source: &Source, images: &Path, tree: &Path) -> Result<()> {
    let prefix = format!(".build-{}-", tree.file_name().unwrap_or_default().to_string_lossy());
    remove_abandoned(images, &prefix);
    let work = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(images)
        .doing(|| format!("can not make a directory in {}", images.display()))?;
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))
        .doing(|| format!("can not open {}", work.path().display()))?;
    let (root, merge) = (work.path().join("root"), work.path().join("merge.sh"));
    put(work.path(), "merge.sh", MERGE_SCRIPT)?;
    fs::set_permissions(&merge, fs::Permissions::from_mode(0o755))
        .doing(|| format!("can not open {}", merge.display()))?;
    // What the first mirror said is told: it is this machine's own.
    let mut first: Option<String> = None;
    for mirror in &source.mirrors {
        if let Some(host) = source.unknown_host(mirror) {
            first.get_or_insert(format!("the name {host} can not be resolved"));
            continue;
        }
        let list = work.path().join("sources.list");
        fs::write(&list, mirror.sources(suite)).doing(|| format!("can not write {}", list.display()))?;
        let include = format!("--include={PACKAGES}");
        let mut words = vec!["mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory"];
        words.push(&include);
        let hook = format!("--setup-hook={}", merge.display());
        if suite == Suite::Bullseye {
            words.push(&hook);
        }
        let settings: Vec<String> = source.settings.iter().map(|line| format!("--aptopt={line}")).collect();
        words.extend(settings.iter().map(String::as_str));
        let (root_text, list_text) = (root.to_string_lossy(), list.to_string_lossy());
        words.extend([suite.codename(), &*root_text, &*list_text]);
        let built = output(command(&words).env("TMPDIR", work.path()))?;
        if built.success() {
            finish(suite, mirror, source, &root)?;
            return fs::rename(&root, tree).doing(|| format!("can not name the image {}", tree.display()));
        }
        let said = last_lines(&built.stderr, 6);
        if !is_mirror_fault(&built.stderr) {
            return Err(Error::ImageFailed { suite, said });
        }
        first.get_or_insert(said);
        // What a failed try left would stop the next one.
        let _ = run(&["rm", "-rf", "--", &root_text]);
    }
    let tried = source.mirrors.iter().map(|mirror| mirror.main.clone()).collect();
    Err(Error::MirrorUnreachable { suite, tried, said: first.unwrap_or_default() })
}

/// Whether another mirror may do better.
fn is_mirror_fault(said: &str) -> bool {
    const FAULTS: [&str; 8] = [
        "Could not resolve",
        "Temporary failure resolving",
        "Failed to fetch",
        "Unable to connect",
        "Could not connect",
        "does not have a Release file",
        "no longer has a Release file",
        "404  Not Found",
    ];
    FAULTS.iter().any(|fault| said.contains(fault))
}

/// Takes away what must differ from box to box, and adds what a container lacks.
fn finish(suite: Suite, mirror: &Mirror, source: &Source, root: &Path) -> Result<()> {
    for directory in ["etc/apt/sources.list.d", "etc/apt/apt.conf.d", "etc/ssh"] {
        for entry in fs::read_dir(root.join(directory)).doing(|| format!("can not read the image's {directory}"))? {
            let entry = entry.doing(|| format!("can not read the image's {directory}"))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("ssh_host_") || name == "99mmdebstrap" || directory.ends_with("sources.list.d") {
                remove(&entry.path())?;
            }
        }
    }
    if suite >= Suite::Trixie {
        remove(&root.join("etc/apt/sources.list"))?;
        put(root, "etc/apt/sources.list.d/debian.sources", &mirror.stanzas(suite))?;
    } else {
        put(root, "etc/apt/sources.list", &mirror.sources(suite))?;
    }
    if !source.settings.is_empty() {
        let lines: String = source.settings.iter().map(|line| format!("{line}\n")).collect();
        put(root, "etc/apt/apt.conf.d/90fetch", &lines)?;
    }
    put(root, "etc/machine-id", "")?;
    put(root, "usr/lib/bedplate-sandbox/early.sh", EARLY_SCRIPT)?;
    put(root, "usr/lib/systemd/system/bedplate-sandbox-early.service", EARLY_UNIT)?;
    put(root, "usr/lib/systemd/system/user@.service.d/50-bedplate-sandbox.conf", USER_MANAGER)?;
    link(
        root,
        "usr/lib/systemd/system/local-fs.target.wants/bedplate-sandbox-early.service",
        "../bedplate-sandbox-early.service",
    )?;
    for unit in MASKED {
        link(root, &format!("etc/systemd/system/{unit}"), "/dev/null")?;
    }
    Ok(())
}

/// Writes a file of a tree, with the directories above it.
pub(super) fn put(root: &Path, path: &str, text: &str) -> Result<()> {
    let path = root.join(path);
    make_parent(&path)?;
    fs::write(&path, text).doing(|| format!("can not write {}", path.display()))
}

fn link(root: &Path, path: &str, target: &str) -> Result<()> {
    let path = root.join(path);
    make_parent(&path)?;
    symlink(target, &path).doing(|| format!("can not link {}", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).doing(|| format!("can not make {}", parent.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("can not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Removes images that no recipe asks for any more. That one stays behind is no reason to fail.
fn prune(images: &Path, newest: &str) {
    let Ok(entries) = fs::read_dir(images) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(image) = name.strip_suffix(".lock").filter(|image| *image != newest) else { continue };
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|used| used.elapsed().is_ok_and(|age| age > KEPT));
        if old && File::open(entry.path()).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = run(&["rm", "-rf", "--", &images.join(image).to_string_lossy()]);
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Errors: less than `need_mib` is free where `path` is.
fn require_space(path: &Path, need_mib: u64) -> Result<()> {
    let free_mib = free_mib(&run(&["df", "-Pk", "--", &path.to_string_lossy()])?).unwrap_or(u64::MAX);
    if free_mib < need_mib {
        return Err(Error::NoSpace { path: path.to_owned(), free_mib, need_mib });
    }
    Ok(())
}

/// The fourth column of `df -Pk` (POSIX), in MiB.
fn free_mib(df: &str) -> Option<u64> {
    df.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source { mirrors: apt::mirrors(&[]), settings: vec!["Acquire::Retries \"3\";".into()] }
    }

    #[test]
    fn a_changed_recipe_is_another_image() {
        let one = recipe(Suite::Bookworm, &source());
        assert_eq!(one, recipe(Suite::Bookworm, &source()));
        assert_ne!(one, recipe(Suite::Trixie, &source()));
        assert_ne!(one, recipe(Suite::Bookworm, &Source { settings: Vec::new(), ..source() }));
    }

    #[test]
    fn the_host_of_a_mirror_is_found_in_every_form() {
        let of = |url| authority(url).map(|(host, port)| format!("{host} {port}"));
        assert_eq!(of("http://a.example/debian").as_deref(), Some("a.example 80"));
        assert_eq!(of("https://user:word@a.example:8443/debian").as_deref(), Some("a.example 8443"));
        assert_eq!(of("https://[2001:db8::1]/debian").as_deref(), Some("2001:db8::1 443"));
        assert_eq!(of("cdrom:"), None);
    }

    #[test]
    fn free_space_is_read_from_df() {
        let df =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263935228 14680064 80740352 16% /\n";
        assert_eq!(free_mib(df), Some(78848));
        assert_eq!(free_mib("nothing"), None);
    }

    #[test]
    fn a_mirror_is_told_from_a_recipe_at_fault() {
        assert!(is_mirror_fault("E: The repository 'http://x bookworm Release' does not have a Release file."));
        assert!(!is_mirror_fault("E: Unable to locate package nonesuch"));
    }
}
