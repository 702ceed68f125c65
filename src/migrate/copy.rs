//! Copies trees from the old host to the new one: rsync of the new host pulls, over a key that is lent for one login, or
//! through this machine. What is copied, and when, is decided elsewhere.

use std::time::{Duration, Instant};

use super::rsync::{explained, is_change, progress, server_words};
use super::side::{Side, Trouble, time};
use crate::base::event::EventKind;
use crate::base::size;
use crate::engine::Run;
use crate::shell::frame::printable_lines;
use crate::shell::{Call, Library, quote};
use crate::ssh::pipe::{self, Piped};
use crate::ssh::{Connection, Target};

pub(super) static COPY: Library = Library { name: "copy.sh", text: include_str!("copy.sh"), needs: &[] };

/// What is kept of every file: permissions, owners by number, times, links of both sorts, holes, ACLs, attributes. Times
/// are compared to the nanosecond, or a file that changes twice in a second would be taken for the same.
const KEEP: [&str; 7] =
    ["-aHAXS", "--numeric-ids", "--delete", "--partial", "--modify-window=-1", "--no-human-readable", "--outbuf=L"];
/// Where the pipes of a copy through this machine are, on the new host.
const PIPES: &str = "/run/bedplate/migrate";

/// How many bytes are sent to see how fast a line is: enough for TCP to come to its speed.
const SAMPLE: &str = "32000000";

/// How bytes go from host to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the one to the other.
    Direct,
    /// Through this machine.
    Here,
}

/// How copies are made.
#[derive(Debug, Clone)]
pub struct Manner {
    /// By which way.
    pub way: Way,
    /// Most that goes in a second, as rsync takes it: `10m`; no limit when absent.
    pub limit: Option<String>,
    /// Whether it may be compressed on the way.
    pub compress: bool,
}

/// One tree to be copied.
#[derive(Debug, Clone)]
pub(super) struct Trip<'a> {
    /// How it is called.
    pub(super) what: &'a str,
    /// On the old host.
    pub(super) from: &'a str,
    /// On the new one.
    pub(super) to: &'a str,
    /// Whether it is a file.
    pub(super) file: bool,
    /// Who it belongs to there, where not to whom it did.
    pub(super) owner: Option<(u32, u32)>,
    /// Bytes in it.
    pub(super) bytes: u64,
    /// The deployer's login, who owns what is made above the tree in its home.
    pub(super) user: &'a str,
}

/// How much a pass looks at, and whether it changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Files of another size or time are copied. Those that go away meanwhile are no mistake.
    Live,
    /// The same while all stands still.
    Final,
    /// Every file is read on both sides.
    Whole,
    /// Nothing is copied; what differs is told.
    Look,
}

impl Trip<'_> {
    fn options(&self, manner: &Manner, compress: bool, pass: Pass) -> Vec<String> {
        let mut options: Vec<String> = KEEP.map(str::to_owned).to_vec();
        let mut add = |option: &str| options.push(option.to_owned());
        match pass {
            Pass::Look => ["--dry-run", "--itemize-changes"].into_iter().for_each(&mut add),
            Pass::Whole => ["--checksum", "--info=progress2"].into_iter().for_each(&mut add),
            Pass::Live | Pass::Final => add("--info=progress2"),
        }
        if pass != Pass::Whole {
            // Half an hour without a byte is no slow disk. Where every file is summed up it may be.
            add("--timeout=1800");
        }
        if compress {
            add("--compress");
        }
        if let Some(limit) = &manner.limit {
            add(&format!("--bwlimit={limit}"));
        }
        if let Some((user, group)) = self.owner {
            add(&format!("--chown={user}:{group}"));
        }
        options
    }

    fn source(&self) -> String {
        if self.file { self.from.to_owned() } else { format!("{}/", self.from) }
    }

    fn target(&self) -> String {
        if self.file { self.to.to_owned() } else { format!("{}/", self.to) }
    }
}

