//! Whole runs drawn, and the laws of drawing.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::ink::cells;
use super::story::Story;
use super::*;
use super::{html, samples};
use crate::base::event::{
    EventKind, Failure, Finding, Mistake, PlannedChange, Readiness, ReadyCheck, Tally, TaskPlan, Verdict,
};
use crate::base::name::HostName;
use crate::base::{Diff, Digest, exit};

pub(super) fn style(width: usize) -> Style {
    let paper = Paper { colour: false, width };
    Style { answer: paper, notes: paper, detail: Detail { verbose: 0, diff_lines: 40, context: 3 }, bars: false }
}

pub(super) fn verbose(mut style: Style) -> Style {
    style.detail.verbose += 1;
    style
}

fn texts(events: &[Event], style: Style) -> Vec<Text> {
    let mut human = Human::new(style);
    let mut texts: Vec<Text> = events.iter().flat_map(|event| human.event(event)).collect();
    texts.extend(human.finish());
    texts
}

/// What a run draws, with notes marked by `2|`.
pub(super) fn drawn(events: &[Event], style: Style) -> String {
    let mut out = String::new();
    for text in texts(events, style) {
        for line in text.text.lines() {
            let mark = if text.to == Outlet::Notes { "2| " } else { "" };
            out.push_str(format!("{mark}{line}").trim_end());
            out.push('\n');
        }
    }
    out
}

fn answer(events: &[Event], style: Style) -> String {
    texts(events, style).iter().filter(|text| text.to == Outlet::Answer).map(|text| text.text.as_str()).collect()
}

#[track_caller]
pub(super) fn assert_drawn(drawn: &str, golden: &str) {
    let golden = golden.strip_prefix('\n').unwrap_or(golden);
    assert!(drawn == golden, "drawn:\n{drawn}\nwanted:\n{golden}");
}

#[test]
fn the_answer_alone_begins_with_the_plan_and_has_no_progress_in_it() {
    let text = answer(&samples::apply_with_guard(), style(100));
    assert!(text.starts_with("web1 · Debian 12"), "{text}");
    assert!(!text.contains("guard armed") && text.contains("✓ web1  2 changed"), "{text}");
}

#[test]
fn in_an_apply_an_equal_plan_is_named_not_repeated() {
    let tasks = vec![samples::tasks()[3].clone()];
    let plan = |ms, name| samples::at(ms, name, EventKind::Planned { tasks: tasks.clone(), findings: vec![] });
    let events = [samples::started("apply", &[], &["web1", "db"]), plan(5, "db"), plan(6, "web1")];
    let text = drawn(&events, style(80));
    assert_eq!(text.matches("the kernel swaps late").count(), 1, "{text}");
    assert!(text.contains("2| web1  = same plan as db\n"), "{text}");
}

#[test]
fn what_an_apply_learns_on_the_way_is_drawn_once_it_is_known() {
    let mut later = samples::tasks().swap_remove(6);
    let first = EventKind::Planned { tasks: vec![later.clone()], findings: vec![] };
    later.verdict = Verdict::Change;
    later.changes = vec![PlannedChange { summary: "write /etc/docker/daemon.json".into(), diff: None }];
    let second = EventKind::Planned { tasks: vec![later], findings: vec![] };
    let events =
        [samples::started("apply", &[], &["web1"]), samples::at(1, "web1", first), samples::at(2, "web1", second)];
    let text = answer(&events, style(80));
    let news = "\nweb1 · now known\n\n  ~ Docker keeps its logs small  file  playbooks/base.toml:54\n      write /etc/docker/daemon.json\n";
    assert!(text.contains(news), "{text}");
}

