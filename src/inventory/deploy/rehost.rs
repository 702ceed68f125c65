//! A host's address in a deploy.yml replaced by another, where it stands: in roles and accessories. Lines keep their
//! comments and their form. The edit counts only if the file, read again, says the same of the new host as it did of the
//! old one, and of everything else what it said. Nothing is written here.

use std::collections::BTreeMap;

use super::mend::{Edit, Files, edited, rest_is_same};
use super::{Deploy, FILE, Mended, Said, Setting, load};
use crate::base::Diagnostics;
use crate::playbook::local::{Local, Memory};

/// Why a file can not be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEdited {
    /// The old host is not in it.
    #[error("{0} does not name the old host")]
    NotNamed(String),
    /// The address is made by a template or an anchor, or means something else besides.
    #[error("{path} names the old host in a way that can not be edited safely (line {line})")]
    ByHand {
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
    },
}

/// The files of the app in `local` with `old` replaced by `new`. Errors: they can not be edited.
pub fn rehosted(
    local: &dyn Local,
    destination: Option<&str>,
    env: &BTreeMap<String, String>,
    old: &str,
    new: &str,
) -> Result<Vec<Mended>, NotEdited> {
    let paths = std::iter::once(FILE.to_owned()).chain(destination.map(Deploy::destination_file));
    let before: Files = paths.filter_map(|path| local.read(&path).ok().flatten().map(|text| (path, text))).collect();
    let read = |files: &Files| load(&Memory::of(files.clone()), destination, env, &mut Diagnostics::new());
    let not_named = || NotEdited::NotNamed(FILE.to_owned());
    let deploy = read(&before).ok_or_else(not_named)?;
    let mut edits: Vec<Edit> = Vec::new();
    for said in places(&deploy, old) {
        let path = said.span.source.name.clone();
        let line = said.span.source.text.get(..said.span.range.start).unwrap_or_default().matches('\n').count() + 1;
        let by_hand = || NotEdited::ByHand { path: path.clone(), line };
        let range = said.span.range.clone();
        let text = said.span.source.text.get(range.clone()).ok_or_else(by_hand)?;
        let at = text.find(old).filter(|at| !text[at + old.len()..].contains(old)).ok_or_else(by_hand)?;
        let range = range.start + at..range.start + at + old.len();
        let edit = Edit { path: path.clone(), range, text: new.to_owned() };
        // An anchor stands in one place and means many.
        if !edits.contains(&edit) {
            edits.push(edit);
        }
    }
    let first = edits.first().ok_or_else(not_named)?.clone();
    let by_hand = || {
        let text = before.get(&first.path).map_or("", String::as_str);
        let line = text.get(..first.range.start).unwrap_or_default().matches('\n').count() + 1;
        NotEdited::ByHand { path: first.path.clone(), line }
    };
    let after = edited(&before, &edits).ok_or_else(by_hand)?;
    let again = read(&after).ok_or_else(by_hand)?;
    let moved: Vec<String> =
        addresses(&deploy).into_iter().map(|address| if address == old { new.to_owned() } else { address }).collect();
    let keys = ["servers".to_owned(), "accessories".to_owned()];
    if addresses(&again) != moved || !rest_is_same(&deploy.tree, &again.tree, &keys) {
        return Err(by_hand());
    }
    let changed = before.into_iter().filter_map(|(path, before)| {
        let after = after.get(&path).filter(|after| **after != before)?.clone();
        Some(Mended { path, before, after })
    });
    Ok(changed.collect())
}

/// The lines that still hold `old` after the edits, as `path:line: text`: what is no host to deploy to is not for us to
/// judge. Comments are left out.
pub fn still_holding(edits: &[Mended], old: &str) -> Vec<String> {
    let of = |edit: &Mended| -> Vec<String> {
        let lines = edit.after.lines().map(str::trim).enumerate();
        lines
            .filter(|(_, line)| !line.starts_with('#') && holds(line.split(" #").next().unwrap_or_default(), old))
            .map(|(number, line)| format!("{}:{}: {line}", edit.path, number + 1))
            .collect()
    };
    edits.iter().flat_map(of).collect()
}

