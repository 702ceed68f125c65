//! Two boxes, an app on the first that a stand-in for Kamal has deployed, and moves from the one to the other, ended well or
//! killed. What is expected of them is in the tests.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bedplate::sandbox::Suite;

use super::support::{Ran, Rig};

/// Two boxes and the folder of an app that is deployed on the first.
pub(crate) struct Pair {
    pub(crate) old: Rig,
    pub(crate) new: Rig,
}

impl Pair {
    /// Both up, the old one prepared and deployed to.
    pub(crate) fn up(old: Suite, new: Suite) -> Self {
        Self::up_for(old, new, "root")
    }

    /// The same where Kamal logs in as `user`.
    pub(crate) fn up_for(old: Suite, new: Suite, user: &str) -> Self {
        let pair = Self { old: Rig::up(old), new: Rig::up(new) };
        for rig in [&pair.old, &pair.new] {
            rig.inside("(apt-get update && apt-get install -y busybox sqlite3 attr) >/dev/null 2>&1");
        }
        pair.write_app(user);
        pair.run("handoff", &["--yes"]).exits(0);
        answers(pair.old.sandbox.ipv4());
        pair
    }

    /// The app in the folder of the old box, whose stand-in for Kamal goes wherever deploy.yml says.
    fn write_app(&self, user: &str) {
        let rig = &self.old;
        rig.write(
            "config/deploy.yml",
            &format!(
                "# ours\nservice: shop\nimage: ann/shop\nservers:\n  web:\n    - {0}  # the box\nssh:\n  user: {user}\nregistry:\n  server: localhost:5555\n\
                 builder:\n  arch: [amd64, arm64]\nvolumes:\n  - shop_storage:/storage\naccessories:\n  db:\n    image: shop\n    \
                 host: {0}\n    directories: [data:/data]\n    files: [my.cnf:/etc/my.cnf]\n",
                rig.sandbox.ipv4()
            ),
        );
        rig.write("my.cnf", "A=b\n");
        rig.write("version", "1");
        let keys = [self.old.sandbox.key(), self.new.sandbox.key()].map(|key| key.display().to_string());
        rig.write("ssh_config", &self.ssh_config());
        let deployer = include_str!("deployer.sh")
            .replace(
                ". ./login",
                "host=$(sed -n 's/^    - \\([0-9.]*\\).*/\\1/p' config/deploy.yml) key=x known_hosts=known_hosts",
            )
            .replace("-i \"$key\"", &format!("-i {} -i {}", keys[0], keys[1]));
        rig.program("bin/kamal", &deployer);
    }

    /// The way in to both boxes; what is known of them is in a file of the folder.
    pub(crate) fn ssh_config(&self) -> String {
        let known =
            [&self.old, &self.new].map(|rig| std::fs::read_to_string(rig.sandbox.known_hosts()).expect("a file"));
        self.old.write("known_hosts", &known.concat());
        let keys =
            [self.old.sandbox.key(), self.new.sandbox.key()].map(|key| format!("  IdentityFile {}\n", key.display()));
        format!(
            "Host *\n  UserKnownHostsFile known_hosts\n  GlobalKnownHostsFile /dev/null\n  IdentitiesOnly yes\n{}",
            keys.concat()
        )
    }

    /// `bedplate VERB` in the app's folder, with what every test of a box needs, and `more`.
    fn command(&self, verb: &str, more: &[&str]) -> Command {
        let swap = format!("swap_path=/swapfile-{}", self.old.sandbox.name());
        let mut words = vec![verb, "-F", "ssh_config", "--set", "docker_source=distribution"];
        words.extend(["--set", &swap, "--set", "swap_size=64M"]);
        words.extend(more);
        let mut command = self.old.command(&words);
        command.env("BEDPLATE_VAR_TIMEZONE", "UTC");
        command
    }

    /// Runs it.
    pub(crate) fn run(&self, verb: &str, more: &[&str]) -> Ran {
        Ran::of(&self.command(verb, more).output().expect("the program runs"))
    }

    /// `migrate OLD --to NEW`, with `more`, not yet run.
    fn move_of(&self, more: &[&str]) -> Command {
        let (old, new) = (self.old.sandbox.ipv4().to_string(), format!("root@{}", self.new.sandbox.ipv4()));
        let mut words = vec![old.as_str(), "--to", &new, "--yes", "--watch", "0", "--stop-timeout", "2"];
        words.extend(more);
        self.command("migrate", &words)
    }

    /// Runs it.
    pub(crate) fn migrate(&self, more: &[&str]) -> Ran {
        Ran::of(&self.move_of(more).output().expect("the program runs"))
    }