#[test]
fn what_was_changed_stays_in_the_story_when_it_is_planned_again() {
    let mut task = samples::tasks().swap_remove(3);
    let plan = |task: &TaskPlan| EventKind::Planned { tasks: vec![task.clone()], findings: vec![] };
    let first = samples::at(1, "web1", plan(&task));
    (task.verdict, task.changes) = (Verdict::InSync, vec![]);
    let events = [first, samples::at(2, "web1", plan(&task))];
    let mut story = Story::default();
    for event in &events {
        story.event(event);
    }
    assert!(html::page(&story, "", &[]).contains("60 → 10"));
    assert_eq!(answer(&events, style(80)).matches("the kernel swaps late").count(), 1);
}

#[test]
fn a_run_that_is_cut_off_still_has_an_end() {
    let events = samples::apply_with_guard();
    let text = answer(&events[..7], style(80));
    assert!(
        text.ends_with(
            "The run was cut off. `bedplate check root@203.0.113.5` tells how the hosts are now.\n".trim_start()
        ) || text.contains("The run was cut off."),
        "{text}"
    );
    assert!(text.contains("! web1  cut off · 2 to change") || text.contains("! web1  cut off · 2 changed"), "{text}");
}

#[test]
fn with_bars_many_hosts_need_no_lines_for_their_steps() {
    let with_bars = Style { bars: true, ..style(80) };
    let text = drawn(&samples::check_twenty(), with_bars);
    assert!(!text.contains("84 facts") && text.contains("2| error: web7: no answer"), "{text}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    for events in samples::all() {
        let coloured =
            Style { answer: Paper { colour: true, width: 80 }, notes: Paper { colour: true, width: 80 }, ..style(80) };
        let stripped: String =
            texts(&events, coloured).iter().map(|t| console::strip_ansi_codes(&t.text).into_owned()).collect();
        let plain: String = texts(&events, style(80)).iter().map(|t| t.text.clone()).collect();
        assert_eq!(stripped, plain);
    }
}

