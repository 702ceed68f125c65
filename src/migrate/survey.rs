//! What there is on a host that a move has to know of: its login's home, Docker's volumes and containers, what lies in a
//! path. Asked and read; nothing is decided here.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use serde::Deserialize;

use super::side::{Side, Trouble};
use crate::shell::frame::{BadAnswer, Fields};
use crate::shell::{Call, Library};

static SURVEY: Library = Library { name: "survey.sh", text: include_str!("survey.sh"), needs: &[] };

/// A host, as far as a move is concerned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Survey {
    /// `uname -m`.
    pub machine: String,
    /// The home of the deployer's login; empty when there is no such user.
    pub home: String,
    /// That user's number and group.
    pub owner: Option<(u32, u32)>,
    /// rsync's version; empty where there is none.
    pub rsync: String,
    /// Whether it can be an SSH client, and make keys.
    pub ssh: bool,
    /// The version of Docker's server; empty when it does not answer.
    pub docker: String,
    /// Docker's folder.
    pub docker_root: String,
    /// Whether there is a Docker, answering or not.
    pub docker_installed: bool,
    /// Docker's volumes.
    pub volumes: Vec<Volume>,
    /// Docker's containers.
    pub containers: Vec<Container>,
}

/// A volume, as Docker describes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Where it is mounted.
    pub mountpoint: String,
    /// Its options: `type`, `o`, `device`.
    pub options: Option<BTreeMap<String, String>>,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
}

impl Volume {
    /// The folder of the host that it lies on, where it lies on one.
    pub fn device(&self) -> Option<&str> {
        let options = self.options.as_ref()?;
        let bound = options.get("o").is_some_and(|o| o.split(',').any(|word| word == "bind" || word == "rbind"));
        options.get("device").filter(|_| bound).map(String::as_str)
    }

    /// Whether Docker made its name up, so that no other container would find it.
    pub fn is_anonymous(&self) -> bool {
        self.name.len() == 64 && self.name.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

/// A container, as Docker describes it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name, without a slash before it.
    #[serde(deserialize_with = "without_slash")]
    pub name: String,
    /// Whether it runs.
    pub running: bool,
    /// Its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// What is mounted in it.
    pub mounts: Vec<Mount>,
}

impl Container {
    /// One of its labels.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// Something that is mounted in a container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub sort: String,
    /// The volume's name, where it is one.
    pub name: String,
    /// Where it is on the host.
    pub source: String,
}

fn without_slash<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    Ok(name.trim_start_matches('/').to_owned())
}

/// What lies in a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What sort of thing.
    pub sort: Sort,
    /// Where it really is.
    pub real: String,
    /// Whether nothing is in it.
    pub empty: bool,
    /// Bytes that it takes on the disk.
    pub used: u64,
    /// Bytes in it, holes included.
    pub bytes: u64,
    /// Inodes that it takes.
    pub inodes: u64,
}

/// A sort of thing in a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// Nothing.
    #[default]
    Absent,
    /// A folder.
    Folder,
    /// A database of SQLite.
    Database,
    /// Another file.
    File,
    /// A socket, a device …
    Other,
}

/// The room where a path is or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// The number of its file system.
    pub device: u64,
    /// Free bytes.
    pub free: u64,
    /// Free inodes, where their number is fixed.
    pub inodes: Option<u64>,
}

/// Looks at a host; `user` is the deployer's login. Errors: it does not answer.
pub(super) async fn survey(side: &mut Side, user: &str) -> Result<Survey, Trouble> {
    let answers = side.ask(calls(user)).await?;
    if answers.iter().any(|(status, _)| *status != 0)
        && answers.first().is_some_and(|(_, host)| read(&[host]).is_ok_and(|s| !s.docker.is_empty()))
    {
        let help = "look at `systemctl status docker` there, and run again";
        return Err(Trouble::new("Docker does not tell what volumes and containers it has", help).on(&side.name));
    }
    let bodies: Vec<&[u8]> = answers.iter().map(|(_, body)| body.as_slice()).collect();
    read(&bodies).map_err(|error| Trouble::from(error).on(&side.name))
}

/// The addresses of IPv6 by which the world reaches a host. None where it does not say.
pub(super) async fn ipv6(side: &mut Side) -> Result<Vec<Ipv6Addr>, Trouble> {
    let answers = side.ask(vec![Call::new(&SURVEY, "survey_ipv6")]).await?;
    let text = answers.first().map(|(_, body)| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
    Ok(text.lines().filter_map(|line| u128::from_str_radix(line, 16).ok()).map(Ipv6Addr::from).collect())
}

fn calls(user: &str) -> Vec<Call> {
    let of = |function| Call::new(&SURVEY, function);
    vec![of("survey_host").arg(user), of("survey_volumes"), of("survey_containers")]
}

fn read(bodies: &[&[u8]]) -> Result<Survey, BadAnswer> {
    let body = |number: usize| bodies.get(number).copied().unwrap_or_default();
    let mut host = Fields::new(body(0));
    let text = |fields: &mut Fields<'_>| fields.text().map(|text| text.trim().to_owned());
    let machine = text(&mut host)?;
    let home = text(&mut host)?;
    let number = |text: String| text.parse::<u32>().ok();
    let (user, group) = (number(text(&mut host)?), number(text(&mut host)?));
    let (rsync, ssh) = (text(&mut host)?, host.flag()?);
    let (docker, docker_root) = (text(&mut host)?, text(&mut host)?);
    let docker_installed = host.flag()?;
    let wrong = |error: serde_json::Error| BadAnswer(format!("of Docker: {error}"));
    let volumes: Vec<Volume> = match body(1).trim_ascii() {
        [] => Vec::new(),
        json => serde_json::from_slice(json).map_err(wrong)?,
    };
    let lines = body(2).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let containers = lines.map(|line| serde_json::from_slice(line).map_err(wrong)).collect::<Result<_, _>>()?;
    Ok(Survey {
        machine,
        home,
        owner: user.zip(group),
        rsync,
        ssh,
        docker,
        docker_root,
        docker_installed,
        volumes,
        containers,
    })
}

/// Looks at paths, in their order.
pub(super) async fn paths(side: &mut Side, paths: &[String]) -> Result<Vec<Found>, Trouble> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let answers = side.ask(vec![Call::new(&SURVEY, "survey_paths").args(paths)]).await?;
    let mut fields = Fields::new(answers.first().map_or(&[][..], |(_, body)| body));
    let read = paths.iter().map(|_| found(&mut fields)).collect::<Result<_, BadAnswer>>();
    read.map_err(|error| Trouble::from(error).on(&side.name))
}

