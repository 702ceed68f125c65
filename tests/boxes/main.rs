//! Real boxes: real systemd, sshd, ufw, Docker and apt, in systemd-nspawn. Everything that claims to change a server is
//! shown here. Boxes run side by side, share one image a release, and are torn down also when a test fails.
//!
//! The quick tier is what `cargo test` runs; tests marked as of the full tier run with `cargo test -- --include-ignored`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test tells its failure by a panic")]

mod access;
mod accounts;
mod apt;
mod backup;
mod backup_elsewhere;
mod backup_faults;
mod blank;
#[path = "../recorded/built_in.rs"]
mod built_in;
mod damage;
mod docker;
mod docker_firewall;
mod drift;
mod examined;
mod fail2ban;
mod faults;
mod faults_declared;
mod faults_found;
mod faults_of_others;
mod fresh;
mod handoff;
mod lying;
mod migrate;
mod migrate_faults;
mod migrate_killed;
mod migrate_own;
mod moving;
mod own_host;
#[path = "../tools/ran.rs"]
mod ran;
mod ready;
mod recorded;
mod repository;
mod reviewed;
mod storage;
mod support;
mod timing;
#[path = "../tools/mod.rs"]
mod tools;
mod ubuntu_like;
mod undo;
mod unmanaged;
mod volumes;
