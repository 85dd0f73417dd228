//! A small TCP proxy that a test can make cut, silent or treacherous. Of PostgreSQL's protocol it knows
//! where a message begins, so that it can cut behind one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How it treats its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes everything on.
    Pass,
    /// Cuts what is open and refuses what comes.
    Cut,
    /// Keeps everything open and passes nothing on: a cable that was pulled.
    Silent,
}

/// What the proxy listens for in the stream to PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The statement that writes a journal row.
    Journal,
    /// The end of the transaction with the effects.
    Effects,
}

#[derive(Default)]
struct Ambush {
    /// Commits still to pass before the one that is cut; below zero: none is.
    journal: AtomicI64,
    effects: AtomicI64,
    sprung: AtomicU64,
    /// How long each commit is held up.
    slow_ms: AtomicU64,
}

/// A proxy in front of one port.
pub struct Proxy {
    pub port: u16,
    mode: watch::Sender<Mode>,
    forgotten: watch::Sender<u64>,
    ambush: Arc<Ambush>,
}

impl Proxy {
    pub async fn start(to_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mode, modes) = watch::channel(Mode::Pass);
        let (forgotten, forgetting) = watch::channel(0);
        let ambush = Arc::new(Ambush { journal: (-1).into(), effects: (-1).into(), ..Ambush::default() });
        let shared = ambush.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *modes.borrow() == Mode::Cut {
                    continue;
                }
                tokio::spawn(carry(client, to_port, (modes.clone(), forgetting.clone()), shared.clone()));
            }
        });
        Self { port, mode, forgotten, ambush }
    }

    /// Forgets what is open, as a mobile network does: clients are cut off, and the server is never told.
    pub fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Lets so many commits pass; the next one reaches the server, and its answer reaches nobody.
    pub fn cut_behind(&self, commit: Commit, passing: i64) {
        let counter = if commit == Commit::Journal { &self.ambush.journal } else { &self.ambush.effects };
        counter.store(passing, Ordering::SeqCst);
    }

    /// Holds every commit up for so long, as a slow disk does; the lane's row stays locked meanwhile.
    pub fn slow_down(&self, commit: Duration) {
        self.ambush.slow_ms.store(commit.as_millis() as u64, Ordering::SeqCst);
    }

    /// How often a commit was cut.
    pub fn sprung(&self) -> u64 {
        self.ambush.sprung.load(Ordering::SeqCst)
    }
}

async fn carry(
    client: TcpStream,
    to_port: u16,
    (modes, mut forgetting): (watch::Receiver<Mode>, watch::Receiver<u64>),
    ambush: Arc<Ambush>,
) {
    forgetting.mark_unchanged();
    let Ok(server) = TcpStream::connect(("127.0.0.1", to_port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (cut, mut is_cut) = watch::channel(false);
    let mut cutting = modes.clone();
    let mut is_forgotten = false;
    let up = async {
        let (mut frames, mut buffer) = (Frames::default(), vec![0; 65_536]);
        loop {
            let read = from_client.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            pass_or_wait(&mut modes.clone()).await;
            let commits = frames.commits(&buffer[..read]);
            if !commits.is_empty() {
                tokio::time::sleep(Duration::from_millis(ambush.slow_ms.load(Ordering::SeqCst))).await;
            }
            if commits.into_iter().any(|commit| ambush.is_here(commit)) {
                let _ = cut.send(true); // before the server can answer
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 65_536];
        loop {
            let read = from_server.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            pass_or_wait(&mut modes.clone()).await;
            if *is_cut.borrow_and_update() {
                // The server has answered, so it has committed; the client will never know.
                ambush.sprung.fetch_add(1, Ordering::SeqCst);
                return;
            }
            if to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        _ = cutting.wait_for(|m| *m == Mode::Cut) => {}
        _ = forgetting.changed() => is_forgotten = true,
    }
    if is_forgotten {
        drop((from_client, to_client));
        while forgetting.changed().await.is_ok() {} // until the proxy goes
    }
}

async fn pass_or_wait(modes: &mut watch::Receiver<Mode>) {
    let _ = modes.wait_for(|m| *m == Mode::Pass).await;
}

impl Ambush {
    fn is_here(&self, commit: Commit) -> bool {
        let counter = if commit == Commit::Journal { &self.journal } else { &self.effects };
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n >= 0).then(|| n - 1)) == Ok(0)
    }
}

/// Finds commits in the stream of a client (PostgreSQL, "Message Formats").
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    is_started: bool,
    journal_statement: Option<Vec<u8>>,
}

impl Frames {
    fn commits(&mut self, more: &[u8]) -> Vec<Commit> {
        self.bytes.extend(more);
        let (mut found, mut at) = (Vec::new(), 0);
        loop {
            let head = usize::from(self.is_started); // the first message has no kind
            let Some(length) = self.bytes.get(at + head..at + head + 4) else { break };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            let Some(body) = self.bytes.get(at + head + 4..at + head + length) else { break };
            match self.bytes[at] {
                _ if !self.is_started => self.is_started = true,
                b'Q' if contains(body, b"COMMIT") => found.push(Commit::Effects),
                // Parse: name, then text. Bind: portal, then the statement's name.
                b'P' if contains(body, b"INSERT INTO journal (") => {
                    self.journal_statement = body.split(|b| *b == 0).next().map(<[u8]>::to_vec);
                }
                b'B' if self.journal_statement.is_some() => {
                    let name = body.split(|b| *b == 0).nth(1).map(<[u8]>::to_vec);
                    if name == self.journal_statement {
                        found.push(Commit::Journal);
                    }
                }
                _ => {}
            }
            at += head + length;
        }
        self.bytes.drain(..at);
        found
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

#[test]
fn commits_are_found_wherever_the_stream_is_cut() {
    let message = |kind: u8, body: &[u8]| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat();
    let stream = [
        vec![0, 0, 0, 8, 0, 3, 0, 0],
        message(b'P', b"s7\0WITH l AS () INSERT INTO journal (lane)\0\0\0"),
        message(b'B', b"\0s7\0\0\0"),
        message(b'B', b"\0s8\0\0\0"),
        message(b'Q', b"COMMIT\0"),
    ]
    .concat();
    for cut in 0..stream.len() {
        let mut frames = Frames::default();
        let mut found = frames.commits(&stream[..cut]);
        found.extend(frames.commits(&stream[cut..]));
        assert_eq!(found, [Commit::Journal, Commit::Effects], "cut at {cut}");
    }
}
