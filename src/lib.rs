//! bedplate turns a bare Ubuntu or Debian box into a hardened, deploy-ready server over SSH, and keeps it so.
//!
//! # Architecture
//!
//! Knowing, deciding and doing are kept apart:
//!
//! ```text
//! playbooks ──► tasks ──► resources          (what should be true)
//!                            │ facts they need
//!                            ▼
//!  one probe script ──► answers ──► Machine   (what is true: a typed, serialisable model of one host)
//!                            │
//!                            ▼
//!  resource.plan(&Machine) ──► changes ──► actions   (pure; an action has a call AND an effect on the model)
//!                            │ effect
//!                            ▼
//!                Machine′ ──► the next task plans against what the earlier ones will have made
//!                            │
//!                            ▼
//!  actions' calls ──► the host ──► probe again ──► must equal Machine′, and a new plan must be empty
//! ```
//!
//! The rooms, from the ground up. A file imports only from floors below its own; `tests/rules/layering.rs` holds it.
//!
//! | floor | folder | what lives there |
//! |---|---|---|
//! | 0 | [`base`] | checked names, secrets, diagnostics, diffs, events, exit codes |
//! | 1 | [`shell`] | calls of static functions with quoted arguments; frames and fields back |
//! | 2 | [`machine`] | facts, answers, the model of one host |
//! | 3 | [`action`] | typed changes: their calls, their effect on the model, their undoing |
//! | 4 | [`resource`] | what a task may declare: a TOML table, the facts it needs, its plan |
//! | 5 | [`playbook`], [`inventory`] | text to checked values: tasks, variables, templates, hosts |
//! | 6 | [`plan`] | tasks folded over the model; guarded actions grouped |
//! | 7 | [`ssh`] | connections, authentication, host keys, the held shell |
//! | 8 | [`engine`] | one host in a straight line, many hosts at once |
//! | 9 | [`handoff`], [`migrate`], [`sandbox`] | what is built on the engine: the gate before a deploy; moving data; local boxes |
//! | side | [`report`] | the event stream drawn for people and machines; knows `base` only |
//! | 10 | [`cli`] | the command line, one small file a command |

pub mod action;
pub mod base;
pub mod cli;
pub mod engine;
pub mod handoff;
pub mod inventory;
pub mod machine;
pub mod migrate;
pub mod plan;
pub mod playbook;
pub mod report;
pub mod resource;
pub mod sandbox;
pub mod shell;
pub mod ssh;

#[cfg(test)]
#[path = "../tests/tools/mod.rs"]
mod tools;