/// Both ends of the copies of one move.
pub(super) struct Copier<'a> {
    pub(super) run: &'a Run,
    pub(super) manner: Manner,
    /// Whether it is worth it to compress.
    compress: bool,
    /// The second login to each host that a copy through this machine needs, kept from one copy to the next.
    relays: Option<(Connection, Connection)>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(run: &'a Run, manner: Manner) -> Self {
        let compress = manner.compress;
        Self { run, manner, compress, relays: None }
    }

    /// Sees to it that rsync is on both sides, and makes a place for what a copy needs.
    pub(super) async fn ready(&mut self, old: &mut Side, new: &mut Side) -> Result<(), Trouble> {
        let rsync = || Call::new(&COPY, "copy_package").arg("rsync").arg("rsync");
        let (one, other) = tokio::join!(old.act("installing rsync", rsync()), new.act("installing rsync", rsync()));
        one.and(other)?;
        new.act("making a place for the copy", Call::new(&COPY, "copy_place")).await?;
        if self.manner.way == Way::Here {
            return Ok(());
        }
        match self.direct_way(old, new).await? {
            Ok(rate) => {
                let call = || vec![Call::new(&COPY, "copy_zstd")];
                let (one, other) = tokio::join!(old.ask(call()), new.ask(call()));
                let zstd = [one?, other?].iter().flatten().all(|(status, _)| *status == 0);
                let pays = pays_to_compress(rate, zstd) || self.manner.limit.is_some();
                tracing::debug!(bytes_per_second = rate, zstd, pays, "the line from the old host");
                self.compress = self.manner.compress && pays;
            }
            Err(why) => {
                new.note(format!("{}: the copy goes through this machine ({why})", new.name)).await;
                self.manner.way = Way::Here;
            }
        }
        Ok(())
    }

    /// The bytes that go from the old host to the new one in a second; or why the new one can not come to it by itself.
    async fn direct_way(&self, old: &mut Side, new: &mut Side) -> Result<Result<u64, String>, Trouble> {
        if !old.target.jumps.is_empty() || old.target.proxy_command.is_some() {
            return Ok(Err("the old host is reached through another one".into()));
        }
        let words = ["head", "-c", SAMPLE, "/dev/zero"].map(str::to_owned).to_vec();
        if let Err(trouble) = self.lend(old, new, &words).await {
            return Ok(Err(trouble.failure.what.clone()));
        }
        let probe = Call::new(&COPY, "copy_reaches").arg(way_there(&old.target)).arg(&old.target.address);
        let reached = new.act("", probe).await;
        old.act("taking the key back", self.take_back(old)).await?;
        Ok(match reached {
            Ok(rate) => Ok(String::from_utf8_lossy(&rate).trim().parse().unwrap_or(0)),
            Err(trouble) => Err(trouble.failure.said.last().cloned().unwrap_or_else(|| "no login".into())),
        })
    }

    /// Lets the new host run one command on the old one, once.
    async fn lend(&self, old: &mut Side, new: &mut Side, words: &[String]) -> Result<(), Trouble> {
        let key = new.act("making a key for one use", Call::new(&COPY, "copy_key")).await?;
        let key = String::from_utf8_lossy(&key).trim().to_owned();
        let addresses = new.act("asking for addresses", Call::new(&COPY, "copy_addresses")).await?;
        let addresses = String::from_utf8_lossy(&addresses).trim().to_owned();
        let all = [addresses.as_str(), new.target.address.as_str()].join(",");
        // The name is whatever the new host calls the old one.
        let known =
            old.connection.login().host_key.split_once(' ').map_or_else(String::new, |(_, key)| format!("* {key}"));
        new.act("pinning the old host's key", Call::new(&COPY, "copy_known").arg(&known)).await?;
        let login = old.connection.login().user.clone();
        let mut command: Vec<String> = words.to_vec();
        if login != "root" {
            command.splice(0..0, ["sudo".to_owned(), "-n".to_owned()]);
        }
        let quoted: Result<Vec<String>, _> = command.iter().map(|word| quote(word)).collect();
        let command =
            quoted.map_err(|error| Trouble::new(error.to_string(), "rename what has it in its name"))?.join(" ");
        if command.contains(['"', '\\']) {
            let what = format!("{command} can not be the one command of a key");
            return Err(Trouble::new(what, "copy through this machine: `--via-here`"));
        }
        let lend = Call::new(&COPY, "copy_lend").arg(login).arg(&key).arg(command).arg(all);
        old.act("lending the new host a key", lend).await.map(|_| ())
    }

    fn take_back(&self, old: &Side) -> Call {
        Call::new(&COPY, "copy_take_back").arg(&old.connection.login().user)
    }

    /// Copies one tree. Gives what rsync says: nothing, or of a look what differs.
    pub(super) async fn copy(
        &mut self,
        old: &mut Side,
        new: &mut Side,
        trip: &Trip<'_>,
        pass: Pass,
    ) -> Result<Vec<String>, Trouble> {
        let begun = Instant::now();
        let options = trip.options(&self.manner, self.compress, pass);
        new.act("making the folder above", Call::new(&COPY, "copy_parent").arg(trip.to).arg(trip.user)).await?;
        let learned = new.act("asking rsync", Call::new(&COPY, "copy_learn").args(&options)).await?;
        let words = server_words(&learned, &trip.source())
            .map_err(|why| Trouble::new(why, "please report it").on(&new.name))?;
        let mut call = Call::new(&COPY, "copy_pull");
        let mut done = false;
        let result = match self.manner.way {
            Way::Direct => {
                self.lend(old, new, &words).await?;
                call = call.arg(way_there(&old.target)).args(&options);
                let source = format!("{}:{}", bracketed(&old.target.address), trip.source());
                call = call.arg(source).arg(trip.target());
                let result = self.pull(new, call, trip, begun, &mut done).await;
                let back = old.act("taking the key back", self.take_back(old)).await;
                result.and_then(|said| back.map(|_| said))
            }
            Way::Here => {
                new.act("making pipes", Call::new(&COPY, "copy_pipes")).await?;
                call = call.arg("pipes").args(&options).arg(format!("other:{}", trip.source())).arg(trip.target());
                let (one, other) = self.relays(old, new).await?;
                let relay = tokio::spawn(relay(one, other, words));
                let result = self.pull(new, call, trip, begun, &mut done).await;
                if result.is_err() {
                    relay.abort();
                    self.relays = None;
                }
                match (result, relay.await) {
                    (Ok(said), Ok(Ok(()))) => Ok(said),
                    (Ok(_), Ok(Err(why))) => Err(Trouble::new(format!("copying {}: {why}", trip.what), "run again")),
                    (result, _) => result,
                }
            }
        };
        let output = result?;
        Ok(match pass {
            Pass::Look => printable_lines(&output).into_iter().filter(|line| is_change(line)).collect(),
            _ => Vec::new(),
        })
    }

    async fn pull(
        &self,
        new: &mut Side,
        call: Call,
        trip: &Trip<'_>,
        begun: Instant,
        gone: &mut bool,
    ) -> Result<Vec<u8>, Trouble> {
        let what = format!("copying {}", trip.what);
        let (teller, total) = (new.teller.clone(), trip.bytes);
        let mut line = Vec::new();
        let mut last = Instant::now();
        let mut heard = |bytes: &[u8]| {
            for byte in bytes {
                if !matches!(byte, b'\r' | b'\n') {
                    line.push(*byte);
                    continue;
                }
                let said = std::mem::take(&mut line);
                if let Some(copied) = progress(&said)
                    && last.elapsed() > Duration::from_millis(200)
                {
                    last = Instant::now();
                    teller.tell_if_room(copying(copied, total, begun.elapsed()));
                }
            }
        };
        match new.act_heard(&what, call, &mut heard).await {
            // 24: files went away meanwhile, which is no mistake while the app serves; the next pass takes them away.
            Err(trouble) if trouble.failure.what.ends_with("it ended with 24") => {
                *gone = true;
                Ok(Vec::new())
            }
            Err(trouble) => Err(explained(trouble, &what)),
            result => result,
        }
    }

    async fn relays(&mut self, old: &Side, new: &Side) -> Result<(Connection, Connection), Trouble> {
        if let Some((one, other)) = &self.relays
            && !one.is_closed()
            && !other.is_closed()
        {
            return Ok((one.clone(), other.clone()));
        }
        let one = self.run.connector.connect(&old.target).await.map_err(|error| Trouble::from(error).on(&old.name))?;
        let other =
            self.run.connector.connect(&new.target).await.map_err(|error| Trouble::from(error).on(&new.name))?;
        self.relays = Some((one.clone(), other.clone()));
        Ok((one, other))
    }

    /// Takes away what the copies needed; of what can not be, the next run takes care.
    pub(super) async fn clean(&mut self, old: &mut Side, new: &mut Side) {
        let _ = old.act("taking the key back", self.take_back(old)).await;
        let _ = new.act("tidying up", Call::new(&COPY, "copy_clean")).await;
        if let Some((one, other)) = self.relays.take() {
            one.close().await;
            other.close().await;
        }
    }
}

