//! `bedplate migrate`: strings the parts of a move together: check, apply, the gate, the copies, deploy.yml, the deployer,
//! the names. Each part tells itself; what stands between them is told here.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::arguments::{Migrate, Output, Selection};
use super::prompt::Terminal;
use super::{Failed, handoff, note, prepare, ready, sentence};
use crate::base::Exit;
use crate::engine::{Job, Mode};
use crate::handoff::deployer::Deployer;
use crate::inventory::deploy::Mended;
use crate::migrate::chain::{self, Earlier, Kept, Move, Part};
use crate::migrate::{Manner, Means, Way, switch, time};
use crate::report::{self, Stage};
use crate::ssh::{Answer, Target};

mod edits;
mod names;

use edits::{Edits, edits, names_of, show, write};

/// How long the app may take to be well on the new host, once the deployer is done.
const WELL_WITHIN: Duration = Duration::from_secs(90);

/// Runs the command. Gives the number that the process ends with.
pub(super) fn run(command: &Migrate, output: &Output) -> Result<u8, Failed> {
    super::no_script(&command.selection, "migrate")?;
    super::runtime()?.block_on(async {
        let moving = Moving::read(command, output).await?;
        if command.abort {
            return moving.abort().await;
        }
        if command.dry_run {
            return moving.dry_run().await;
        }
        moving.go().await
    })
}

/// A move, with all that was read for it.
struct Moving<'a> {
    command: &'a Migrate,
    output: &'a Output,
    old: Selection,
    new: Selection,
    job: Arc<Move>,
    kept: Arc<Mutex<Kept>>,
    folder: PathBuf,
    /// The deployer; none is needed by those parts that do not deploy.
    deployer: Option<Deployer>,
    edits: Edits,
}

impl<'a> Moving<'a> {
    /// Reads everything. Errors: whatever is wrong with the command line or the files, before a host is contacted.
    async fn read(command: &'a Migrate, output: &'a Output) -> Result<Self, Failed> {
        let [old] = command.selection.hosts.as_slice() else {
            let help = "such as `bedplate migrate root@203.0.113.5 --to root@198.51.100.7`";
            return Err(Failed::input("name one host to move from").help(help));
        };
        let old = Selection { hosts: vec![old.clone()], ..command.selection.clone() };
        let new = Selection { successor: Some(command.to.clone()), ..old.clone() };
        let from = ready::asked(&old).await?;
        let to = ready::asked(&new).await?;
        let target = |jobs: &[Job]| -> Result<Target, Failed> {
            match jobs {
                [job] => Ok(job.target.clone()),
                _ => Err(Failed::input("name one host, not a group of them").help("move one server at a time")),
            }
        };
        let (from_target, to_target) = (target(&from.jobs.jobs)?, target(&to.jobs.jobs)?);
        if (&from_target.address, from_target.port) == (&to_target.address, to_target.port) {
            return Err(
                Failed::input("the old host and the new one are the same").help("name another host behind `--to`")
            );
        }
        prepare::warn(&from.warnings);
        let folder = from.app.folder.clone();
        let user = to.users().first().cloned().unwrap_or_else(|| "root".to_owned());
        let groups = from.jobs.read.hosts.first().map(|host| host.groups.clone()).unwrap_or_default();
        let needs_deployer = !(command.dry_run || command.rehearse || command.abort);
        let deployer = match handoff::deployer_of(&command.deployer, &command.selection, &to.app, &folder) {
            Ok(deployer) => Some(deployer),
            Err(failed) if needs_deployer => return Err(failed),
            Err(_) => None,
        };
        let edits = match &from.app.deploy {
            Some(_) => edits(command, &folder, &from_target.address, &to_target.address)?,
            None => Edits::default(),
        };
        let way = if command.via_here { Way::Here } else { Way::Direct };
        let job = Move {
            old: from_target,
            new: to_target,
            user,
            deploy: from.app.deploy,
            groups,
            also: command.also.clone(),
            skip: command.skip.clone(),
            manner: Manner { way, limit: command.bandwidth.clone(), compress: !command.no_compress },
            means: Means {
                patience: command.stop_timeout,
                own: command.freeze.clone().zip(command.thaw.clone()),
                dump: command.dump.clone(),
                grace: Duration::from_secs(command.thaw_after),
            },
            forward: command.forward,
            overwrite: command.overwrite,
        };
        let (job, kept) = (Arc::new(job), Arc::default());
        Ok(Self { command, output, old, new, job, kept, folder, deployer, edits })
    }

