//! The held shell over a local process and over scripted hosts.

use std::time::Duration;

use crate::shell::frame::Part;
use crate::shell::{Batch, Call, Mode};
use crate::ssh::fake::{Fake, Fault, Reply};
use crate::ssh::{SessionError, local};

use super::{PLAY, run, say};

fn three() -> Batch {
    let call = |word: &str| Call::new(&PLAY, "play_say").arg(word);
    Batch::new(Mode::Act, vec![call("a"), call("b"), call("c")])
}

#[tokio::test]
async fn a_local_shell_answers_and_stops_at_the_first_failure() {
    let mut shell = local::shell().unwrap();
    let frames = run(&mut shell, &three()).await.unwrap();
    assert_eq!(frames.iter().map(|f| f.body.clone()).collect::<Vec<_>>(), [b"a\0", b"b\0", b"c\0"]);
    let calls = ["0", "7", "0"].map(|status| Call::new(&PLAY, "play_status").arg(status)).to_vec();
    let frames = run(&mut shell, &Batch::new(Mode::Act, calls)).await.unwrap();
    assert_eq!(frames.iter().map(|f| f.status).collect::<Vec<_>>(), [0, 7]);
}

#[tokio::test]
async fn a_big_answer_is_taken_in_and_comes_in_parts() {
    let mut shell = local::shell().unwrap();
    let batch = Batch::new(Mode::Probe, vec![Call::new(&PLAY, "play_bytes").arg("9000000")]);
    let mut parts = 0;
    let frames =
        shell.run(&batch, &mut |part| parts += usize::from(matches!(part, Part::Output { .. }))).await.unwrap();
    assert_eq!(frames[0].body.len(), 9_000_000);
    assert!(parts > 10, "{parts}");
}

#[tokio::test]
async fn a_batch_that_is_sent_behind_another_runs_whatever_became_of_that() {
    let bodies = |frames: &[crate::ssh::FrameResult]| frames.iter().map(|f| f.body.clone()).collect::<Vec<_>>();
    for mut shell in [
        local::shell().unwrap(),
        Fake::new(|asked| match asked.function.as_str() {
            "play_status" => Reply { status: asked.args[0].parse().unwrap(), body: Vec::new() },
            _ => Reply::fields(&asked.args),
        })
        .shell(),
    ] {
        let calls = ["0", "7", "0"].map(|status| Call::new(&PLAY, "play_status").arg(status)).to_vec();
        let (failing, mut told) = (Batch::new(Mode::Act, calls), 0);
        let (first, then) = shell
            .run_then(&failing, &say(&["behind"]), &mut |part| told += usize::from(matches!(part, Part::End { .. })))
            .await
            .unwrap();
        assert_eq!(first.iter().map(|f| f.status).collect::<Vec<_>>(), [0, 7]);
        assert_eq!(bodies(&then.unwrap()), [b"behind\0"]);
        assert_eq!(told, 2, "what follows is not told as a part of the first");
        let (first, then) = shell.run_then(&say(&["one"]), &three(), &mut |_| {}).await.unwrap();
        assert_eq!((bodies(&first), then.unwrap().len()), (vec![b"one\0".to_vec()], 3));
        assert_eq!(run(&mut shell, &say(&["on"])).await.unwrap()[0].body, b"on\0");
    }
    let mut shell = local::shell().unwrap();
    let dies = Batch::new(Mode::Probe, vec![Call::new(&PLAY, "play_die")]);
    let (first, then) = shell.run_then(&say(&["kept"]), &dies, &mut |_| {}).await.unwrap();
    assert_eq!(bodies(&first), [b"kept\0"], "what was done is known, though the shell died behind it");
    assert!(matches!(then, Err(SessionError::ShellEnded { .. })));
}

#[tokio::test]
async fn a_shell_that_dies_says_which_frames_ended() {
    let mut shell = local::shell().unwrap();
    let calls = vec![Call::new(&PLAY, "play_say").arg("a"), Call::new(&PLAY, "play_die")];
    let error = run(&mut shell, &Batch::new(Mode::Act, calls)).await.unwrap_err();
    let SessionError::ShellEnded { progress, .. } = &error else { panic!("{error:?}") };
    assert_eq!(progress.ended.len(), 1);
    assert_eq!(progress.open.as_ref().map(|(index, _)| *index), Some(1));
    assert!(matches!(run(&mut shell, &three()).await, Err(SessionError::Lost { .. })));
}

