//! What a host could answer instead of the truth: whatever it sends, reading it ends in an answer or in a [`BadAnswer`],
//! soon and in bounded memory, and what was read can be saved and read back.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::resource::KINDS;
use crate::shell::Mode;

/// Questions of every sort: what the examples of all resources ask, and what they leave out.
static QUESTIONS: LazyLock<Vec<Vec<Question>>> = LazyLock::new(|| {
    let mut sorts: BTreeMap<usize, BTreeSet<Question>> = BTreeMap::new();
    for kind in KINDS {
        let table = toml::de::DeTable::parse(kind.example()).unwrap();
        let value = toml::Spanned::new(table.span(), toml::de::DeValue::Table(table.into_inner()));
        let (resource, _) = kind.decode(value.into()).unwrap();
        for question in resource.facts() {
            sorts.entry(question.sort()).or_default().insert(question);
        }
    }
    let loaded = Loaded::try_from("cron.service\n/etc/crontab\n/etc/cron.d".to_owned()).unwrap();
    for question in [System::Here.into(), Question::from(loaded)] {
        sorts.entry(question.sort()).or_default().insert(question);
    }
    sorts.into_values().map(|questions| questions.into_iter().collect()).collect()
});

/// What the machine that runs the tests answers, a body a sort: the stuff that lies are made of.
static TRUTHS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let calls = QUESTIONS.iter().map(|questions| Question::call(questions).unwrap()).collect();
    testing::run(&Batch::new(Mode::Probe, calls)).into_iter().map(|(_, body)| body).collect()
});

/// A field that means something somewhere, or is too large, too small or not even text.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let words = vec![
        "",
        "0",
        "1",
        "2",
        "-1",
        "-",
        "+1",
        " 1",
        "1 ",
        "0x10",
        "65536",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775807",
        "1e9",
        "yes",
        "no",
        "present",
        "absent",
        "file",
        "directory",
        "link",
        "other",
        "large",
        "masked",
        "enabled",
        "active",
        "failed",
        "root",
        "deploy",
        "/",
        "/etc/fstab",
        "//",
        "..",
        "a:b:c",
        ":",
        "=",
        "#",
        "\n",
        "\n\n",
        "\t",
        "ii ",
        "install ok installed",
        "UUID=1",
        "ext4",
        "none",
        "Types: deb\nURIs: x\n",
        "ssh-ed25519 AAAA x",
        "port 22\n",
        "{",
        "{}",
        "[]",
        "null",
        "\u{1b}[31m",
        "\u{202e}",
        "ä",
        "\u{fffd}",
    ];
    prop_oneof![
        6 => select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => any::<u64>().prop_map(|number| number.to_string().into_bytes()),
    ]
}

/// One thing that happens to a true answer on its way to a lie.
#[derive(Debug, Clone)]
enum Bend {
    Cut(Index),
    Flip(Index, u8),
    Drop(Index),
    Twice(Index),
    Swap(Index, Vec<u8>),
}

impl Bend {
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            any::<Index>().prop_map(Bend::Cut),
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Bend::Flip(at, byte)),
            any::<Index>().prop_map(Bend::Drop),
            any::<Index>().prop_map(Bend::Twice),
            (any::<Index>(), field()).prop_map(|(at, field)| Bend::Swap(at, field)),
        ]
    }

    fn bend(&self, body: Vec<u8>) -> Vec<u8> {
        if body.is_empty() {
            return body;
        }
        let mut body = body;
        let mut fields: Vec<Vec<u8>> = body.split_inclusive(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        match self {
            Bend::Cut(at) => {
                body.truncate(at.index(body.len()));
                return body;
            }
            Bend::Flip(at, byte) => {
                let at = at.index(body.len());
                body[at] = *byte;
                return body;
            }
            Bend::Drop(at) => {
                fields.remove(at.index(fields.len()));
            }
            Bend::Twice(at) => {
                let at = at.index(fields.len());
                fields.insert(at, fields[at].clone());
            }
            Bend::Swap(at, field) => {
                let at = at.index(fields.len());
                fields[at] = [field.as_slice(), b"\0"].concat();
            }
        }
        fields.concat()
    }
}

/// A body of any sort: rubbish, fields that could be some, or the truth with a few bends.
fn body(truth: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let fields = proptest::collection::vec(field(), 0..40)
        .prop_map(|fields| fields.iter().flat_map(|field| [field.as_slice(), b"\0"].concat()).collect());
    let bent = proptest::collection::vec(Bend::any(), 0..4)
        .prop_map(move |bends| bends.iter().fold(truth.clone(), |body, bend| bend.bend(body)));
    prop_oneof![1 => proptest::collection::vec(any::<u8>(), 0..200), 2 => fields, 4 => bent]
}

#[test]
fn every_sort_of_fact_is_asked_by_an_example() {
    let sorts = include_str!("sorts.rs").split_once("\nsorts! {").unwrap().1;
    let sorts = sorts.lines().filter(|line| line.trim_end().ends_with(',') && !line.contains("///")).count();
    assert_eq!(QUESTIONS.len(), sorts);
}

#[test]
fn no_answer_can_break_the_reader() {
    for (questions, truth) in QUESTIONS.iter().zip(TRUTHS.iter()) {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 300,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&body(truth.clone()), |body| {
            let mut machine = Machine::default();
            if Question::read(questions, &mut Fields::new(&body), &mut machine).is_ok() {
                machine.touched.clear();
                let saved = serde_json::to_string(&machine).map_err(|error| TestCaseError::fail(error.to_string()))?;
                let read: Machine =
                    serde_json::from_str(&saved).map_err(|error| TestCaseError::fail(format!("{error}: {saved}")))?;
                prop_assert_eq!(&read, &machine);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{:?}: {error}", questions[0]);
        }
    }
}

#[test]
fn a_missing_answer_is_no_answer() {
    let probe = Probe::new(QUESTIONS.iter().flatten().cloned());
    assert!(probe.read(TRUTHS.iter().take(3).map(Vec::as_slice)).is_err());
    assert_eq!(probe.len(), QUESTIONS.iter().map(Vec::len).sum::<usize>());
}
