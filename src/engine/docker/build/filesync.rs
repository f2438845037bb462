//! Synchronizes folders of this machine with the builder. Only changes are sent.
//!
//! The protocol is BuildKit's `FileSync`. The client announces every entry of a folder in order
//! (STAT). The builder compares the entries with those of the last build and requests files by
//! number (REQ). The client sends these files in pieces (DATA), and both sides report that they are
//! done (FIN). Files are streamed from the disk to the connection and never held in memory as a
//! whole.

use std::{
    collections::BTreeMap,
    fs::Metadata,
    io::Read,
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc as blocking,
    },
};

use bollard_buildkit_proto::{
    fsutil::types::{Packet, Stat, packet::PacketType},
    moby::filesync::packet::file_sync_server::FileSync,
};
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    task::spawn_blocking,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, metadata::MetadataMap};

use super::{frontend::DOCKERFILE, symlinks::follow};
use crate::{
    event::Progress,
    project::build_inputs::{Entry, Filter, Patterns, walk},
};

/// Folders that the builder may request, by the builder's name for them.
pub(super) struct SyncedDirs {
    folders: BTreeMap<String, PathBuf>,
    sent: Arc<Sent>,
}

/// Counts the bytes that were sent, and reports them as progress.
struct Sent {
    bytes: AtomicU64,
    progress: UnboundedSender<Progress>,
}

/// Maximum number of packets that wait for the connection: with [`PIECE`], 2 MiB.
const WAITING: usize = 64;
/// Size of a piece of a file in bytes, as in BuildKit's own client.
const PIECE: usize = 32 * 1024;
/// Number of bytes between two progress reports.
const TELL_EVERY: u64 = 1 << 20;

type Packets = mpsc::Sender<Result<Packet, Status>>;
/// The paths of the announced files, by number; `None` for an entry that is not a regular file.
type Told = Arc<Mutex<Vec<Option<PathBuf>>>>;

impl SyncedDirs {
    pub(super) fn new(
        folders: BTreeMap<String, PathBuf>,
        progress: UnboundedSender<Progress>,
    ) -> Self {
        let sent = Arc::new(Sent {
            bytes: AtomicU64::new(0),
            progress,
        });
        Self { folders, sent }
    }
}

#[tonic::async_trait]
impl FileSync for SyncedDirs {
    type DiffCopyStream = BoxStream<'static, Result<Packet, Status>>;
    type TarStreamStream = BoxStream<'static, Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let wish = FileRequest::read(request.metadata())?;
        let root = self.folders.get(&wish.folder).cloned();
        let root = root
            .ok_or_else(|| Status::not_found(format!("folder `{}` is not offered", wish.folder)))?;
        let (packets, outgoing) = mpsc::channel(WAITING);
        let (asked, asks) = blocking::channel();
        let told = Told::default();
        // The Dockerfile is sent for every build, changed or not, and does not belong to the
        // context.
        let sent = (wish.folder != DOCKERFILE).then(|| Arc::clone(&self.sent));
        // Both tasks end with the call: their packets are not received, and no more requests
        // arrive.
        spawn_blocking({
            let (packets, told) = (packets.clone(), Arc::clone(&told));
            move || tell(&root, &wish, &packets, &told)
        });
        spawn_blocking(move || send(&asks, &packets, &told, sent.as_deref()));
        let answers = answers(request.into_inner(), asked);
        let stream = stream::select(ReceiverStream::new(outgoing), answers);
        Ok(Response::new(stream.boxed()))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("only `DiffCopy` is offered"))
    }
}

/// A request of the builder for a folder.
struct FileRequest {
    folder: String,
    include: Vec<String>,
    exclude: Vec<String>,
    /// Paths whose symbolic links are followed; the targets are included.
    follow: Vec<String>,
}

impl FileRequest {
    fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        let folder = values(metadata, "dir-name")?.pop().unwrap_or_default();
        Ok(Self {
            folder,
            include: values(metadata, "include-patterns")?,
            exclude: values(metadata, "exclude-patterns")?,
            follow: values(metadata, "followpaths")?,
        })
    }

    fn filter(&self, root: &Path) -> Result<Filter, Status> {
        let mut include = self.include.clone();
        include.extend(follow(root, &self.follow));
        let refused = |error| Status::invalid_argument(format!("{error}"));
        Ok(Filter {
            include: Patterns::new(include).map_err(refused)?,
            exclude: Patterns::new(&self.exclude).map_err(refused)?,
        })
    }
}

