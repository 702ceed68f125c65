//! Which steps run together, and which of them under the guard.

use super::Step;

/// Neighbouring steps that run alike.
#[derive(Debug, Clone, PartialEq)]
pub enum Segment {
    /// Harmless ones.
    Plain(Vec<Step>),
    /// Ones that can cut access: the host is armed before the first, and a new login confirms after the last.
    Guarded(Vec<Step>),
}

impl Segment {
    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        match self {
            Segment::Plain(steps) | Segment::Guarded(steps) => steps,
        }
    }
}

/// Cuts `steps` into segments, in order. Guarded steps that stand side by side share a group; quick harmless steps
/// between two guarded ones join them, so that sshd and the firewall are one group, but nothing slow ever runs inside
/// an armed window.
pub fn segments(steps: Vec<Step>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut waiting: Vec<Step> = Vec::new();
    for step in steps {
        let guarded = step.action.access().is_some();
        match segments.last_mut() {
            Some(Segment::Guarded(group)) if guarded && waiting.iter().all(|step| !step.action.is_slow()) => {
                group.append(&mut waiting);
                group.push(step);
            }
            _ if guarded => {
                flush(&mut segments, &mut waiting);
                segments.push(Segment::Guarded(vec![step]));
            }
            _ => waiting.push(step),
        }
    }
    flush(&mut segments, &mut waiting);
    segments
}

fn flush(segments: &mut Vec<Segment>, waiting: &mut Vec<Step>) {
    if !waiting.is_empty() {
        segments.push(Segment::Plain(std::mem::take(waiting)));
    }
}
