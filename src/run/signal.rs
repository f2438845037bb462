//! The signals that ask a run to stop: Ctrl-C and the polite end.

use std::io;

use futures::stream::{self, Stream};
use tokio::signal::unix::{SignalKind, signal};

/// One item for each `SIGINT` or `SIGTERM` from now on. Needs a running runtime.
///
/// # Errors
/// When the signals cannot be listened to.
pub fn interrupts() -> io::Result<impl Stream<Item = ()> + Send + Unpin> {
    let listen = |kind| {
        let signal = signal(kind)?;
        let signals = stream::unfold(signal, async |mut signal| {
            signal.recv().await.map(|()| ((), signal))
        });
        io::Result::Ok(Box::pin(signals))
    };
    Ok(stream::select(
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    ))
}
