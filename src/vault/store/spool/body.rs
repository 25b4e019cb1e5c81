//! A body on its way in or out, sealed.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Inline(Vec<u8>),
    /// The name of a file in `db/`.
    Segment(String),
}

impl Body {
    /// As it is kept: its octets, or the name.
    pub(super) const fn columns(&self) -> (Option<&Vec<u8>>, Option<&String>) {
        match self {
            Self::Inline(content) => (Some(content), None),
            Self::Segment(name) => (None, Some(name)),
        }
    }
}
