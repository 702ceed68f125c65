//! Whole runs drawn.

use super::samples;
use super::*;

fn style(width: usize) -> Style {
    let paper = Paper { colour: false, width };
    Style { answer: paper, notes: paper, detail: Detail { verbose: 0, diff_lines: 40, context: 3 }, bars: false }
}

/// What a run draws, with notes marked by `2| `.
fn drawn(events: &[Event], style: Style) -> String {
    let mut human = Human::new(style);
    let mut texts: Vec<Text> = events.iter().flat_map(|event| human.event(event)).collect();
    texts.extend(human.finish());
    let mut out = String::new();
    for text in texts {
        for line in text.text.lines() {
            let mark = if text.to == Outlet::Notes { "2| " } else { "" };
            out.push_str(format!("{mark}{line}").trim_end());
            out.push('\n');
        }
    }
    out
}

#[test]
fn look() {
    for (name, events) in [
        ("check", samples::check(samples::tasks(), vec![samples::finding()])),
        ("apply", samples::apply_with_guard()),
        ("restored", samples::apply_restored()),
        ("failing", samples::apply_failing()),
        ("twenty", samples::check_twenty()),
    ] {
        println!("=== {name}\n{}", drawn(&events, style(80)));
    }
}
