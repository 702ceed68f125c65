//! The floors of the house: a file imports only from floors below its own.

use std::collections::BTreeSet;

use syn::visit::Visit;

/// Folders of `src/` with their floors. Folders of one floor do not import one another.
const FLOORS: &[(&str, u32)] = &[
    ("base", 0),
    ("shell", 10),
    ("machine", 20),
    ("action", 30),
    ("resource", 40),
    ("playbook", 50),
    ("inventory", 51),
    ("plan", 60),
    ("ssh", 70),
    ("engine", 80),
    ("handoff", 90),
    ("migrate", 90),
    ("sandbox", 90),
    ("report", 5),
    // What tests need of this machine; no folder of `src/`.
    ("tools", 1),
    ("cli", 100),
];

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The rooms that a source text names by a path from `crate`, its test modules left out.
fn rooms_named(source: &str) -> BTreeSet<String> {
    let file = syn::parse_file(source).expect("a file that compiles");
    let mut found = Found::default();
    found.visit_file(&file);
    found.0
}

#[derive(Default)]
struct Found(BTreeSet<String>);

impl Found {
    fn tree(&mut self, tree: &syn::UseTree) {
        match tree {
            syn::UseTree::Path(path) => {
                self.0.insert(path.ident.to_string());
            }
            syn::UseTree::Name(name) => {
                self.0.insert(name.ident.to_string());
            }
            syn::UseTree::Rename(rename) => {
                self.0.insert(rename.ident.to_string());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item)),
            syn::UseTree::Glob(_) => {
                self.0.insert("*".into());
            }
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test")
    })
}

impl<'ast> Visit<'ast> for Found {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if let syn::UseTree::Path(path) = &item.tree
            && path.ident == "crate"
            && !is_test(&item.attrs)
        {
            self.tree(&path.tree);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        if segments.next().is_some_and(|first| first.ident == "crate")
            && let Some(room) = segments.next()
        {
            self.0.insert(room.ident.to_string());
        }
        syn::visit::visit_path(self, path);
    }
}

/// What is wrong with `rooms` being named in `room`.
fn upward(room: &str, rooms: &BTreeSet<String>) -> Vec<String> {
    let own =
        floor(room).unwrap_or_else(|| panic!("src/{room} has no floor: give it one in this test and in src/lib.rs"));
    let allowed = |other: &String| {
        other == room || floor(other).is_some_and(|floor| floor < own && (other != "report" || room == "cli"))
    };
    rooms.iter().filter(|other| !allowed(other)).map(|other| format!("{room} imports {other}")).collect()
}

#[test]
fn every_import_goes_down() {
    let mut wrong = Vec::new();
    for path in super::tidy::files("src", &["rs"]) {
        let inside = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("a path in src");
        let Some(room) = inside.components().next().filter(|_| inside.components().count() > 1) else { continue };
        let room = room.as_os_str().to_str().expect("a plain name");
        // Files that exist for tests alone may look anywhere.
        if ["laws", "tests", "samples"].iter().any(|stem| path.file_stem().is_some_and(|s| s == *stem)) {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("a readable file");
        wrong.extend(
            upward(room, &rooms_named(&source)).into_iter().map(|what| format!("{}: {what}", inside.display())),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_upward_import_is_found_however_it_is_written() {
    for source in [
        "use crate::engine::Run;",
        "use crate::{base::Exit, engine::Run};",
        "use crate::{base, engine};",
        "fn f() { crate::engine::run(); }",
        "type T = Vec<crate::engine::Run>;",
        "mod inner { use crate::engine; }",
    ] {
        assert_eq!(upward("machine", &rooms_named(source)), ["machine imports engine"], "{source}");
    }
    assert!(upward("machine", &rooms_named("#[cfg(test)] mod tests { use crate::engine::Run; }")).is_empty());
    assert!(upward("report", &rooms_named("use crate::base::Event;")).is_empty());
    assert!(!upward("engine", &rooms_named("use crate::report::start;")).is_empty());
}