fn found(fields: &mut Fields<'_>) -> Result<Found, BadAnswer> {
    let sort = match fields.text()? {
        "folder" => Sort::Folder,
        "database" => Sort::Database,
        "file" => Sort::File,
        "other" => Sort::Other,
        _ => Sort::Absent,
    };
    // A name that is no UTF-8 is seen for one by whoever wants to use it.
    let (real, empty) = (String::from_utf8_lossy(fields.bytes()?).into_owned(), fields.flag()?);
    let mut number = || fields.text().map(|text| text.parse().unwrap_or(0));
    Ok(Found { sort, real, empty, used: number()?, bytes: number()?, inodes: number()? })
}

/// Looks at the room for paths, in their order.
pub(super) async fn rooms(side: &mut Side, paths: &[String]) -> Result<Vec<Room>, Trouble> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let answers = side.ask(vec![Call::new(&SURVEY, "survey_room").args(paths)]).await?;
    let mut fields = Fields::new(answers.first().map_or(&[][..], |(_, body)| body));
    let mut room = || -> Result<Room, BadAnswer> {
        let (device, free) = (fields.number()?, fields.number()?);
        Ok(Room { device, free, inodes: fields.text()?.parse().ok() })
    };
    let read = paths.iter().map(|_| room()).collect::<Result<_, BadAnswer>>();
    read.map_err(|error| Trouble::from(error).on(&side.name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn docker_s_own_words_are_read() {
        let volumes =
            br#"[{"CreatedAt":"x","Driver":"local","Labels":null,"Mountpoint":"/var/lib/docker/volumes/a/_data",
            "Name":"a","Options":{"device":"/mnt/a","o":"bind","type":"none"},"Scope":"local"}]"#;
        let containers = b"{\"name\":\"/shop-web-1\",\"running\":true,\"labels\":{\"service\":\"shop\"},\"mounts\":\
            [{\"Type\":\"volume\",\"Name\":\"a\",\"Source\":\"/x\",\"Destination\":\"/y\",\"RW\":true}]}\n";
        let host = b"x86_64\0/root\x000\x000\x003.2.7\x001\x0020.10.24\0/var/lib/docker\x001\0";
        let survey = read(&[host, volumes, containers]).unwrap();
        assert_eq!((survey.owner, survey.rsync.as_str(), survey.ssh), (Some((0, 0)), "3.2.7", true));
        assert_eq!(survey.volumes[0].device(), Some("/mnt/a"));
        assert_eq!((survey.containers[0].name.as_str(), survey.containers[0].running), ("shop-web-1", true));
        assert_eq!(survey.containers[0].mounts[0].name, "a");
        let bare = b"x86_64\0\0\0\0\x000\0\0\x000\0";
        assert_eq!(read(&[bare, b"", b""]).unwrap().owner, None);
    }

    #[test]
    fn a_name_that_docker_made_up_is_known() {
        let volume = |name: &str| Volume { name: name.into(), ..Volume::default() };
        assert!(volume(&"0a".repeat(32)).is_anonymous());
        assert!(!volume("shop_storage").is_anonymous());
    }

    #[test]
    fn a_file_system_that_was_just_made_is_empty() {
        let all = tempfile::tempdir().unwrap();
        let is_empty = |name: &str| {
            let path = all.path().join(name);
            let script = format!("{}{}survey_paths \"$1\"", crate::shell::PRELUDE.text, SURVEY.text);
            let ran = std::process::Command::new("dash").args(["-c", &script, "sh"]).arg(path).output().unwrap();
            found(&mut Fields::new(&ran.stdout)).unwrap().empty
        };
        for folder in ["new/lost+found", "found/lost+found", "used/lost+found", "not/lost+found/", "bare"] {
            std::fs::create_dir_all(all.path().join(folder)).unwrap();
        }
        for file in ["found/lost+found/#12", "used/\nx", "file"] {
            std::fs::write(all.path().join(file), "").unwrap();
        }
        std::fs::create_dir(all.path().join("named")).unwrap();
        std::fs::write(all.path().join("named/lost+found"), "").unwrap();
        let names = ["new", "bare", "absent", "found", "used", "named", "file"];
        assert_eq!(names.map(is_empty), [true, true, true, false, false, false, false]);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4)) {
            let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
            let _ = read(&bodies);
        }
    }
}