    /// Rows that a writer in the app has put into its database.
    pub(crate) fn rows(rig: &Rig) -> Vec<u64> {
        let text = rig.inside(
            "sqlite3 \"$(docker volume inspect --format '{{.Mountpoint}}' shop_storage)\"/app.sqlite3 'select n from rows order by n'",
        );
        text.lines().map(|line| line.parse().expect("a number")).collect()
    }
}

/// Waits up to a minute and a half until a line holds on a box.
#[track_caller]
pub(crate) fn wait(rig: &Rig, line: &str) {
    let until = Instant::now() + Duration::from_secs(90);
    while rig.sandbox.ask(&["sh", "-c", line]).is_err() {
        assert!(Instant::now() < until, "`{line}` never came to hold");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What the app answers to the world, within half a minute.
#[track_caller]
pub(crate) fn answers(address: Ipv4Addr) {
    let until = Instant::now() + Duration::from_secs(30);
    let mut last = String::new();
    while Instant::now() < until {
        match ask(address) {
            Ok(text) if text.contains("fine") => return,
            Ok(text) => last = text,
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    panic!("the app does not answer on {address}: {last}");
}

fn ask(address: Ipv4Addr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(address, 80).into(), Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /up HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

impl Pair {
    /// Starts a move.
    pub(crate) fn start(&self, more: &[&str]) -> Going {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = self.move_of(more);
        command.arg("--json").stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let child = command.spawn().expect("the program starts");
        // The command holds the pipe's other end too, and the reader would never meet its end.
        drop(command);
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // To the very end: what the move has started writes there still when the move is gone.
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Going { child, lines, told: Vec::new() }
    }

    /// Starts a move and kills it, as a laptop that is shut would, once `sign` holds on a box.
    #[track_caller]
    pub(crate) fn killed(&self, more: &[&str], on: &Rig, sign: &str) {
        let mut going = self.start(more);
        let until = Instant::now() + MOST;
        while on.sandbox.ask(&["sh", "-c", sign]).is_err() {
            let ended = going.child.try_wait().expect("a child").is_some();
            assert!(Instant::now() < until && !ended, "it never came to `{sign}`: {}", going.all());
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(going);
        // Whatever it had begun on a box holds the lock until it has noticed.
        for rig in [&self.old, &self.new] {
            wait(rig, "! pgrep -x rsync >/dev/null");
        }
    }

    /// Whether the old box serves as it did, and deploy.yml names it.
    #[track_caller]
    pub(crate) fn in_service(&self) {
        answers(self.old.sandbox.ipv4());
        assert_eq!(self.old.inside("docker exec shop-db cat /data/rows"), "first\n");
        assert!(self.old.read("config/deploy.yml").contains(&self.old.sandbox.ipv4().to_string()));
    }
}

/// How long a move may take at most.
const MOST: Duration = Duration::from_secs(300);

/// A move that goes on. Dropped, it is killed.
pub(crate) struct Going {
    child: std::process::Child,
    lines: mpsc::Receiver<String>,
    told: Vec<String>,
}

impl Going {
    fn all(&mut self) -> String {
        self.told.extend(self.lines.try_iter());
        self.told.join("\n")
    }

    /// Waits until it has told each of `signs`, in a line of its own, one behind the other.
    #[track_caller]
    pub(crate) fn meets(&mut self, signs: &[&str]) {
        for sign in signs {
            loop {
                let line = self.lines.recv_timeout(MOST);
                let line = line.unwrap_or_else(|_| panic!("it never told `{sign}`:\n{}", self.told.join("\n")));
                self.told.push(line);
                if self.told.last().is_some_and(|line| line.contains(sign)) {
                    break;
                }
            }
        }
    }

    /// Waits for its end. Gives its number and all that it told.
    pub(crate) fn ends(mut self) -> (i32, String) {
        let code = self.child.wait().expect("an end").code().unwrap_or(-1);
        // What it has started may hold the pipe still: what is there now is all of its own.
        (code, self.all())
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // By its number alone: what it has started goes on, as it would after the system has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that asks all the time, and whether it was answered.
pub(crate) struct Poll {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<Vec<bool>>,
}

impl Poll {
    pub(crate) fn start(address: Ipv4Addr) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut answered = Vec::new();
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                answered.push(ask(address).is_ok_and(|text| text.contains("fine")));
                std::thread::sleep(Duration::from_millis(250));
            }
            answered
        });
        Self { stop, thread }
    }

    pub(crate) fn end(self) -> Vec<bool> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().expect("the client ends")
    }
}
