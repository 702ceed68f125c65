//! Files of any text at all: every reader ends in values and mistakes, and the mistakes can be drawn.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::inventory::Address;

/// A line that belongs into one of our files, or nearly.
fn line() -> impl Strategy<Value = String> {
    let known = vec![
        "[[task]]",
        "[task]",
        "[task.file]",
        "[task.ufw]",
        "[task.sysctl.settings]",
        "[variables.a]",
        "[variables]",
        "[variables.a.default]",
        "[hosts.web1]",
        "[hosts.\"::1\"]",
        "[groups.web]",
        "[groups.web.variables]",
        "[defaults]",
        "name = \"x\"",
        "name = \"{{ a }}\"",
        "name = \"{{ item.b }}\"",
        "for_each = \"a\"",
        "when = \"a == 1\"",
        "when = \"facts.os == 'debian'\"",
        "when = \"{{ a }}\"",
        "tags = [\"t\"]",
        "tags = 5",
        "path = \"/etc/x\"",
        "content = \"{{ a }}\"",
        "content = \"{% for x in a %}{{ x }}{% endfor %}\"",
        "content = \"{{ a | tojson }}\"",
        "content = \"{{ host.name }} {{ facts.memory_mb }}\"",
        "content = \"{{ facts }}\"",
        "content = \"{{ facts.x }}\"",
        "when = \"facts\"",
        "content = \"\"\"\n{{ a\n\"\"\"",
        "mode = 0o644",
        "type = \"string\"",
        "type = \"list\"",
        "type = \"table\"",
        "default = \"{{ a }}\"",
        "default = \"{{ b }}\"",
        "default = [1, { b = 2 }]",
        "default = { secret = { env = \"X\" } }",
        "default = 99999999999999999999",
        "default = -0.0",
        "default = 2020-01-01",
        "doc = \"d\"",
        "choices = [\"x\"]",
        "secret = true",
        "rules = [{ allow = \"80\" }, { deny = \"{{ a }}\" }]",
        "address = \"user@[::1]:22\"",
        "groups = [\"web\", \"web\"]",
        "jump = \"web1\"",
        "jump = \"a,b\"",
        "fingerprint = \"SHA256:x\"",
        "key = [\"~/a\", 5]",
        "port = -1",
        "playbooks = [\"10-test\", \"builtin:20-swap\", \"none\"]",
        "a = { b = \"{{ none }}\" }",
        "a = \"{{ a }}\"",
        "# x",
        "x = [",
        "x = {",
        "\"",
        "'''",
        "= 1",
        "\u{0}",
        "ä = \"\\u00e4\"",
    ];
    prop_oneof![
        12 => select(known).prop_map(str::to_owned),
        1 => "[ -~]{0,24}",
        1 => "\\PC{0,12}",
        1 => (select(vec!["a", "path", "content", "when", "name"]), "[ -~]{0,24}")
            .prop_map(|(key, text)| format!("{key} = {:?}", format!("{{{{ {text} }}}}"))),
    ]
}