/// Whether what is compressed arrives sooner than it would as it is, over a line of so many bytes a second. Beyond a
/// gigabit rsync compresses no faster than the line carries, even with zstd, and the app that serves meanwhile wants the
/// processor too (measured: 100,000 small files and 600 MB that do not compress took 1.2 times as long compressed over a
/// fast line). zlib, all that rsync before 3.2 has, is several times slower than zstd.
fn pays_to_compress(rate: u64, zstd: bool) -> bool {
    rate < if zstd { 100_000_000 } else { 30_000_000 }
}

/// Carries the words of both rsyncs. Errors: why it ended too early.
async fn relay(old: Connection, new: Connection, words: Vec<String>) -> Result<(), String> {
    let sender = match begin(&old, &words).await {
        Ok(sender) => sender,
        Err(why) => {
            // The new host's rsync waits for the other ends of its pipes; it is not to wait for ever.
            let _ = begin(&new, &script("free")).await;
            return Err(why);
        }
    };
    // One command with both pipes: what the new host's rsync says comes out, what it is to hear goes in.
    let receiver = match begin(&new, &script("ends")).await {
        Ok(receiver) => receiver,
        Err(why) => {
            let _ = begin(&new, &script("free")).await;
            return Err(why);
        }
    };
    let mut passed = 0;
    let (one, other) = pipe::join(sender, receiver, |bytes| passed += bytes).await;
    tracing::debug!(bytes = passed, "carried");
    ended(one)?;
    ended(other)
}