#[test]
fn a_page_holds_no_markup_of_others() {
    let evil = "<script>alert('x')</script>\"&\u{1b}[31m";
    let mut tasks = samples::tasks();
    for task in &mut tasks {
        (task.name, task.resource, task.place, task.why) = (evil.into(), evil.into(), evil.into(), evil.into());
        task.changes.push(PlannedChange { summary: evil.into(), diff: Some(Diff::value(evil, evil, evil)) });
        let text = |text: &str| Some(format!("{text}\n").repeat(3));
        let diff = Diff::Text { path: evil.into(), before: text("a"), after: text(evil) };
        task.changes.push(PlannedChange { summary: evil.into(), diff: Some(diff) });
    }
    let mut story = Story::default();
    for event in samples::check(tasks, vec![Finding { id: evil.into(), what: evil.into(), help: Some(evil.into()) }]) {
        story.event(&event);
    }
    let failure =
        Failure { what: evil.into(), place: Some(evil.into()), said: vec![evil.into()], ..Failure::default() };
    story.event(&samples::at(9, "web1", EventKind::HostFailed(failure)));
    let check = |readiness| ReadyCheck { check: evil.into(), readiness, what: evil.into(), help: Some(evil.into()) };
    for readiness in [Readiness::Ready, Readiness::Warning, Readiness::NotReady] {
        story.event(&samples::at(9, "web1", EventKind::ReadyChecked(check(readiness))));
    }
    let row = SettingRow {
        group: evil.into(),
        name: evil.into(),
        value: evil.into(),
        reason: evil.into(),
        source: evil.into(),
    };
    let page = html::page(&story, evil, &[row]);
    assert!(!page.contains("<script") && !page.contains("('x')") && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
    for from_outside in ["http:", "https:", "src=", "url(", "@import"] {
        assert!(!page.contains(from_outside), "{from_outside}");
    }
}

#[test]
fn the_gate_has_its_page_too_and_settings_stand_in_groups() {
    let mut story = Story::default();
    let check = |check: &str, readiness| {
        let help = (readiness != Readiness::Ready).then(|| "do this".to_owned());
        EventKind::ReadyChecked(ReadyCheck { check: check.into(), readiness, what: "seen".into(), help })
    };
    let run = EventKind::RunStarted {
        command: "ready".into(),
        arguments: Vec::new(),
        version: "1".into(),
        hosts: vec![samples::host("web1")],
    };
    story.event(&samples::at(0, "", run));
    story.event(&samples::at(1, "web1", check("login", Readiness::Ready)));
    story.event(&samples::at(2, "web1", check("registry", Readiness::NotReady)));
    let tally = Tally { in_sync: 1, failed: 1, ..Tally::default() };
    let exit = crate::base::Exit::HostFailed;
    story.event(&samples::at(3, "web1", EventKind::HostFinished { tally, exit }));
    let row = |group: &str, name: &str| SettingRow { group: group.into(), name: name.into(), ..SettingRow::default() };
    let page = html::page(&story, "", &[row("Who gets in", "a"), row("Who gets in", "b"), row("Swap", "c")]);
    for part in ["not ready", "✗</span> registry", "do this", "1 check passed", "<b>1</b> check failed", "2 checks"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert_eq!(page.matches("<table>").count(), 2, "{page}");
    assert!(page.contains("Who gets in <span class=\"facts\">2 settings</span>"), "{page}");
}

#[test]
fn a_page_replaces_the_old_one_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    std::fs::write(&path, "old").unwrap();
    let mut sink = Html::create(&Page { path: path.clone(), ..Page::default() }).unwrap();
    for event in samples::check_twenty() {
        sink.event(&event).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    sink.finish().unwrap();
    drop(sink);
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains("id=\"host-19\"") && page.ends_with("</html>\n"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = Page { path: folder.path().join("missing/report.html"), ..Page::default() };
    assert!(matches!(Html::create(&nowhere), Err(ReportError::Page { .. })));
}

#[tokio::test]
async fn the_started_report_draws_into_its_log_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.jsonl");
    let page = Page { path: folder.path().join("run.html"), ..Page::default() };
    let settings = Settings { log: Some(log.clone()), html: Some(page.clone()), ..Settings::default() };
    let out = Buffer::default();
    let style = Style { bars: false, ..style(80) };
    let sinks = Sinks::new(&settings, style, Bars::hidden(), Box::new(out.clone()), Box::new(out.clone())).unwrap();
    let running = run(sinks, Bars::hidden().multi().clone()).unwrap();
    let events = samples::apply_with_guard();
    for event in &events {
        running.events.send(event.clone()).await.unwrap();
    }
    running.stage.settled().await;
    assert!(out.text().contains("Applied and verified."), "{}", out.text());
    drop(running.events);
    assert!(running.done.await.unwrap().is_empty());
    let recording = read(std::fs::read(&log).unwrap().as_slice()).unwrap();
    assert_eq!(recording.events, events);
    assert!(page.path.exists());
    running.stage.settled().await;
}

#[tokio::test]
async fn a_question_waits_for_all_that_was_sent_before_it() {
    let (events, mut incoming) = mpsc::channel(64);
    let (settle, mut settling) = mpsc::unbounded_channel();
    let (drawn, _wait) = oneshot::channel();
    settle.send(drawn).unwrap();
    let sent = samples::apply_with_guard();
    for event in &sent {
        events.send(event.clone()).await.unwrap();
    }
    for event in &sent {
        let message = next(&mut incoming, &mut settling).await;
        assert!(matches!(message, Some(Message::Event(drawn)) if *drawn == *event));
    }
    assert!(matches!(next(&mut incoming, &mut settling).await, Some(Message::Drawn(_))));
    drop(events);
    assert!(next(&mut incoming, &mut settling).await.is_none());
}

#[derive(Clone, Default)]
struct Buffer(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z/. ]{0,30}",
        "\\PC{0,20}",
        any::<String>(),
        Just("a much longer text that has to be broken over more than one line to fit the page it is on".to_owned()),
        Just("a\u{1b}[2Jb\r\n\tc\u{202e}漢字".to_owned()),
    ]
}