fn file() -> impl Strategy<Value = String> {
    proptest::collection::vec(line(), 0..24).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_playbook_can_break_the_reader(text in file(), template in file(), set in "[a-z]{0,3}=?\\PC{0,12}") {
        let files = Memory::of([
            ("playbooks/10-test.toml", text.as_str()),
            ("playbooks/20-other.toml", "[[task]]\nname = \"t\"\n[task.template]\npath = \"/t\"\ntemplate = \"t.j2\"\n"),
            ("templates/t.j2", template.as_str()),
            ("bedplate.toml", "playbooks = [\"10-test\", \"20-other\"]\n[hosts.web1]\naddress = \"::1\"\n"),
        ]);
        let made = made(&files, &Settings { set: vec![set], ..Settings::default() });
        let _ = made.drawn();
        for wrong in made.found.iter() {
            prop_assert!(!wrong.message.is_empty());
        }
    }

    #[test]
    fn no_inventory_can_break_the_reader(text in file(), target in "\\PC{0,20}", limit in "\\PC{0,12}") {
        let files = Memory::of([("bedplate.toml", text.as_str()), ("playbooks/10-test.toml", MOTD)]);
        let drawn = made_on(&files, &Settings::default(), &[target], &[limit]).drawn();
        let controls = drawn.chars().filter(|c| c.is_control() && *c != '\n').count();
        prop_assert_eq!(controls, 0, "{}", drawn);
    }

    #[test]
    fn every_mistake_in_one_line_of_toml_is_drawn(key in "[a-z]{1,8}", text in "[ -~]{0,30}") {
        let made = playbook(&format!("[[task]]\nname = \"x\"\n{key} = {text}\n"));
        prop_assert!(!made.found.is_empty());
        prop_assert!(made.drawn().contains("playbooks/10-test.toml:"), "{}", made.drawn());
    }

    #[test]
    fn a_mistake_inside_a_string_is_pointed_at_whatever_stands_before_it(
        before in "(\\PC|[\n\t\"\\\\'\u{1b}äß]){0,20}",
        quotes in 0usize..4,
    ) {
        let before = before.replace(['{', '}', '#', '%'], "-");
        let plain = toml::Value::String(format!("{before} {{{{ nosuch }}}}")).to_string();
        let escaped: String = before.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
        let value = match quotes {
            0 => plain,
            1 => format!("\"{escaped}{{{{ nosuch }}}}\""),
            2 => format!("\"\"\"\n{escaped}\\\n   {{{{ nosuch }}}}\"\"\""),
            _ => format!("'''\n{}{{{{ nosuch }}}}'''", before.replace(['\'', '\u{1b}'], "-")),
        };
        let text = format!("[[task]]\nname = \"x\"\n[task.file]\npath = \"/x\"\ncontent = {value}\n");
        let made = playbook(&text);
        let places: Vec<&str> = made
            .found
            .iter()
            .filter_map(|wrong| wrong.at.as_ref().map(|(span, _)| &span.source.text[span.range.clone()]))
            .collect();
        prop_assert_eq!(places, ["nosuch"], "{}", made.drawn());
    }

    #[test]
    fn an_address_is_read_back_as_it_is_written(
        user in proptest::option::of("[a-z_][a-z0-9_-]{0,8}"),
        host in prop_oneof![
            "[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\\.[a-z]{2,5})?",
            any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string()),
            any::<std::net::Ipv6Addr>().prop_map(|ip| ip.to_string()),
        ],
        port in proptest::option::of(1u16..),
    ) {
        let address = Address { user, host, port };
        let read = Address::parse(&address.to_string());
        prop_assert_eq!(read.as_ref(), Ok(&address));
        let bracketed = format!("ssh://{address}/");
        prop_assert_eq!(Address::parse(&bracketed), Ok(address));
    }

    #[test]
    fn no_address_can_break_the_reader(text in "[a-z0-9@:%/\\[\\]. -]{0,24}|\\PC{0,24}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address.clone()));
            prop_assert!(!address.host.starts_with('-') && !address.host.is_empty());
            prop_assert!(address.user.is_none_or(|user| !user.starts_with('-')));
        }
    }
}

#[test]
fn depth_is_refused_and_never_followed_to_the_end_of_the_stack() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000));
    let values =
        [deep("[", "]"), deep("{a=", "}"), format!("\"{{{{ {} }}}}\"", deep("(", ")")), "a.".repeat(20_000) + "b"];
    for value in &values {
        let text = format!("[[task]]\nname = \"x\"\n[task.file]\npath = \"/x\"\ncontent = {value}\n");
        assert!(!playbook(&text).found.is_empty());
        let inventory = format!("[variables]\nextra_packages = {value}\n[hosts.web1]\naddress = \"::1\"\n");
        assert!(!made(&Memory::of([("bedplate.toml", inventory)]), &Settings::default()).found.is_empty());
    }
    let set = |value: &str| Settings { set: vec![format!("users={value}")], ..Settings::default() };
    for value in &values[..2] {
        assert!(!made(&Memory::of([("bedplate.toml", OWN_HOST)]), &set(value)).found.is_empty());
    }
}
