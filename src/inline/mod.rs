//! What is answered when a call arrives, from memory: state of checks at arrival. Time is an argument.

pub mod limits;
pub mod quota;
