//! This machine's packet rules for boxes. Each carries the box's name in a comment, by which all of them are found
//! again and removed, whoever made them.

use super::command::{command, output, run};
use super::error::Result;

const TOOLS: [&str; 2] = ["iptables", "ip6tables"];
const TABLES: [&str; 2] = ["filter", "nat"];

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Lets the box out.
    Path,
    /// Breaks the box's link for a test.
    Fault,
}

impl Purpose {
    fn tag(self, name: &str) -> String {
        match self {
            Purpose::Path => format!("bedplate-sandbox:{name}:path"),
            Purpose::Fault => format!("bedplate-sandbox:{name}:fault"),
        }
    }
}

/// Lets the packets of `network`, which come from `link`, out to where this machine gets to, and to other boxes.
pub(super) fn open(name: &str, link: &str, network: &str, all_links: &str) -> Result<()> {
    let tag = Purpose::Path.tag(name);
    let comment = ["-m", "comment", "--comment", &tag];
    let rules: [&[&str]; 3] = [
        &["-I", "FORWARD", "-i", link, "-j", "ACCEPT"],
        &["-I", "FORWARD", "-o", link, "-j", "ACCEPT"],
        &["-t", "nat", "-A", "POSTROUTING", "-s", network, "!", "-o", all_links, "-j", "MASQUERADE"],
    ];
    for rule in rules {
        let words: Vec<&str> = ["iptables", "-w"].into_iter().chain(rule.iter().copied()).chain(comment).collect();
        run(&words)?;
    }
    Ok(())
}

/// Breaks the link both ways: packets vanish, or with `reset` TCP is answered with a reset.
pub(super) fn break_link(name: &str, link: &str, reset: bool) -> Result<()> {
    let tag = Purpose::Fault.tag(name);
    let verdict: &[&str] =
        if reset { &["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"] } else { &["-j", "DROP"] };
    for tool in TOOLS {
        for place in [["INPUT", "-i"], ["OUTPUT", "-o"], ["FORWARD", "-i"], ["FORWARD", "-o"]] {
            let head = [tool, "-w", "-I", place[0], place[1], link, "-m", "comment", "--comment", &tag];
            let words: Vec<&str> = head.into_iter().chain(verdict.iter().copied()).collect();
            run(&words)?;
        }
    }
    Ok(())
}

/// Removes the box's rules of one purpose.
pub(super) fn remove(name: &str, purpose: Purpose) -> Result<()> {
    let tag = purpose.tag(name);
    for tool in TOOLS {
        for table in TABLES {
            // A kernel without IPv6, or without its nat table, has no rules to remove.
            let listed = output(&mut command(&[tool, "-w", "-t", table, "-S"]))?;
            for rule in rules_tagged(&listed.stdout, &tag) {
                let words: Vec<&str> =
                    [tool, "-w", "-t", table].into_iter().chain(rule.iter().map(String::as_str)).collect();
                run(&words)?;
            }
        }
    }
    Ok(())
}

/// The rules of `iptables -S` that carry `tag`, as the arguments that delete them.
fn rules_tagged(listing: &str, tag: &str) -> Vec<Vec<String>> {
    listing
        .lines()
        .filter_map(|line| line.strip_prefix("-A "))
        .filter_map(shlex::split)
        .filter(|words| words.windows(2).any(|pair| pair[0] == "--comment" && pair[1] == tag))
        .map(|words| std::iter::once("-D".to_owned()).chain(words).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rules_of_the_very_box_and_purpose_are_removed() {
        let listing = "-P INPUT ACCEPT\n\
            -A FORWARD -i bpbox1 -m comment --comment \"bedplate-sandbox:web:path\" -j ACCEPT\n\
            -A FORWARD -i bpbox2 -m comment --comment \"bedplate-sandbox:web2:path\" -j ACCEPT\n\
            -A INPUT -i bpbox1 -m comment --comment \"bedplate-sandbox:web:fault\" -j DROP\n\
            -A INPUT -m comment --comment \"not ours: bedplate-sandbox:web:path\" -j DROP\n";
        let rules = rules_tagged(listing, &Purpose::Path.tag("web"));
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].join(" "), "-D FORWARD -i bpbox1 -m comment --comment bedplate-sandbox:web:path -j ACCEPT");
    }
}
