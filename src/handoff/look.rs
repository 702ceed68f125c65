//! What Kamal's user finds on a host: the questions, and their answers as they are read.

use std::net::Ipv6Addr;

use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::{Batch, Call, Library, Mode};
use crate::ssh::{HeldShell, SessionError};

static LOOK: Library = Library { name: "look.sh", text: include_str!("look.sh"), needs: &[] };

/// What is asked besides what is always asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Questions {
    /// The registry's host, with its port if it has one; `None` when it is not to be reached from the host.
    pub(super) registry: Option<String>,
    /// Folders that containers are given.
    pub(super) folders: Vec<String>,
    /// Volumes of Docker's that containers are given.
    pub(super) volumes: Vec<String>,
    /// Files that Kamal uploads for accessories, by their paths below the home.
    pub(super) files: Vec<String>,
}

/// The answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Docker.
    pub(super) docker: Docker,
    /// Ports that something listens on, where not on the loopback alone.
    pub(super) ports: Vec<u16>,
    /// Who is logged in.
    pub(super) user: String,
    /// The home.
    pub(super) home: String,
    /// Whether Kamal can write there.
    pub(super) home_writable: bool,
    /// Whether scp is there.
    pub(super) scp: bool,
    /// Kamal's locks, by their folders.
    pub(super) locks: Vec<String>,
    /// `uname -m`.
    pub(super) machine: String,
    /// The host's time, in seconds since 1970.
    pub(super) time: i64,
    /// `yes` or `no`; empty where nobody says.
    pub(super) synchronised: String,
    /// Whether a reboot waits.
    pub(super) reboot: bool,
    /// Packages that are neither installed nor gone.
    pub(super) half_installed: Vec<String>,
    /// Swap files and devices.
    pub(super) swaps: Vec<String>,
    /// Docker's folders with their free room, in kB.
    pub(super) free: Vec<(String, u64)>,
    /// Addresses of IPv6 that are good beyond the link.
    pub(super) addresses: Vec<Ipv6Addr>,
    /// What came of asking the registry.
    pub(super) registry: Option<Registry>,
    /// For each folder that was asked for, whether it is there, and its owner's number.
    pub(super) folders: Vec<(bool, String)>,
    /// The volumes that were asked for.
    pub(super) volumes: Vec<FoundVolume>,
    /// For each file that was asked for, whether it is this user's own; `None` where there is none.
    pub(super) files: Vec<Option<bool>>,
}

/// What came of asking a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Registry {
    /// The program that asked; empty where there is none.
    pub(super) how: String,
    /// What that ended with.
    pub(super) status: u32,
    /// Its last line of error.
    pub(super) said: String,
    /// The status of HTTP; 0 where it was not seen.
    pub(super) code: u16,
}

/// A volume of Docker's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FoundVolume {
    /// Whether there is one.
    pub(super) there: bool,
    /// The folder or device that it lies on; empty where it names none.
    pub(super) device: String,
    /// Whether that is there.
    pub(super) device_there: bool,
}

/// Docker as this user finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Docker {
    /// Whether there is a client.
    pub(super) client: bool,
    /// What `docker version` of the server ended with.
    pub(super) status: u32,
    /// The version, or the last line of error.
    pub(super) said: String,
    /// Folder, system and security options, with bars between; empty where the server does not answer.
    pub(super) info: String,
    /// The driver of the network kamal; empty when there is none.
    pub(super) network: String,
    /// Names and published ports of running containers.
    pub(super) containers: Vec<(String, String)>,
}

/// Why there is no look.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It answered, but not what was asked.
    #[error("the host's answer makes no sense {0}")]
    Answer(#[from] BadAnswer),
}

/// The calls of one look.
fn calls(questions: &Questions) -> Vec<Call> {
    let mut calls: Vec<Call> = ["look_docker", "look_ports", "look_home", "look_system"]
        .into_iter()
        .map(|name| Call::new(&LOOK, name))
        .collect();
    calls.extend(questions.registry.as_ref().map(|server| Call::new(&LOOK, "look_registry").arg(server)));
    let lists =
        [("look_folders", &questions.folders), ("look_volumes", &questions.volumes), ("look_files", &questions.files)];
    let asked = lists.into_iter().filter(|(_, names)| !names.is_empty());
    calls.extend(asked.map(|(function, names)| Call::new(&LOOK, function).args(names)));
    calls
}

/// The script of a look, as it would be sent.
pub(super) fn script(questions: &Questions) -> String {
    Batch::new(Mode::Probe, calls(questions)).show()
}

/// Looks, in one exchange.
pub(super) async fn look(shell: &mut HeldShell, questions: &Questions) -> Result<Look, LookError> {
    let results = shell.run(&Batch::new(Mode::Probe, calls(questions)), &mut |_| {}).await?;
    let bodies: Vec<&[u8]> = results.iter().map(|result| result.body.as_slice()).collect();
    Ok(read(&bodies, questions)?)
}