    /// Does a part of the move, and draws it.
    async fn part(&self, part: Part) -> Result<Exit, Failed> {
        let jobs = prepare::read_silently(&self.old).await?;
        let manner = prepare::Manner::look("migrate");
        let (job, kept) = (self.job.clone(), self.kept.clone());
        let work = move |_: Vec<Job>, run| -> futures::future::BoxFuture<'static, Exit> {
            Box::pin(chain::part(part, job, run, kept))
        };
        prepare::drawn(jobs, &self.old, &self.plain(), &manner, work).await
    }

    /// How parts are told that have no page and no recording of their own.
    fn plain(&self) -> Output {
        Output { record: None, report: None, ..self.output.clone() }
    }

    fn kept(&self) -> Kept {
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn check_old(&self) -> Result<Exit, Failed> {
        let jobs = prepare::read_silently(&self.old).await?;
        prepare::run(jobs, &self.old, &self.plain(), &prepare::Manner::look("check")).await
    }

    async fn dry_run(&self) -> Result<u8, Failed> {
        title(1, 3, &format!("check {}", self.job.old.name));
        let old = self.check_old().await?;
        if !matches!(old, Exit::Done | Exit::Drift) {
            return Ok(old.code());
        }
        title(2, 3, &format!("check {}, as it would be prepared", self.job.new.name));
        let jobs = prepare::read_silently(&self.new).await?;
        let new = prepare::run(jobs, &self.new, &self.plain(), &prepare::Manner::look("check")).await?;
        if !matches!(new, Exit::Done | Exit::Drift) {
            return Ok(new.code());
        }
        title(3, 3, "what would be moved");
        let exit = self.part(Part::Look).await?;
        if exit != Exit::Done {
            return Ok(exit.code());
        }
        sentence("\nThen, without --dry-run:");
        for line in self.steps_in_words() {
            note(&format!("  {line}"));
        }
        show(&self.edits.to_new, &self.job.old.address);
        Ok(Exit::Done.code())
    }

    fn steps_in_words(&self) -> Vec<String> {
        let (old, new) = (&self.job.old.name, &self.job.new.name);
        let deployer = self.deployer.as_ref().map_or_else(|| "kamal setup".to_owned(), |deployer| deployer.line(false));
        let mut steps = vec![
            format!("prepare {new} with the same playbooks, and see that Kamal will work there"),
            format!("copy everything while the app serves on {old}"),
            "stop what writes, copy what has changed, compare every file".to_owned(),
        ];
        if !self.edits.to_new.is_empty() {
            steps.push(format!("edit {} as below", names_of(&self.edits.to_new)));
        }
        if self.command.forward {
            steps.push(format!("hand on to {new} what still comes to {old}"));
        }
        steps.push(format!("run {deployer}, and wait until the app is well on {new}"));
        steps.push("tell which DNS records to change, and watch until they lead there".to_owned());
        steps
    }

    async fn go(&self) -> Result<u8, Failed> {
        let all = if self.command.rehearse { 4 } else { 7 };
        title(1, all, &format!("check {}", self.job.old.name));
        let exit = self.check_old().await?;
        if !matches!(exit, Exit::Done | Exit::Drift) {
            return Ok(exit.code());
        }
        if exit == Exit::Drift {
            sentence(&format!(
                "\n{} has drifted; it is left as it is, and {} is made as declared.",
                self.job.old.name, self.job.new.name
            ));
        }
        let exit = self.part(Part::Look).await?;
        if exit != Exit::Done {
            return Ok(exit.code());
        }
        if self.kept().earlier == Earlier::Moved {
            return self.forward_later().await;
        }
        title(2, all, &format!("prepare {}", self.job.new.name));
        let manner = prepare::Manner {
            mode: Mode::Apply,
            window: Duration::from_secs(self.command.window),
            ask_first: !self.command.yes,
            ..prepare::Manner::look("apply")
        };
        let jobs = prepare::read_silently(&self.new).await?;
        let exit = prepare::run(jobs, &self.new, self.output, &manner).await?;
        if exit != Exit::Done {
            return self.ends(exit.code(), "nothing was copied");
        }
        let mut asked = ready::asked(&self.new).await?;
        asked.app.make_known = true;
        let deployed = match self.job.deploy.is_some() {
            true => {
                title(3, all, &format!("see whether Kamal will work on {}", self.job.new.name));
                let gate = ready::gate(asked, &self.plain()).await?;
                if gate.exit != Exit::Done {
                    return self.ends(gate.exit.code(), "nothing was copied");
                }
                gate.deployed
            }
            false => false,
        };
        title(4, all, "copy while the app serves");
        let exit = self.part(Part::FirstCopy).await?;
        if exit != Exit::Done {
            return self.ends(exit.code(), "nothing was stopped by this run");
        }
        if self.command.rehearse {
            return self.rehearsed().await;
        }
        if !self.may_stop().await? {
            return Ok(Exit::BadInput.code());
        }
        title(5, all, "stop, copy the rest, compare");
        let exit = self.part(Part::FinalCopy).await?;
        if exit != Exit::Done {
            return Ok(exit.code());
        }
        title(6, all, &self.line(deployed));
        match self.switch(deployed).await {
            Ok(0) => {}
            // Whatever went wrong, the new host has not been seen to serve.
            failed => {
                self.back_to_old().await;
                return failed;
            }
        }
        self.settle().await;
        title(7, all, "names");
        names::tell(&self.job, &self.kept().ipv6, self.command.watch).await;
        self.farewell();
        Ok(Exit::Done.code())
    }

    fn line(&self, deployed: bool) -> String {
        self.deployer.as_ref().map(|deployer| deployer.line(deployed)).unwrap_or_default()
    }

    fn ends(&self, code: u8, what: &str) -> Result<u8, Failed> {
        sentence(&format!("\nThe move ends here: {what}. Run it again to go on."));
        Ok(code)
    }

    async fn rehearsed(&self) -> Result<u8, Failed> {
        sentence("");
        let exit = self.part(Part::Rehearse).await?;
        if exit != Exit::Done {
            return self.ends(exit.code(), "nothing was stopped by this run");
        }
        let kept = self.kept();
        let away = kept.second_pass + Duration::from_secs(10);
        sentence(&format!(
            "\nRehearsed: the first copy took {}, a second pass {}. The app will be away for about {} and as long as {} takes; \
             nothing was stopped.",
            time(kept.first_copy),
            time(kept.second_pass),
            time(away),
            self.line(false)
        ));
        Ok(Exit::Done.code())
    }

    /// Asks before the app goes away.
    async fn may_stop(&self) -> Result<bool, Failed> {
        for Mended { path, before, .. } in &self.edits.to_new {
            if std::fs::read_to_string(self.folder.join(path)).ok().as_ref() != Some(before) {
                let help = "run it again: the copy so far is kept, and nothing was stopped";
                return Err(Failed::input(format!("{path} has changed since it was read")).help(help));
            }
        }
        // Where an earlier run was cut off behind the last copy, it stands still already.
        if self.command.yes || self.kept().earlier == Earlier::Deploying {
            return Ok(true);
        }
        let silent = report::start(&report::Settings { no_bars: true, ..report::Settings::default() })?;
        let stage: Stage = silent.stage.clone();
        let question = format!("Stop the app on {} now, for the last copy?", self.job.old.name);
        match tokio::task::spawn_blocking(move || Terminal::new(stage).confirm(&question)).await {
            Ok(Answer::Yes) => Ok(true),
            Ok(Answer::No) => {
                sentence(match self.kept().stopped_before.is_empty() {
                    true => "Nothing was stopped: the app serves on the old host. Run it again to go on.",
                    false => {
                        "The app is still stopped on the old host, since an earlier run: run it again, or with --abort."
                    }
                });
                Ok(false)
            }
            Ok(Answer::NotAskable) | Err(_) => {
                let help = "run it on a terminal, or with `--yes`; the copy so far is kept, and nothing was stopped";
                Err(Failed::input("nobody can be asked whether the app may be stopped").help(help))
            }
        }
    }

    /// Makes the new host the one that serves. Gives the deployer's number.
    async fn switch(&self, deployed: bool) -> Result<u8, Failed> {
        // Whatever becomes of this process from here on, no later run copies over what the new host has got.
        let exit = self.part(Part::Switching).await?;
        if exit != Exit::Done {
            return Ok(exit.code());
        }
        if !self.edits.to_new.is_empty() {
            show(&self.edits.to_new, &self.job.old.address);
            write(&self.folder, &self.edits.to_new)?;
        }
        let Some(deployer) = &self.deployer else { return Ok(Exit::Done.code()) };
        tokio::spawn(handoff::stay());
        let code = deployer.run(&self.folder, deployed, self.output.json).await.map_err(|error| {
            Failed::host(format!("{} can not be started: {error}", deployer.line(deployed)))
                .help("see whether it can be run")
        })?;
        if code != 0 {
            sentence(&format!("\n{} has ended with {code}.", deployer.line(deployed)));
            return Ok(code);
        }
        self.see_it_well().await?;
        Ok(Exit::Done.code())
    }

    /// What is left to do once the app is well on the new host: whatever fails of it is told, and undoes nothing.
    async fn settle(&self) {
        let missed = |what: &str| sentence(&format!("warning: {what}; the move itself is done"));
        if !matches!(self.part(Part::Settle).await, Ok(Exit::Done)) {
            missed("it could not be written down on the new host that it serves now");
        }
        if self.command.forward {
            match self.part(Part::Forward).await {
                Ok(Exit::Done) => self.see_it_forwarded().await,
                _ => missed("the old host does not hand on what comes to it"),
            }
        }
        if let Some(stopped) = self.kept().stopped {
            sentence(&format!(
                "\nThe app was away for {}, from its stop to its first answer.",
                time(stopped.elapsed())
            ));
        }
        if !matches!(self.part(Part::Tidy).await, Ok(Exit::Done)) {
            missed("what was installed and kept for the copy is still there");
        }
    }

    /// What is left of a move that an earlier run has brought to its end, or nearly.
    async fn forward_later(&self) -> Result<u8, Failed> {
        title(2, 3, &format!("hand on to {}", self.job.new.name));
        let exit = self.part(Part::Forward).await?;
        if exit != Exit::Done {
            return Ok(exit.code());
        }
        self.see_it_forwarded().await;
        title(3, 3, "names");
        names::tell(&self.job, &self.kept().ipv6, self.command.watch).await;
        self.farewell();
        Ok(Exit::Done.code())
    }

    /// A firewall may let pass what Docker publishes, and not what systemd listens for.
    async fn see_it_forwarded(&self) {
        let Some(deploy) = &self.job.deploy else { return };
        for question in switch::questions(deploy, &self.job.groups) {
            let address = &self.job.old.address;
            if let Err(why) = switch::healthy(address, &question, Duration::from_secs(10)).await {
                sentence(&format!(
                    "warning: the app does not answer by the old host, {address}:{} ({why}): open that port in its firewall",
                    question.port
                ));
            }
        }
    }

    async fn see_it_well(&self) -> Result<(), Failed> {
        let Some(deploy) = &self.job.deploy else { return Ok(()) };
        for question in switch::questions(deploy, &self.job.groups) {
            let address = &self.job.new.address;
            let name = question.name.clone().unwrap_or_else(|| address.clone());
            match switch::healthy(address, &question, WELL_WITHIN).await {
                Ok(status) => {
                    sentence(&format!("{name} answers {status} on {address}:{}{}", question.port, question.path))
                }
                Err(why) => {
                    let what = format!("{name} is not well on {address}:{}{}: {why}", question.port, question.path);
                    return Err(Failed::host(what).help("see `kamal app logs` and `kamal proxy logs`"));
                }
            }
        }
        Ok(())
    }

    /// After a failure before the app was well on the new host: the old one serves again, and deploy.yml names it.
    async fn back_to_old(&self) {
        sentence("\nThe move has failed: the old host is put back in service.");
        if let Err(failed) = write(&self.folder, &self.edits.to_old) {
            failed.tell(self.output.json, None);
        }
        match self.part(Part::Abort).await {
            Ok(Exit::Done) => {
                sentence("\nThe app serves on the old host as before. Run the move again when the cause is mended.")
            }
            _ => sentence(&format!(
                "\nThe old host could NOT be put back in service: run `bedplate migrate {} --to {} --abort`",
                self.job.old.place(),
                self.job.new.place()
            )),
        }
    }

    async fn abort(&self) -> Result<u8, Failed> {
        title(1, 1, &format!("put {} back in service", self.job.old.name));
        let exit = self.part(Part::Abort).await?;
        if exit == Exit::Done && !self.edits.to_old.is_empty() {
            show(&self.edits.to_old, &self.job.new.address);
            write(&self.folder, &self.edits.to_old)?;
        }
        if exit == Exit::Done {
            sentence(
                "\nThe app serves on the old host, with the data that it had when it was stopped. What came to the new host since is there only.",
            );
        }
        Ok(exit.code())
    }

    fn farewell(&self) {
        let (old, new) = (&self.job.old, &self.job.new);
        let forwards = if self.command.forward { "; what comes to it goes on to the new one" } else { "" };
        sentence(&format!(
            "\nMoved to {}. The old host keeps its data, its containers stopped{forwards}. Delete it when you are sure; until then \
             `bedplate migrate {} --to {} --abort` goes back.",
            new.name,
            old.place(),
            new.place()
        ));
    }
}

fn title(number: usize, all: usize, text: &str) {
    note(&format!("\n── {number}/{all} ── {text}\n"));
}
