//! Walks through the configuration files: which blocks apply, which files are included, and a second pass where a
//! `Match final` asks for it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::base::{Diagnostic, Source, Span};

use super::settings::Settings;
use super::token::{Tokens, tilde};
use super::words::{keyword, words};
use super::{SshConfig, glob, pattern};

/// Files may include files so deep (READCONF_MAX_DEPTH of OpenSSH).
const DEPTH: usize = 16;

/// What is asked: the host as the operator wrote it, and what the command line has settled already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The name as it was written.
    pub host: String,
    /// Settings that stand before any file is read, and win.
    pub settled: Settings,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The settings that apply.
    pub settings: Settings,
    /// Lines that were passed over.
    pub warnings: Vec<Diagnostic>,
}

pub(super) fn lookup(config: &SshConfig, query: &Query) -> Found {
    let mut walk = Walk {
        config,
        original: &query.host,
        host: query.host.clone(),
        settings: query.settled.clone(),
        warnings: Vec::new(),
        last_pass: false,
        wants_last_pass: false,
    };
    walk.files();
    if walk.wants_last_pass {
        walk.last_pass = true;
        // In the second pass the host is known by the name that the first one found.
        let host = super::lower_name(&walk.match_host());
        walk.settings.host_name = Some(host.replace('%', "%%"));
        walk.host = host;
        walk.files();
    }
    walk.warnings.dedup();
    Found { settings: walk.settings, warnings: walk.warnings }
}

struct Walk<'a> {
    config: &'a SshConfig,
    /// The name as it was written.
    original: &'a str,
    /// The name that `Host` lines are compared with.
    host: String,
    settings: Settings,
    warnings: Vec<Diagnostic>,
    last_pass: bool,
    wants_last_pass: bool,
}

impl Walk<'_> {
    fn files(&mut self) {
        for (file, users) in self.config.files() {
            self.file(file, users, true, 0);
        }
    }

    /// Reads one file. `reachable`: it was included from a block that applies.
    fn file(&mut self, path: &Path, users: bool, reachable: bool, depth: usize) {
        let Ok(bytes) = std::fs::read(path) else { return };
        let source = Source::new(path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned());
        let mut applies = reachable;
        let mut offset = 0;
        for line in source.text.split_inclusive('\n') {
            let span = Span::new(&source, offset..offset + line.trim_end().len());
            offset += line.len();
            let Some((keyword, rest)) = keyword(line.trim_end_matches('\n')) else { continue };
            let Some(words) = words(rest) else {
                self.warn(&span, "a quote is never closed");
                continue;
            };
            match keyword.as_str() {
                "host" => applies = reachable && pattern::any_matches(words.iter().map(String::as_str), &self.host),
                "match" => applies = self.block_applies(&words, reachable, &span),
                "include" => self.include(&words, users, applies, depth, &span),
                keyword if applies => {
                    if let Err(why) = self.settings.take(keyword, rest, &words) {
                        self.warn(&span, &why);
                    }
                }
                _ => {}
            }
        }
    }

    fn warn(&mut self, span: &Span, why: &str) {
        self.warnings.push(Diagnostic::warning(why).at(span.clone(), "this line is passed over"));
    }

    fn include(&mut self, words: &[String], users: bool, applies: bool, depth: usize, span: &Span) {
        if depth + 1 >= DEPTH {
            self.warn(span, "files include one another too deeply");
            return;
        }
        for word in words {
            let folder = if users { self.config.me().home.join(".ssh") } else { Path::new("/etc/ssh").to_owned() };
            let path = folder.join(tilde(word, self.config.me()));
            for file in glob::files(&path) {
                self.file(&file, users, applies, depth + 1);
            }
        }
    }

    /// The name that `Match host` compares with.
    fn match_host(&self) -> String {
        match &self.settings.host_name {
            Some(name) => {
                let tokens = self.tokens(&self.host);
                tokens.expand(name, "h%").unwrap_or_else(|_| name.clone())
            }
            None => self.host.clone(),
        }
    }

    fn tokens<'t>(&'t self, host: &'t str) -> Tokens<'t> {
        let me = self.config.me();
        Tokens {
            original: self.original,
            host,
            port: self.settings.port.unwrap_or(22),
            user: self.settings.user.as_deref().unwrap_or(&me.user),
            key_alias: self.settings.host_key_alias.as_deref().unwrap_or(self.original),
            me,
        }
    }

    /// Whether a `Match` line applies. All its criteria must hold.
    fn block_applies(&mut self, words: &[String], reachable: bool, span: &Span) -> bool {
        if words.is_empty() {
            self.warn(span, "`Match` has no criteria");
            return false;
        }
        let mut result = reachable;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (negated, word) = word.strip_prefix('!').map_or((false, word.as_str()), |rest| (true, rest));
            // `host=web` is `host web` to ssh.
            let (name, attached) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let criterion = name.to_lowercase();
            let holds = match criterion.as_str() {
                "all" => true,
                "final" | "canonical" => {
                    self.wants_last_pass |= criterion == "final" && reachable;
                    self.last_pass
                }
                _ => {
                    let Some(value) = attached.or_else(|| words.next().map(String::as_str)) else {
                        self.warn(span, &format!("`{criterion}` has no value"));
                        return false;
                    };
                    match self.criterion(&criterion, value, result) {
                        Some(holds) => holds,
                        None => {
                            self.warn(span, &format!("`{criterion}` is a criterion that bedplate does not know"));
                            return false;
                        }
                    }
                }
            };
            result &= holds != negated;
        }
        result
    }

    fn criterion(&self, criterion: &str, value: &str, so_far: bool) -> Option<bool> {
        let me = &self.config.me().user;
        Some(match criterion {
            // Without regard to case, unlike the patterns of a `Host` line.
            "host" => pattern::list_matches(&value.to_lowercase(), &self.match_host().to_lowercase()),
            "originalhost" => pattern::list_matches(&value.to_lowercase(), &self.original.to_lowercase()),
            "user" => pattern::list_matches(value, self.settings.user.as_ref().unwrap_or(me)),
            "localuser" => pattern::list_matches(value, me),
            // The command runs only when all before it holds, as in ssh.
            "exec" => so_far && self.command_succeeds(value),
            _ => return None,
        })
    }

    fn command_succeeds(&self, command: &str) -> bool {
        let host = self.match_host();
        let Ok(command) = self.tokens(&host).expand(command, "%hnprkudilL") else { return false };
        let shell =
            std::env::var("SHELL").ok().filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".to_owned());
        let mut process = Command::new(shell);
        process.arg("-c").arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        process.status().is_ok_and(|status| status.success())
    }
}