fn read(bodies: &[&[u8]], questions: &Questions) -> Result<Look, BadAnswer> {
    let mut bodies = bodies.iter();
    let mut next = || Fields::new(bodies.next().copied().unwrap_or_default());
    let lines = |text: &str| -> Vec<String> { text.lines().map(str::to_owned).collect() };
    let mut look = Look::default();
    let mut docker = next();
    look.docker = Docker {
        client: docker.flag()?,
        status: docker.number()?,
        said: docker.text()?.to_owned(),
        info: docker.text()?.to_owned(),
        network: docker.text()?.to_owned(),
        containers: docker.text()?.lines().filter_map(|line| line.split_once('|')).map(owned).collect(),
    };
    look.ports = next().text()?.lines().filter_map(open_port).collect();
    let mut home = next();
    look.user = home.text()?.to_owned();
    look.home = home.text()?.to_owned();
    look.home_writable = home.flag()?;
    look.scp = home.flag()?;
    look.locks = lines(home.text()?);
    let mut system = next();
    look.machine = system.text()?.to_owned();
    look.time = system.number()?;
    look.synchronised = system.text()?.to_owned();
    look.reboot = system.flag()?;
    look.half_installed = lines(system.text()?);
    look.swaps = lines(system.text()?);
    let free = system.text()?.lines().filter_map(|line| line.split_once('|'));
    look.free = free.filter_map(|(folder, free)| Some((folder.to_owned(), free.parse().ok()?))).collect();
    look.addresses = system.text()?.lines().filter_map(address).collect();
    if questions.registry.is_some() {
        let mut registry = next();
        look.registry = Some(Registry {
            how: registry.text()?.to_owned(),
            status: registry.number()?,
            said: registry.text()?.to_owned(),
            code: registry.number()?,
        });
    }
    if !questions.folders.is_empty() {
        let mut folders = next();
        for _ in &questions.folders {
            look.folders.push((folders.flag()?, folders.text()?.to_owned()));
        }
    }
    if !questions.volumes.is_empty() {
        let mut volumes = next();
        for _ in &questions.volumes {
            let (there, device) = (volumes.flag()?, volumes.text()?.to_owned());
            look.volumes.push(FoundVolume { there, device, device_there: volumes.flag()? });
        }
    }
    if !questions.files.is_empty() {
        let mut files = next();
        for _ in &questions.files {
            look.files.push(match files.text()? {
                "own" => Some(true),
                "other" => Some(false),
                _ => None,
            });
        }
    }
    Ok(look)
}

fn owned((one, other): (&str, &str)) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// The port of `0100007F:1F90`, as the kernel writes an address; `None` for one that the loopback alone reaches.
fn open_port(address: &str) -> Option<u16> {
    let (host, port) = address.split_once(':')?;
    // Each group of four bytes is written as a number of this machine, so the last two digits of v4 are its first byte.
    let loopback = (host.len() == 8 && host.ends_with("7F")) || host == "00000000000000000000000001000000";
    if loopback { None } else { u16::from_str_radix(port, 16).ok() }
}

/// An address as /proc/net/if_inet6 has it: 32 digits.
fn address(digits: &str) -> Option<Ipv6Addr> {
    (digits.len() == 32).then(|| u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from)).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_the_kernel_are_read() {
        assert_eq!(open_port("00000000:0050"), Some(80));
        assert_eq!(open_port("00000000000000000000000000000000:01BB"), Some(443));
        assert_eq!(open_port("0100007F:0050"), None);
        assert_eq!(open_port("3500007F:0035"), None);
        assert_eq!(open_port("00000000000000000000000001000000:0050"), None);
    }

    #[test]
    fn a_look_is_read_field_by_field() {
        let questions = Questions {
            registry: Some("ghcr.io".into()),
            folders: vec!["/srv/a".into()],
            volumes: vec!["a".into(), "b".into()],
            files: vec!["a/b".into(), "c/d".into()],
        };
        let bodies: [&[u8]; 8] = [
            b"1\x000\x0028.1.1\0/var/lib/docker|linux|[]\0bridge\0kamal-proxy|0.0.0.0:80->80/tcp\n\0",
            b"00000000:0016\n0100007F:0050\0",
            b"deploy\0/home/deploy\x001\x001\0.kamal/lock-shop\0",
            b"x86_64\x001700000000\0yes\x000\0\0/swapfile\0/var/lib/docker|5000000\0\
              20010db8000000000000000000000005\nnonsense\0",
            b"curl\x006\0curl: (6) Could not resolve host\x000\0",
            b"1\x001000\0",
            b"1\0/mnt/a\x000\x000\0\x001\0",
            b"own\0absent\0",
        ];
        let look = read(&bodies, &questions).unwrap();
        assert_eq!(look.docker.containers, [("kamal-proxy".to_owned(), "0.0.0.0:80->80/tcp".to_owned())]);
        assert_eq!((look.ports, look.locks), (vec![22], vec![".kamal/lock-shop".to_owned()]));
        assert_eq!(look.free, [("/var/lib/docker".to_owned(), 5_000_000)]);
        assert_eq!((look.registry.unwrap().status, look.folders), (6, vec![(true, "1000".to_owned())]));
        assert_eq!(look.addresses, ["2001:db8::5".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!(look.volumes[0], FoundVolume { there: true, device: "/mnt/a".into(), device_there: false });
        assert_eq!((look.volumes[1].there, look.files), (false, vec![Some(true), None]));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8)) {
            let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
            let some = || vec!["y".to_owned()];
            let questions =
                Questions { registry: Some("x".into()), folders: some(), volumes: some(), files: some() };
            let _ = read(&bodies, &questions);
        }
    }
}
