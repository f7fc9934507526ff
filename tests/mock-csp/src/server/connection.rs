//! One connection: calls in, answers and faults out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::Reply;
use super::Shared;
use super::answer::Answer;
use super::answer::Content;
use super::answer::Pieces;
use super::answer::Then;
use super::call::Call;
use super::gate::Gate;
use super::record::UnderWay;
use super::request::BODY_BYTES_MAX;
use super::request::HEAD_BYTES_MAX;
use super::request::Head;
use super::request::Unserved;

/// The buffer space for each read, into which most requests fit.
const READ_BYTES: usize = 8 * 1024;

/// The largest number of bytes that are read ahead while an answer is under
/// way.
const AHEAD_BYTES_MAX: usize = HEAD_BYTES_MAX + BODY_BYTES_MAX;

/// The time for which a refused client may go on sending. Closing earlier would
/// reset the connection, and the answer would be lost.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// The size at which [`Content::EndlessHead`] stops after all.
const ENDLESS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One client's connection.
pub struct Connection {
    socket: TcpStream,
    /// Bytes that have arrived and are not parsed yet.
    buffer: BytesMut,
    id: u64,
    shared: Arc<Shared>,
}

/// The reason why there is no further call.
enum End {
    /// The client has closed or reset the connection.
    Gone,
    Unserved(Unserved),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl Connection {
    pub fn new(socket: TcpStream, id: u64, shared: Arc<Shared>) -> Self {
        Self { socket, buffer: BytesMut::new(), id, shared }
    }

    /// Serves until either side closes the connection.
    pub async fn serve(mut self) {
        // Without TCP_NODELAY an answer in pieces waits for acknowledgements.
        // The call fails only on a socket that is closed already.
        let _ = self.socket.set_nodelay(true);
        loop {
            match self.exchange().await {
                Ok(Then::Stay) => {}
                Ok(Then::Close | Then::Reset | Then::Hang) | Err(End::Gone) => return,
                Err(End::Unserved(unserved)) => return self.refuse(&unserved).await,
            }
        }
    }

    /// Reads one call and answers it.
    async fn exchange(&mut self) -> Result<Then, End> {
        let shared = Arc::clone(&self.shared);
        let head = self.read_head().await?;
        let scripted = shared.scripts.take(head.method(), head.target());
        let reads = scripted.as_ref().is_none_or(|answer| answer.reads);
        let body = if reads { self.read_body(head.length).await? } else { Bytes::new() };
        let call = Arc::new(head.with_body(body));
        let under_way = shared.record.begin(&call);
        let answer = answer(&shared, &call, scripted);
        let then = self.perform(answer, &call, under_way).await?;
        Ok(if then == Then::Stay && !call.keep_alive { Then::Close } else { then })
    }

    async fn read_head(&mut self) -> Result<Head, End> {
        loop {
            if !self.buffer.is_empty()
                && let Some(head) = Head::take(&mut self.buffer, self.id).map_err(End::Unserved)?
            {
                return Ok(head);
            }
            self.read_more().await?;
        }
    }

    async fn read_body(&mut self, length: usize) -> Result<Bytes, End> {
        while self.buffer.len() < length {
            self.read_more().await?;
        }
        // A copy, unless it is large: a kept call must not hold the buffer.
        if length < READ_BYTES {
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            bytes::Buf::advance(&mut self.buffer, length);
            return Ok(body);
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn read_more(&mut self) -> Result<(), End> {
        self.buffer.reserve(READ_BYTES);
        match self.socket.read_buf(&mut self.buffer).await? {
            0 => Err(End::Gone),
            _ => Ok(()),
        }
    }

    /// Carries out the answer, and returns the action on the connection.
    async fn perform(
        &mut self,
        answer: Answer,
        call: &Call,
        under_way: UnderWay<'_>,
    ) -> Result<Then, End> {
        self.pause(answer.delay).await?;
        if let Some(gate) = &answer.gate {
            self.wait_at(gate).await?;
        }
        let mut under_way = Some(under_way);
        match answer.what {
            Content::Nothing => {}
            Content::Behave | Content::Echo(_) => unreachable!("an answer was made of it"),
            Content::Response(response) => {
                let Pieces { pieces, pause } = response.encode(&call.method);
                for (number, piece) in pieces.iter().enumerate() {
                    if number > 0 {
                        self.pause(pause).await?;
                    }
                    // Counted as ended before the last byte: a client that has
                    // it may make its next call, which must not count as one
                    // beside this.
                    if number + 1 == pieces.len() && answer.then != Then::Hang {
                        under_way.take();
                    }
                    self.socket.write_all(piece).await?;
                }
            }
            Content::Bytes(bytes) => self.socket.write_all(&bytes).await?,
            Content::EndlessHead => self.write_endless_head().await?,
        }
        if answer.then != Then::Hang {
            drop(under_way);
        }
        match answer.then {
            Then::Stay => {}
            Then::Close => self.socket.shutdown().await?,
            Then::Reset => self.socket.set_zero_linger()?,
            Then::Hang => self.gone().await,
        }
        Ok(answer.then)
    }

    async fn write_endless_head(&mut self) -> io::Result<()> {
        self.socket.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        let line = format!("x-endless: {}\r\n", "x".repeat(1000));
        for _ in 0..ENDLESS_BYTES_MAX / line.len() {
            self.socket.write_all(line.as_bytes()).await?;
        }
        Ok(())
    }

    /// Waits for `time`, or until the client has gone.
    async fn pause(&mut self, time: Duration) -> Result<(), End> {
        if time.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            () = self.gone() => Err(End::Gone),
        }
    }

    /// Waits until the gate is open, but not for a client that has gone.
    async fn wait_at(&mut self, gate: &Gate) -> Result<(), End> {
        tokio::select! {
            () = gate.opened() => Ok(()),
            () = self.gone() => Err(End::Gone),
        }
    }

    /// Waits until the client closes or resets its side. Bytes that it sends
    /// meanwhile stay in the buffer.
    async fn gone(&mut self) {
        while self.buffer.len() < AHEAD_BYTES_MAX {
            if self.read_more().await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    async fn refuse(&mut self, unserved: &Unserved) {
        self.shared.record.violated("(no call)", std::slice::from_ref(&unserved.reason));
        let Content::Response(response) = Answer::text(unserved.status, &unserved.reason).what
        else {
            unreachable!("text is a response");
        };
        for piece in response.encode("").pieces {
            // A client that refuses the bytes is as good as gone.
            let _ = self.socket.write_all(&piece).await;
        }
        let _ = self.socket.shutdown().await;
        self.buffer.clear();
        let _ = tokio::time::timeout(LINGER_MAX, self.gone()).await;
    }
}

/// Returns the script's answer, or else the behaviour's.
fn answer(shared: &Shared, call: &Call, scripted: Option<Answer>) -> Answer {
    let (delay, gate) = match scripted {
        Some(Answer { delay, gate, what: Content::Behave, .. }) => (delay, gate),
        Some(Answer { what: Content::Echo(response), delay, gate, reads, then }) => {
            let what = Content::Response(response.quoting(call));
            return Answer { what, delay, gate, reads, then };
        }
        Some(answer) => return answer,
        None => (Duration::ZERO, None),
    };
    let Reply { answer, broken } = shared.behaviour.answer(call);
    if !broken.is_empty() {
        shared.record.violated(&call.line(), &broken);
    }
    let answer = answer.after(delay);
    Answer { gate: gate.or(answer.gate), ..answer }
}