/// With `whole`, also diffs of texts and sets, whose content may be wider than the page.
fn diff(whole: bool) -> BoxedStrategy<Diff> {
    let value = (text(), option::of(text()), option::of(text()))
        .prop_map(|(what, before, after)| Diff::Value { what, before, after })
        .boxed();
    let digest = || option::of(text().prop_map(Digest::of));
    let opaque = (text(), digest(), digest()).prop_map(|(what, before, after)| Diff::Opaque { what, before, after });
    if !whole {
        return opaque.boxed();
    }
    let of_text = (text(), option::of(text()), option::of(text())).prop_map(|(path, before, after)| Diff::Text {
        path,
        before,
        after,
    });
    let set =
        (text(), vec(text(), 0..3), vec(text(), 0..3)).prop_map(|(what, minus, plus)| Diff::Set { what, minus, plus });
    prop_oneof![value, opaque, of_text, set].boxed()
}

fn verdict() -> impl Strategy<Value = Verdict> {
    use Verdict::{Change, InSync, KnownLater, Refused, Skipped};
    prop::sample::select(vec![InSync, Change, Change, KnownLater, Skipped, Refused])
}

fn task(whole: bool) -> impl Strategy<Value = TaskPlan> {
    let change = (text(), option::of(diff(whole))).prop_map(|(summary, diff)| PlannedChange { summary, diff });
    (1usize..6, text(), text(), text(), verdict(), text(), option::of(text()), vec(change, 0..3), any::<bool>())
        .prop_map(|(task, name, resource, place, verdict, why, help, changes, guarded)| TaskPlan {
            task,
            name,
            resource,
            place,
            verdict,
            why,
            help,
            changes,
            guarded,
        })
}

fn tally() -> impl Strategy<Value = Tally> {
    [0usize..30, 0..30, 0..3, 0..3, 0..3, 0..3, 0..3].prop_map(
        |[in_sync, changed, known_later, skipped, refused, failed, findings]| Tally {
            in_sync,
            changed,
            known_later,
            skipped,
            refused,
            failed,
            findings,
        },
    )
}

fn host_name() -> impl Strategy<Value = HostName> {
    prop::sample::select(vec!["web1", "web2", "db", "a-host-with-a-very-long-name.in.a.deep.domain.example.com"])
        .prop_map(samples::host)
}

