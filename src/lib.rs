//! Gatepost: the guarded place where an organisation's outgoing mail leaves.
//!
//! The modules in reading order: the process table and what each process may do; the processes, in the order in which a
//! message meets them; what they speak, and speak of; what the operator says; the system below.

#![deny(unsafe_code)]

pub mod role;
pub mod sandbox;

pub mod parent;
pub mod listener;
pub mod edge;
pub mod keyholder;
pub mod vault;
pub mod sealer;
pub mod courier;
pub mod mailer;
pub mod dialer;

pub mod jobs;

pub mod certificate;
pub mod ipc;
pub mod mail;
pub mod merkle;
pub mod policy;
pub mod sasl;
pub mod secret;

pub mod cli;
pub mod config;
pub mod log;
pub mod sink;

/// What fuzzing feeds: compiled for it and for tests alone.
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod sys;
