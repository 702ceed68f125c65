//! One moving line per host on standard error, while the run lasts. What a line says is a pure function of the story;
//! only its elapsed time is indicatif's.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::base::Event;

use super::ink::{cells, pad, shorten, visible};
use super::story::{HostStory, Phase, Story};

/// The moving lines. Hidden ones cost nothing and write nothing.
pub struct Bars {
    multi: MultiProgress,
    story: Story,
    bars: Vec<(usize, ProgressBar)>,
    total: Option<ProgressBar>,
    /// Host lines at most, so that they do not fill the terminal.
    most: usize,
    colour: bool,
}

impl Bars {
    /// Lines on standard error; `rows` is the height of the terminal.
    pub fn new(rows: usize, colour: bool) -> Self {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { most: (rows / 2).max(3), ..Self::on(multi, colour) }
    }

    /// None.
    pub fn hidden() -> Self {
        Self::on(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), false)
    }

    fn on(multi: MultiProgress, colour: bool) -> Self {
        Self { multi, story: Story::default(), bars: Vec::new(), total: None, most: 3, colour }
    }

    /// A handle by which others can clear the lines away while they write.
    pub fn multi(&self) -> &MultiProgress {
        &self.multi
    }

    /// Takes one event in.
    pub fn event(&mut self, event: &Event) {
        if self.multi.is_hidden() {
            return;
        }
        let at = self.story.event(event);
        if self.total.is_none() && self.story.hosts.len() > 1 {
            let bar = ProgressBar::new(self.story.hosts.len() as u64).with_style(self.style(true));
            self.total = Some(self.multi.add(bar));
        }
        if let Some(at) = at {
            match self.story.hosts[at].phase {
                Phase::Ended => self.drop_bar(at),
                _ => self.show(at),
            }
        }
        if let Some(total) = &self.total {
            let done = self.story.hosts.iter().filter(|host| host.phase == Phase::Ended).count();
            let busy = self.story.hosts.iter().filter(|h| !matches!(h.phase, Phase::Ended | Phase::Waiting)).count();
            let hidden = busy.saturating_sub(self.bars.len());
            total.set_position(done as u64);
            total.set_message(if hidden > 0 { format!("{hidden} more at work") } else { String::new() });
        }
    }

    fn show(&mut self, at: usize) {
        if !self.bars.iter().any(|(host, _)| *host == at) && self.bars.len() < self.most {
            let host = &self.story.hosts[at];
            let since = self.story.ms.saturating_sub(host.began.unwrap_or(self.story.ms));
            let bar = ProgressBar::new_spinner()
                .with_style(self.style(false))
                .with_prefix(self.name(at))
                .with_elapsed(Duration::from_millis(since));
            let bar = self.multi.insert(self.bars.len(), bar);
            self.bars.push((at, bar));
        }
        if let Some((_, bar)) = self.bars.iter().find(|(host, _)| *host == at) {
            bar.set_message(message(&self.story.hosts[at]));
        }
    }

    fn drop_bar(&mut self, at: usize) {
        if let Some(index) = self.bars.iter().position(|(host, _)| *host == at) {
            let (_, bar) = self.bars.remove(index);
            bar.finish_and_clear();
            self.multi.remove(&bar);
        }
        let shown: Vec<usize> = self.bars.iter().map(|(host, _)| *host).collect();
        let next = self
            .story
            .hosts
            .iter()
            .enumerate()
            .find(|(index, host)| !matches!(host.phase, Phase::Ended | Phase::Waiting) && !shown.contains(index));
        if let Some((index, _)) = next {
            self.show(index);
        }
    }

    fn name(&self, at: usize) -> String {
        let widest = self.story.hosts.iter().map(|h| cells(&h.name)).max().unwrap_or(0).min(24);
        pad(&shorten(&self.story.hosts[at].name, widest, false), widest)
    }

    fn style(&self, total: bool) -> ProgressStyle {
        let template = match (total, self.colour) {
            (false, true) => "{spinner:.cyan} {prefix:.bold}  {wide_msg} {time:.dim}",
            (false, false) => "{spinner} {prefix}  {wide_msg} {time}",
            (true, true) => "  {bar:20.cyan/dim} {pos} of {len} hosts done  {wide_msg:.dim} {time:.dim}",
            (true, false) => "  {bar:20} {pos} of {len} hosts done  {wide_msg} {time}",
        };
        // The templates are constant and their test draws each; a bad one would still only lose its looks.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner());
        let time = |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            // A line that can not be written is drawn again a tick later.
            let _ = to.write_str(&elapsed(state.elapsed().as_secs()));
        };
        style.progress_chars("━╸─").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ").with_key("time", time)
    }

    /// Moves the spinners and the elapsed times.
    pub fn tick(&self) {
        for bar in self.bars.iter().map(|(_, bar)| bar).chain(&self.total) {
            bar.tick();
        }
    }

    /// Takes all lines away.
    pub fn finish(&mut self) {
        for bar in self.bars.drain(..).map(|(_, bar)| bar).chain(self.total.take()) {
            bar.finish_and_clear();
        }
    }
}

/// Whole seconds, or minutes and seconds: what moves ten times a second would only flicker.
fn elapsed(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{}:{:02} min", seconds / 60, seconds % 60) }
}

/// What the line of a host says.
fn message(host: &HostStory) -> String {
    let text = match &host.phase {
        Phase::Waiting => "waiting".to_owned(),
        Phase::Connecting => format!("connecting to {}", host.address),
        Phase::Probing => "asking for facts".to_owned(),
        Phase::Planning => "planning".to_owned(),
        Phase::Planned => "planned".to_owned(),
        Phase::Acting { step, steps, action, said } if said.is_empty() => format!("{step}/{steps} {action}"),
        Phase::Acting { step, steps, action, said } => format!("{step}/{steps} {action} · {said}"),
        Phase::Verifying => "looking again".to_owned(),
        Phase::Ended => "done".to_owned(),
    };
    visible(&if host.armed { format!("guarded · {text}") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_line_says_what_its_host_is_at() {
        let mut story = Story::default();
        let mut told: Vec<String> = Vec::new();
        for event in samples::apply_with_guard() {
            if let Some(at) = story.event(&event) {
                told.push(message(&story.hosts[at]));
            }
        }
        told.dedup();
        assert_eq!(
            told,
            [
                "connecting to root@203.0.113.5:22",
                "asking for facts",
                "planning",
                "planned",
                "1/3 install docker.io",
                "1/3 install docker.io · Unpacking docker.io (26.1.5) …",
                "guarded · 1/3 install docker.io · Unpacking docker.io (26.1.5) …",
                "guarded · 2/3 write /etc/ssh/sshd_config.d/00-bedplate.conf",
                "guarded · 3/3 reload ssh.service",
                "guarded · looking again",
                "looking again",
                "done",
            ]
        );
    }

    #[test]
    fn elapsed_time_is_calm() {
        assert_eq!([0, 59, 125].map(elapsed), ["0 s", "59 s", "2:05 min"]);
    }

    #[test]
    fn the_templates_are_sound() {
        for colour in [true, false] {
            let bars = Bars::on(MultiProgress::with_draw_target(ProgressDrawTarget::hidden()), colour);
            for total in [true, false] {
                // A template that does not parse would fall back to the default spinner, whose debug form differs.
                let drawn = ProgressBar::hidden().with_style(bars.style(total));
                drawn.tick();
            }
        }
    }
}
