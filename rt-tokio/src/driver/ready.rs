//! Which sockets have something to tell.
//!
//! A peer may have a thousand dials pending at once. Each wakes the driver under
//! its own id, so that one answer costs one look and not a thousand.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use proto::SocketId;

/// Ids of sockets to be polled, and whom to wake for them.
#[derive(Debug, Default)]
pub(super) struct Ready {
    marked: Arc<Marked>,
}

#[derive(Debug, Default)]
struct Marked(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the order in which the machine asked for them.
    ids: BTreeSet<SocketId>,
    task: Option<Waker>,
}

impl Marked {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ready {
    /// The waker to poll this socket with.
    pub(super) fn waker(&self, id: SocketId) -> Waker {
        Waker::from(Arc::new(OfSocket {
            id,
            marked: Arc::clone(&self.marked),
        }))
    }

    /// Has a socket polled at the next [`take`](Self::take). Wakes nobody: to be
    /// called by the task that will take.
    pub(super) fn add(&self, id: SocketId) {
        self.marked.lock().ids.insert(id);
    }

    /// The sockets to be polled now; the task is woken when there are more.
    pub(super) fn take(&self, cx: &Context<'_>) -> BTreeSet<SocketId> {
        let mut state = self.marked.lock();
        match &mut state.task {
            Some(task) => task.clone_from(cx.waker()),
            task @ None => *task = Some(cx.waker().clone()),
        }
        std::mem::take(&mut state.ids)
    }
}

struct OfSocket {
    id: SocketId,
    marked: Arc<Marked>,
}

impl Wake for OfSocket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut state = self.marked.lock();
            state.ids.insert(self.id);
            state.task.take()
        };
        // Outside the lock: waking may run anything.
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::noise::SecretKey;
    use proto::{Config, NoAccess};

    use super::*;

    /// Only a machine can make them.
    fn three_ids() -> [SocketId; 3] {
        let secret = SecretKey::from_bytes([1; 32]);
        let server = SecretKey::from_bytes([2; 32]).public();
        let mut machine =
            proto::Peer::<_, 1, 4>::new(Config::default(), NoAccess, secret, server, [3; 32]);
        std::array::from_fn(|_| machine.new_socket_id())
    }

    #[test]
    fn a_socket_is_polled_once_for_all_its_wakes_and_in_order() {
        let ready = Ready::default();
        let cx = Context::from_waker(Waker::noop());
        let [first, second, third] = three_ids();
        ready.waker(third).wake();
        ready.add(second);
        let waker = ready.waker(first);
        waker.wake_by_ref();
        waker.wake();
        assert!(ready.take(&cx).into_iter().eq([first, second, third]));
        assert!(ready.take(&cx).is_empty());
    }
}
