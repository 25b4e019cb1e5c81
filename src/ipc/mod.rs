//! How processes talk: three kinds of channel and one file per conversation.
//!
//! - the *control* channel of each child (packets, with the parent; descriptors travel here);
//! - *packet* channels that hand over connected sockets (listener to edge, dialer to courier);
//! - *data* channels: streams of length-prefixed postcard frames, many per write.
//!
//! Each conversation file has two enums, what one side asks and what the other answers, and nothing that a third role
//! could say. Lengths are checked before anything is allocated. A frame that can't be read ends its channel; a frame
//! that comes at the wrong moment ends its session. Neither ends the process that receives it.

pub mod allowance;
pub mod bytes;
pub mod capsule;
pub mod card;
pub mod channel;
pub mod counted;
pub mod feedback;
pub mod figures;
pub mod frame;
pub mod once;
pub mod packet;
pub mod reload;

pub mod admin;
pub mod control;
pub mod delivery;
pub mod dialing;
pub mod handover;
pub mod hook;
pub mod happening;
pub mod inquiry;
pub mod label;
pub mod launching;
pub mod loan;
pub mod sealing;
pub mod session;
pub mod shown;
pub mod signing;
pub mod token;
pub mod trace;
pub mod turnstile;
pub mod waits;
pub mod witnessing;