fn kind(whole: bool) -> impl Strategy<Value = EventKind> {
    let finding = (text(), text(), option::of(text())).prop_map(|(id, what, help)| Finding { id, what, help });
    let failure = (text(), option::of(text()), vec(text(), 0..3), option::of(text()), option::of(text()))
        .prop_map(|(what, place, said, state, help)| Failure { what, place, said, state, help });
    let mistake = (text(), any::<bool>(), option::of(text()), option::of(1usize..99), vec(text(), 0..2))
        .prop_map(|(what, warning, file, line, help)| Mistake { what, warning, file, line, column: line, help });
    let ends = || prop::sample::select(exit::ALL.to_vec());
    let commands = prop::sample::select(vec!["check", "apply", "migrate", "ready"]);
    let differs = vec((1usize..9, text(), text()), 0..3);
    prop_oneof![
        (commands, vec(text(), 0..3), text(), vec(host_name(), 0..4)).prop_map(
            |(command, arguments, version, hosts)| {
                EventKind::RunStarted { command: command.into(), arguments, version, hosts }
            }
        ),
        text().prop_map(|address| EventKind::HostConnecting { address }),
        (text(), any::<u64>()).prop_map(|(user, took_ms)| EventKind::HostConnected { user, took_ms }),
        text().prop_map(|text| EventKind::Note { text }),
        text().prop_map(|why| EventKind::HostNotBegun { why }),
        (
            text(),
            prop::sample::select(vec![Readiness::Ready, Readiness::Warning, Readiness::NotReady]),
            text(),
            option::of(text())
        )
            .prop_map(|(check, readiness, what, help)| {
                EventKind::ReadyChecked(ReadyCheck { check, readiness, what, help })
            }),
        (text(), 0usize..99, any::<u64>()).prop_map(|(system, facts, took_ms)| EventKind::ProbeFinished {
            system,
            facts,
            took_ms
        }),
        (vec(task(whole), 0..5), vec(finding, 0..2))
            .prop_map(|(tasks, findings)| EventKind::Planned { tasks, findings }),
        (1usize..9, text(), text(), 1usize..9, 1usize..9)
            .prop_map(|(task, name, action, step, steps)| EventKind::ActionStarted { task, name, action, step, steps }),
        text().prop_map(|line| EventKind::Output { line }),
        (1usize..9, text(), 0u64..99_999).prop_map(|(task, action, took_ms)| EventKind::ActionFinished {
            task,
            action,
            took_ms
        }),
        (1u64..99, vec(text(), 0..3)).prop_map(|(window_s, covers)| EventKind::GuardArmed { window_s, covers }),
        (text(), any::<u64>()).prop_map(|(login, took_ms)| EventKind::GuardConfirmed { login, took_ms }),
        (vec(text(), 0..3), text(), vec(text(), 0..2), vec(text(), 0..2))
            .prop_map(|(restored, cause, left, forced)| { EventKind::GuardRestored { restored, cause, left, forced } }),
        (differs, any::<u64>()).prop_map(|(differs, took_ms)| EventKind::Verified { differs, took_ms }),
        failure.prop_map(EventKind::HostFailed),
        (ends(), vec(mistake, 0..3), text()).prop_map(|(exit, mistakes, text)| EventKind::RunRefused {
            exit,
            mistakes,
            text
        }),
        (tally(), ends()).prop_map(|(tally, exit)| EventKind::HostFinished { tally, exit }),
        (tally(), ends()).prop_map(|(tally, exit)| EventKind::RunFinished { tally, exit }),
    ]
}

fn events(whole: bool) -> impl Strategy<Value = Vec<Event>> {
    let event = (any::<u64>(), option::weighted(0.9, host_name()), kind(whole)).prop_map(|(ms, host, kind)| Event {
        v: 1,
        ms,
        host,
        kind,
    });
    vec(event, 0..12)
}

proptest! {
    #[test]
    fn a_replayed_run_draws_the_same_page_and_text(events in events(true), width in 0usize..200, verbose in 0u8..3, bars: bool) {
        let mut lines = Vec::new();
        let mut sink = Json::new(&mut lines);
        for event in &events {
            sink.event(event).unwrap();
        }
        let again = read(lines.as_slice()).unwrap();
        prop_assert_eq!(&again.events, &events);
        prop_assert_eq!(again.unknown, 0);
        let mut style = Style { bars, ..style(width) };
        style.detail.verbose = verbose;
        prop_assert_eq!(texts(&again.events, style), texts(&events, style));
    }

    #[test]
    fn no_line_is_wider_than_the_page(events in events(false), width in 40usize..200, verbose in 0u8..3) {
        let mut style = style(width);
        style.detail.verbose = verbose;
        // Lines of a file stay as they are, with the marks below them.
        let drawn: Vec<Event> =
            events.into_iter().filter(|event| !matches!(event.kind, EventKind::RunRefused { .. })).collect();
        for text in texts(&drawn, style) {
            for line in text.text.lines() {
                // A command that is to be copied stays whole; the terminal wraps it.
                let command = line.contains("`bedplate ");
                prop_assert!(command || cells(line) <= width, "{} > {width}: {line:?}", cells(line));
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }

    #[test]
    fn nothing_makes_the_page_or_the_bars_panic(events in events(true)) {
        let mut story = Story::default();
        for event in &events {
            story.event(event);
        }
        let page = html::page(&story, "", &[]);
        prop_assert_eq!(page.matches("<details class=\"host\"").count(), story.hosts.len());
        prop_assert_eq!(page.matches("<details").count(), page.matches("</details>").count());
    }
}
