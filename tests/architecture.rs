//! The walls of the house, held to by reading the source: who may name whom, what may be used where, and that what the
//! documents say is there.

#[path = "architecture/documents.rs"]
mod documents;
#[path = "architecture/locks.rs"]
mod locks;
#[path = "architecture/logs.rs"]
mod logs;
#[path = "architecture/shape.rs"]
mod shape;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/walls.rs"]
mod walls;
