//! The task of one assist link.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proto::rendezvous::{Assist, AssistInput, AssistOutput};
use proto::wire::MAX_FRAME;
use proto::{Close, Endpoint, Instant};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::Shared;
use crate::conn::Conn;

/// Rounds before other links have their turn.
const MAX_ROUNDS: usize = 16;

/// Serves one assist link to its end.
///
/// Cancel safety: dropping the future closes the connection at once.
pub(super) async fn serve(shared: Arc<Shared>, index: u8, stream: TcpStream, remote: Endpoint) {
    let now = shared.clock.now();
    let mut task = AssistTask {
        machine: Assist::new(now, &shared.config, index, remote),
        conn: Some(Conn::new(stream)),
        is_unroutable: false,
        closing: None,
        deadline: None,
        timer: Box::pin(tokio::time::sleep_until(shared.clock.to_tokio(now))),
        timer_at: now,
        shared,
    };
    task.drain();
    if let Some((conn, how)) = task.await {
        conn.close(how).await;
    }
}

#[derive(Debug)]
struct AssistTask {
    shared: Arc<Shared>,
    machine: Assist,
    /// Until it is closed.
    conn: Option<Conn>,
    /// Nobody took the observation; told after the drain.
    is_unroutable: bool,
    closing: Option<Close>,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
}

impl AssistTask {
    /// Tells the machine one thing, then does all it says: drain to Wait.
    fn input(&mut self, input: AssistInput<'_>) {
        self.machine.handle_input(self.shared.clock.now(), input);
        self.drain();
    }

    /// Does all outputs up to the next `Wait`, in their order.
    fn drain(&mut self) {
        let mut frame = [0; MAX_FRAME + 2];
        loop {
            match self.machine.poll_output(&mut frame) {
                AssistOutput::Read { exactly } => {
                    if let Some(conn) = &mut self.conn {
                        conn.read(exactly);
                    }
                }
                AssistOutput::Send { data } => {
                    if let Some(conn) = &mut self.conn {
                        conn.send(data);
                    }
                }
                AssistOutput::Route(observation) => {
                    self.is_unroutable |= !self.shared.registry.observed(observation);
                }
                AssistOutput::Close(how) => self.closing = Some(how),
                AssistOutput::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
            }
        }
    }

    fn poll_conn(&mut self, cx: &mut Context<'_>) -> bool {
        if std::mem::take(&mut self.is_unroutable) {
            self.input(AssistInput::Unroutable);
            return true;
        }
        let Some(conn) = &mut self.conn else {
            return false;
        };
        match conn.poll(cx) {
            Poll::Ready(Ok(mut data)) => self.input(AssistInput::Received(&mut data)),
            Poll::Ready(Err(_)) => {
                self.input(AssistInput::Ended);
                self.closing.get_or_insert(Close::Reset);
            }
            Poll::Pending => return false,
        }
        true
    }

    /// Deadlines are compared with the clock; the timer only wakes the task.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else {
            return false;
        };
        let now = self.shared.clock.now();
        if deadline <= now {
            self.machine.handle_timeout(now);
            self.drain();
            return true;
        }
        if deadline != self.timer_at {
            self.timer_at = deadline;
            self.timer
                .as_mut()
                .reset(self.shared.clock.to_tokio(deadline));
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

impl Future for AssistTask {
    /// The connection and how to close it.
    type Output = Option<(Conn, Close)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..MAX_ROUNDS {
            let busy = [self.poll_conn(cx), self.poll_clock(cx)];
            if let Some(how) = self.closing {
                return Poll::Ready(self.conn.take().map(|conn| (conn, how)));
            }
            if !busy.contains(&true) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