#[tokio::test]
async fn a_fake_answers_what_it_was_told() {
    let fake = Fake::new(|asked| match asked.args.first().map(String::as_str) {
        Some("b") => Reply::failure(3, "no b today"),
        _ => Reply::fields(&asked.args),
    });
    let mut shell = fake.shell();
    let frames = run(&mut shell, &three()).await.unwrap();
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[1].status, frames[1].body.as_slice()), (3, b"no b today\n".as_slice()));
    let odd = ["it's", "two\nlines", "bp_batch_2() {\n", "", "back\\slash \"q\" $x `y`"];
    let frames = run(&mut shell, &say(&odd)).await.unwrap();
    assert_eq!(frames[0].body, odd.iter().flat_map(|w| w.bytes().chain([0])).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cut_anywhere_tells_exactly_the_frames_that_ended() {
    let fake = Fake::new(|asked| Reply::fields(&asked.args));
    for cut in (0..400).step_by(3) {
        let mut shell = fake.clone().with_fault(Fault::CutAt(cut)).shell();
        let mut ended = Vec::new();
        let result = shell
            .run(&three(), &mut |part| {
                if let Part::End { index, .. } = part {
                    ended.push(*index);
                }
            })
            .await;
        match result {
            Ok(frames) => assert_eq!(frames.len(), 3, "cut {cut}"),
            Err(SessionError::NoShell { .. }) => assert!(ended.is_empty(), "cut {cut}"),
            Err(error) => {
                let progress = error.progress().unwrap_or_else(|| panic!("cut {cut}: {error:?}"));
                assert_eq!(progress.ended.iter().map(|f| f.index).collect::<Vec<_>>(), ended, "cut {cut}");
                if let Some((open, _)) = progress.open {
                    assert_eq!(open, ended.len(), "cut {cut}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_login_that_never_answers_is_given_up() {
    let dead = Fake::new(|asked| Reply::fields(&asked.args)).with_fault(Fault::StallAt(0));
    let mut shell = dead.shell().first_answer_within(Duration::from_millis(50));
    let error = run(&mut shell, &say(&["x"])).await.unwrap_err();
    assert!(matches!(error, SessionError::NoShell { .. }), "{error:?}");
}

#[tokio::test]
async fn garbled_answers_never_pass_for_good_ones() {
    let fake = Fake::new(|asked| Reply::fields(&asked.args));
    let good = run(&mut fake.shell(), &three()).await.unwrap();
    let trials = (0..300).map(|at| {
        let fake = fake.clone();
        async move {
            let mut shell = fake.with_fault(Fault::GarbleAt(at)).shell();
            // A mark that is spoilt may be waited for without end: on a real link the transport notices.
            (at, tokio::time::timeout(Duration::from_millis(500), run(&mut shell, &three())).await)
        }
    });
    for (at, outcome) in futures::future::join_all(trials).await {
        if let Ok(Ok(frames)) = outcome {
            // Only the inside of a body may differ: nothing vouches for that but the transport.
            assert_eq!(frames.len(), good.len(), "byte {at}");
            assert_eq!(frames.iter().map(|f| f.index).collect::<Vec<_>>(), [0, 1, 2], "byte {at}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_was_dropped_leaves_no_answers_for_the_next() {
    let fake = Fake::new(|asked| Reply::fields(&asked.args)).with_fault(Fault::Delay(Duration::from_millis(200)));
    let mut shell = fake.shell();
    let dropped = tokio::time::timeout(Duration::from_millis(20), run(&mut shell, &say(&["old"]))).await;
    assert!(dropped.is_err());
    let next = run(&mut shell, &say(&["new"])).await;
    assert!(matches!(next, Err(SessionError::Lost { .. })), "{next:?}");
}

#[tokio::test]
async fn a_fake_knows_calls_that_hold_the_shell() {
    let fake = Fake::new(|asked| Reply { status: u8::from(asked.args == ["b"]), body: Vec::new() });
    let calls = ["a", "b", "c"].map(|word| Call::new(&PLAY, "play_say").arg(word)).to_vec();
    let frames = run(&mut fake.shell(), &Batch::new(Mode::Hold, calls)).await.unwrap();
    assert_eq!(frames.iter().map(|f| f.status).collect::<Vec<_>>(), [0, 1]);
}