/// Whether `address` stands in a line by itself, not as a part of a longer name or number.
fn holds(line: &str, address: &str) -> bool {
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    line.match_indices(address).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let mut after = line[at + address.len()..].chars();
        let (next, second) = (after.next(), after.next());
        let longer = next.is_some_and(part_of_name) || (next == Some('.') && second.is_some_and(part_of_name));
        !longer && !before.is_some_and(|c| part_of_name(c) || c == '.')
    })
}

fn places<'a>(deploy: &'a Deploy, address: &'a str) -> impl Iterator<Item = &'a Said<String>> {
    let roles = deploy.roles.iter().flat_map(|role| role.hosts.iter().map(|server| &server.address));
    let accessories = deploy.accessories.iter().flat_map(|accessory| &accessory.hosts);
    roles.chain(accessories).filter_map(move |setting| match setting {
        Setting::Known(said) if said.value == address => Some(said),
        _ => None,
    })
}

fn addresses(deploy: &Deploy) -> Vec<String> {
    let roles = deploy.roles.iter().flat_map(|role| role.hosts.iter().map(|server| &server.address));
    let all = roles.chain(deploy.accessories.iter().flat_map(|accessory| &accessory.hosts));
    all.map(|setting| setting.known().cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(text: &str) -> Result<String, NotEdited> {
        let local = Memory::of([(FILE, text)]);
        let mut all = rehosted(&local, None, &BTreeMap::new(), "203.0.113.5", "198.51.100.7")?;
        assert_eq!(all.len(), 1);
        Ok(all.remove(0).after)
    }

    #[test]
    fn comments_and_form_stay_and_every_place_is_found() {
        let text = "# ours, 203.0.113.5\nservice: shop\nimage: a\nservers:\n  web:\n    - 203.0.113.5  # the box\n    - 203.0.113.50\n  \
                    job:\n    hosts: [ '203.0.113.5' ]\n    cmd: bin/jobs\naccessories:\n  db:\n    image: b\n    \
                    host: \"203.0.113.5\"\nproxy:\n  host: shop.example.com\n";
        let wanted = text
            .replace("- 203.0.113.5  #", "- 198.51.100.7  #")
            .replace("'203.0.113.5'", "'198.51.100.7'")
            .replace("\"203.0.113.5\"", "\"198.51.100.7\"");
        assert_eq!(edit(text).unwrap(), wanted);
    }

    #[test]
    fn hosts_with_tags_keep_them() {
        let text = "service: a\nimage: a\nservers:\n  web:\n    - 203.0.113.5: [primary]\n    - 192.0.2.1: primary\n";
        assert_eq!(edit(text).unwrap(), text.replace("203.0.113.5", "198.51.100.7"));
    }

    #[test]
    fn what_is_not_a_plain_address_is_left_to_its_owner() {
        let text = "service: a\nimage: a\nservers:\n  - <%= \"203.0.113.5\" %>\n";
        assert!(matches!(edit(text), Err(NotEdited::ByHand { .. } | NotEdited::NotNamed(_))), "{:?}", edit(text));
        assert_eq!(edit("service: a\nimage: a\nservers: [192.0.2.1]\n"), Err(NotEdited::NotNamed(FILE.into())));
    }

    #[test]
    fn what_still_holds_the_address_is_told_and_not_what_only_looks_like_it() {
        let text = "service: a\nimage: a\n# was 203.0.113.5\nservers: [203.0.113.5] # 203.0.113.5\nenv:\n  clear:\n    DB_HOST: 203.0.113.5\n    \
                    URL: redis://203.0.113.5:6379\n    OTHER: 203.0.113.50\n    MORE: 1.203.0.113.5\n    NAME: 203.0.113.5.nip.io\n";
        let local = Memory::of([(FILE, text)]);
        let edits = rehosted(&local, None, &BTreeMap::new(), "203.0.113.5", "198.51.100.7").unwrap();
        let wanted =
            ["config/deploy.yml:7: DB_HOST: 203.0.113.5", "config/deploy.yml:8: URL: redis://203.0.113.5:6379"];
        assert_eq!(still_holding(&edits, "203.0.113.5"), wanted);
    }

    #[test]
    fn an_anchor_is_edited_once() {
        let text = "service: a\nimage: a\nservers:\n  web:\n    - &box 203.0.113.5\naccessories:\n  db:\n    image: b\n    host: *box\n";
        assert_eq!(edit(text).unwrap(), text.replace("203.0.113.5", "198.51.100.7"));
    }
}