/// Returns all values of a header, percent-decoded if `NAME-encoded` is present.
fn values(metadata: &MetadataMap, name: &str) -> Result<Vec<String>, Status> {
    let encoded = metadata.contains_key(format!("{name}-encoded"));
    let values = metadata.get_all(name).iter();
    values
        .map(|value| {
            let value = value.to_str().map_err(|_| {
                Status::invalid_argument(format!("header `{name}` is not plain text"))
            })?;
            Ok(if encoded {
                decode(value)
            } else {
                value.to_owned()
            })
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let (byte, after) = match (first, byte) {
            (b'%', Some(byte)) => (byte, &after[2..]),
            (b'+', _) => (b' ', after),
            (first, _) => (first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Announces every entry, and then the end of the list.
fn tell(root: &Path, wish: &FileRequest, packets: &Packets, told: &Told) {
    let result = wish.filter(root).and_then(|filter| {
        walk(root, &filter, &mut |entry| tell_entry(entry, packets, told))
            .map_err(|error| Status::failed_precondition(error.to_string()))
    });
    let last = match result {
        Ok(()) => Ok(packet(PacketType::PacketStat, 0, Vec::new())),
        Err(status) => Err(status),
    };
    // An error means that the receiver is closed.
    let _ = packets.blocking_send(last);
}

fn tell_entry(entry: Entry, packets: &Packets, told: &Told) -> ControlFlow<()> {
    let stat = stat(&entry);
    let place = entry.metadata.is_file().then_some(entry.place);
    told.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(place);
    let mut packet = packet(PacketType::PacketStat, 0, Vec::new());
    packet.stat = Some(stat);
    match packets.blocking_send(Ok(packet)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

fn packet(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet {
        r#type: kind.into(),
        stat: None,
        id,
        data,
    }
}

/// Owner and group stay 0, which copied files have in an image.
fn stat(entry: &Entry) -> Stat {
    let metadata = &entry.metadata;
    Stat {
        path: entry.path.clone(),
        mode: mode(metadata),
        size: if metadata.is_dir() {
            0
        } else {
            metadata.size().cast_signed()
        },
        mod_time: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
        linkname: entry.target.clone().unwrap_or_default(),
        ..Stat::default()
    }
}

/// Returns a mode in the format of Go's `os.FileMode`.
fn mode(metadata: &Metadata) -> u32 {
    const DIR: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const SPECIAL: [(u32, u32); 3] = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let mode = metadata.mode();
    let mut bits = mode & 0o777;
    if metadata.is_dir() {
        bits |= DIR;
    }
    if metadata.is_symlink() {
        bits |= SYMLINK;
    }
    for (unix, go) in SPECIAL {
        if mode & unix != 0 {
            bits |= go;
        }
    }
    bits
}

/// Handles the builder's packets: forwards its requests and answers its FIN.
fn answers(
    incoming: Streaming<Packet>,
    asked: blocking::Sender<u32>,
) -> BoxStream<'static, Result<Packet, Status>> {
    stream::try_unfold(Some((incoming, asked)), async |state| {
        let Some((mut incoming, asked)) = state else {
            return Ok(None);
        };
        while let Some(said) = incoming.message().await? {
            match said.r#type() {
                PacketType::PacketReq => {
                    // The receiver is closed only after an error that is already being reported.
                    let _ = asked.send(said.id);
                }
                PacketType::PacketFin => {
                    return Ok(Some((packet(PacketType::PacketFin, 0, Vec::new()), None)));
                }
                PacketType::PacketErr => {
                    let cause = String::from_utf8_lossy(&said.data).into_owned();
                    return Err(Status::aborted(cause));
                }
                PacketType::PacketStat | PacketType::PacketData => {}
            }
        }
        Ok(None)
    })
    .boxed()
}

/// Sends the requested files one after the other, until no more requests arrive.
fn send(asks: &blocking::Receiver<u32>, packets: &Packets, told: &Told, sent: Option<&Sent>) {
    while let Ok(id) = asks.recv() {
        let place = {
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            usize::try_from(id)
                .ok()
                .and_then(|id| told.get(id).cloned().flatten())
        };
        let result = match place {
            Some(place) => send_file(id, &place, packets, sent),
            None => Err(Status::invalid_argument(format!(
                "there is no file number {id}"
            ))),
        };
        match result {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(status) => {
                let _ = packets.blocking_send(Err(status));
                return;
            }
        }
    }
    if let Some(sent) = sent {
        sent.tell();
    }
}

fn send_file(
    id: u32,
    place: &Path,
    packets: &Packets,
    sent: Option<&Sent>,
) -> Result<ControlFlow<()>, Status> {
    let failed = |cause: std::io::Error| {
        Status::failed_precondition(format!("cannot read `{}`: {cause}", place.display()))
    };
    let mut file = std::fs::File::open(place).map_err(failed)?;
    loop {
        let mut data = vec![0; PIECE];
        let size = file.read(&mut data).map_err(failed)?;
        data.truncate(size);
        // A piece without content marks the end of the file.
        let packet = packet(PacketType::PacketData, id, data);
        if packets.blocking_send(Ok(packet)).is_err() {
            return Ok(ControlFlow::Break(()));
        }
        if size == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(sent) = sent {
            sent.add(size as u64);
        }
    }
}

impl Sent {
    fn add(&self, size: u64) {
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        if before / TELL_EVERY != (before + size) / TELL_EVERY {
            self.tell();
        }
    }

    fn tell(&self) {
        let sent = self.bytes.load(Ordering::Relaxed);
        if sent > 0 {
            let _ = self.progress.send(Progress::Context { sent });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_only_if_marked_encoded() {
        let mut metadata = MetadataMap::new();
        for value in ["a%20b", "c+d"] {
            metadata.append("followpaths", value.parse().unwrap());
        }
        assert_eq!(values(&metadata, "followpaths").unwrap(), ["a%20b", "c+d"]);
        metadata.append("followpaths-encoded", "1".parse().unwrap());
        assert_eq!(values(&metadata, "followpaths").unwrap(), ["a b", "c d"]);
        assert_eq!(decode("%C3%A9%"), "é%");
    }
}
