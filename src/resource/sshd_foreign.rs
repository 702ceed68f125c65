//! Lines of others in sshd's files: which outrank ours, and which shut somebody out.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::name::AbsPath;
use crate::machine::SshLoginState;
use crate::machine::sshd::{Config, Line, MAIN};
use crate::machine::sshd_keyword;

/// One setting that is to be in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The keyword as this sshd knows it.
    pub(super) name: &'static str,
    /// As `sshd -T` prints it.
    pub(super) value: String,
    /// Whether `sshd -T` prints it.
    pub(super) printed: bool,
}

/// What stands before a line that was commented out.
const MARK: &str = "# bedplate took this line out: ";

/// The numbers of the lines that would outrank the drop-in `ours`, by file.
pub(super) fn outranking(
    config: &Config,
    ours: &AbsPath,
    wanted: &[Wanted],
    ports: bool,
    users: &[(String, &SshLoginState)],
) -> BTreeMap<AbsPath, BTreeSet<usize>> {
    let mut found: BTreeMap<AbsPath, BTreeSet<usize>> = BTreeMap::new();
    let include = config.include_line();
    for path in config.files.keys().filter(|path| *path != ours) {
        for line in config.lines(path) {
            let before_ours =
                if path.as_str() == MAIN { include.is_some_and(|include| line.number < include) } else { path < ours };
            let outranks = match line.within {
                // Ports of all files add up.
                None if line.keyword == "port" => ports,
                None => before_ours && differs(&line, wanted).is_some(),
                Some(condition) => differs(&line, wanted).is_some_and(|value| applies(condition, &line, &value, users)),
            };
            if outranks {
                found.entry(path.clone()).or_default().insert(line.number);
            }
        }
    }
    found
}

/// The value of a line that sets a wanted keyword to something else, as `sshd -T` prints it.
fn differs(line: &Line<'_>, wanted: &[Wanted]) -> Option<String> {
    let keyword = sshd_keyword::find(&line.keyword)?;
    let wanted = wanted.iter().find(|wanted| sshd_keyword::find(wanted.name) == Some(keyword))?;
    // What has no canonical form (a list with `+`) is not ours in any case.
    let value = keyword.canonical(line.value).unwrap_or_else(|_| line.value.to_owned());
    (value != wanted.value).then_some(value)
}

/// Whether a line under `condition` can be in force for one of the users. Where a condition can not be weighed here
/// (groups, addresses), it is if sshd says the line's value now.
fn applies(condition: &str, line: &Line<'_>, value: &str, users: &[(String, &SshLoginState)]) -> bool {
    let words: Vec<&str> = condition.split_whitespace().collect();
    match words.as_slice() {
        [all] if all.eq_ignore_ascii_case("all") => true,
        [user, patterns] if user.eq_ignore_ascii_case("user") => {
            users.iter().any(|(name, _)| matches_list(name, patterns))
        }
        _ => users.iter().any(|(_, says)| says.settings.get(&line.keyword).is_some_and(|now| now == value)),
    }
}

/// `text` with these lines commented out.
pub(super) fn commented_out(text: &str, numbers: &BTreeSet<usize>) -> String {
    let lines = text.split_inclusive('\n').enumerate();
    lines
        .map(|(index, line)| if numbers.contains(&(index + 1)) { format!("{MARK}{line}") } else { line.to_owned() })
        .collect()
}

/// Where a `ListenAddress` names a port.
pub(super) fn address_with_port(config: &Config) -> Option<String> {
    config.files.keys().flat_map(|path| config.lines(path)).find_map(|line| {
        if line.keyword != "listenaddress" {
            return None;
        }
        let address = line.value.split_whitespace().next()?;
        let bare_v6 = !address.starts_with('[') && address.matches(':').count() > 1;
        let with_port = !bare_v6 && address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        with_port.then(|| format!("{}:{}", line.path, line.number))
    })
}

/// The keyword that keeps `user` from logging in, if one does (sshd_config(5), AllowUsers and its like).
pub(super) fn shut_out(user: &str, says: &SshLoginState, client: Option<&str>) -> Option<&'static str> {
    let words = |keyword: &str| -> Vec<&str> {
        says.settings.get(keyword).map(|list| list.split_whitespace().collect()).unwrap_or_default()
    };
    let is = |pattern: &str| match pattern.split_once('@') {
        Some((name, host)) => matches(user, name) && client.is_some_and(|client| matches_list(client, host)),
        None => matches(user, pattern),
    };
    let any_group = |patterns: &[&str]| says.groups.iter().any(|group| patterns.iter().any(|p| matches(group, p)));
    if words("denyusers").into_iter().any(is) {
        return Some("DenyUsers");
    }
    let allowed = words("allowusers");
    if !allowed.is_empty()
        && (allowed.iter().any(|p| p.strip_prefix('!').is_some_and(is)) || !allowed.into_iter().any(is))
    {
        return Some("AllowUsers");
    }
    if any_group(&words("denygroups")) {
        return Some("DenyGroups");
    }
    let allowed = words("allowgroups");
    (!allowed.is_empty() && !any_group(&allowed)).then_some("AllowGroups")
}

/// ssh_config(5), PATTERNS: a list with commas between, `!` before what must not match.
fn matches_list(text: &str, list: &str) -> bool {
    let patterns: Vec<&str> = list.split(',').collect();
    let denied = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(|pattern| matches(text, pattern));
    !denied && patterns.iter().any(|pattern| !pattern.starts_with('!') && matches(text, pattern))
}

/// One pattern of `*` and `?`.
fn matches(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut on, mut star) = (0, 0, None);
    while at < text.len() {
        match pattern.get(on) {
            Some('*') => {
                star = Some((on, at));
                on += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => {
                at += 1;
                on += 1;
            }
            _ => match star {
                Some((star_on, star_at)) => {
                    star = Some((star_on, star_at + 1));
                    on = star_on + 1;
                    at = star_at + 1;
                }
                None => return false,
            },
        }
    }
    pattern[on..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_ssh() {
        for (text, pattern, expected) in [
            ("deploy", "deploy", true),
            ("deploy", "dep*", true),
            ("deploy", "*oy", true),
            ("deploy", "d?ploy", true),
            ("deploy", "de", false),
            ("", "*", true),
            ("abcbc", "a*bc", true),
        ] {
            assert_eq!(matches(text, pattern), expected, "{text} {pattern}");
        }
        assert!(!matches_list("deploy", "*,!deploy"));
        assert!(matches_list("deploy", "root,deploy"));
    }
}
