//! Moving to another server with the data. The old host is only read until its containers are stopped, and they are
//! started again whenever the move does not come to its end. What is copied is decided in [`freight`], how in `copy`,
//! whether it arrived in `manifest`; the order of it all is in [`chain`]. The gate and the deployer are other rooms.

mod back;
pub mod backup;
pub mod chain;
mod copy;
mod forward;
mod freeze;
pub mod freight;
mod look;
mod manifest;
mod passes;
mod rsync;
mod side;
mod survey;
pub mod switch;
mod thaw;

pub use copy::{Manner, Way};
pub use freeze::Means;
pub use side::{Trouble, time};