/// One of the commands that `copy_pipes` has left.
fn script(name: &str) -> Vec<String> {
    vec!["sh".to_owned(), format!("{PIPES}/{name}")]
}

async fn begin(connection: &Connection, words: &[String]) -> Result<pipe::Streams, String> {
    let pipe = connection.pipe().await.map_err(|error| error.to_string())?;
    pipe.begin(words).await.map_err(|said| printable_lines(&said).join(" "))
}

fn ended(piped: Piped) -> Result<(), String> {
    match piped {
        // 24 as above.
        Piped { status: Some(0 | 24), .. } => Ok(()),
        Piped { lost: Some(why), .. } => Err(format!("the connection was lost: {why}")),
        Piped { status, errors, .. } => {
            let status = status.map_or_else(|| "without a status".to_owned(), |status| format!("with {status}"));
            Err(format!("it ended {status}: {}", printable_lines(&errors).join(" ")))
        }
    }
}

/// Options of ssh that lead to a host.
fn way_there(target: &Target) -> String {
    format!("-p {} -l {}", target.port, target.user)
}

/// An address of IPv6 has brackets before a path.
fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

fn copying(bytes: u64, total: u64, elapsed: Duration) -> EventKind {
    let rate = (bytes as f64 / elapsed.as_secs_f64().max(0.001)) as u64;
    let left_s = (rate > 0).then(|| total.saturating_sub(bytes) / rate);
    EventKind::Copying { bytes, total: total.max(bytes), bytes_per_second: rate, left_s }
}

/// What a copy of so many bytes came to: `1.2 GB in 12 s, 100 MB/s`.
pub(super) fn told(bytes: u64, took: Duration) -> String {
    let rate = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    format!("{} in {}, {}/s", size(bytes), time(took), size(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_line_needs_no_compression_and_zlib_less_often_pays() {
        let pays = |rate, zstd| pays_to_compress(rate, zstd);
        assert_eq!([pays(12_000_000, true), pays(60_000_000, true), pays(300_000_000, true)], [true, true, false]);
        assert_eq!([pays(12_000_000, false), pays(60_000_000, false), pays(0, false)], [true, false, true]);
    }

    #[test]
    fn time_left_follows_from_the_rate() {
        let EventKind::Copying { bytes_per_second, left_s, .. } = copying(50, 150, Duration::from_secs(10)) else {
            panic!("another event");
        };
        assert_eq!((bytes_per_second, left_s), (5, Some(20)));
    }
}
