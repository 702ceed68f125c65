//! Connections to hosts: names and `~/.ssh/config`, host keys, authentication, jump hosts, sudo, and the held shell
//! that every batch of calls runs in.
//!
//! This room knows [`crate::base`] and [`crate::shell`] only. It carries calls and answers and judges neither: what a
//! plan is, it does not know. It prints nothing; questions to the operator go through [`Ask`].

mod ask;
mod auth;
mod client;
pub mod config;
mod connect;
mod connect_error;
mod connection;
mod dial;
mod error;
pub mod fake;
mod held;
mod keys;
pub mod known_hosts;
pub mod local;
mod offers;
mod own_keys;
pub mod pipe;
mod resolve;
mod stream;
mod sudo;
mod target;
mod wire;

pub use ask::{Answer, Ask, Refuse};
pub use connect::{Connector, Policy, connect};
pub use connect_error::{ConnectError, HostKeyError};
pub use connection::{Connection, Login, Output};
pub use error::{FrameResult, Progress, SessionError, SudoError};
pub use held::HeldShell;
pub use offers::Offers;
pub use own_keys::public_keys;
pub use resolve::{Request, Resolved, resolve};
pub use target::{Agent, Become, Family, Keepalive, NewKeys, Target};
pub use wire::Ending;

#[cfg(test)]
mod tests;
