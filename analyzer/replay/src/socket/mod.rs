//! System calls on sockets to byte streams, and from these to flows and requests as a process saw them.
//!
//! One [`SocketEngine`] per shard. It puts the records of a socket in the order in which the data lay in the stream
//! ([`engine`]), finds where one socket's life ends and the next one's begins ([`stream`]), lets the protocol parsers
//! read, and yields one flow per socket life with its requests ([`output`]). Beside these it keeps a log of which
//! thread moved whose bytes when ([`Io`]): what [`crate::link`] ties requests together with.

#[cfg(test)]
pub(crate) mod build;
mod engine;
mod events;
mod key;
mod log;
mod loss;
mod output;
mod rows;
mod sides;
mod stream;
#[cfg(test)]
mod tests;

pub use engine::{SocketEngine, SocketOptions};
pub use events::SocketEvents;
pub(crate) use key::ip;
pub use key::shard_key;
pub use log::{Io, LateClose, NO_REQUEST, SocketEnd, SocketLog, What};
pub use loss::Losses;
pub use output::SocketOutput;
pub(crate) use output::closed;
pub(crate) use rows::{FlowFacts, SocketRows, name_process};
pub use sides::Listening;
