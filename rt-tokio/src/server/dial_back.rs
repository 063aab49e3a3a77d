//! Dials peers back where assist links saw them, so that they learn what their
//! NAT lets in.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::wire::DialBackOutcome;
use proto::{Endpoint, Failure, Hops, LinkHandle};
use tokio::time::timeout;

use super::Shared;
use super::registry::Message;
use crate::socket;

/// Dials at once, of all links; more are not tried.
pub(super) const MAX_AT_ONCE: usize = 64;

/// How long silence is waited for: two retransmissions of the SYN.
const DEADLINE: Duration = Duration::from_millis(2_500);

/// Dials `to` from a port that nobody has spoken to, and tells the link what
/// came of it. Ends by itself, also when the link is gone.
pub(super) fn start(
    shared: Arc<Shared>,
    handle: LinkHandle,
    port: u16,
    other_address: bool,
    from: Option<IpAddr>,
    to: Endpoint,
) {
    tokio::spawn(async move {
        let permit = Arc::clone(&shared.dial_backs).try_acquire_owned();
        let outcome = match (from, &permit) {
            (Some(from), Ok(_)) => dial(Endpoint::new(from, 0), to).await,
            _ => DialBackOutcome::NotTried,
        };
        let message = Message::DialedBack {
            port,
            other_address,
            outcome,
        };
        shared.registry.tell(handle, message);
    });
}

/// Dials once. RST and ICMP can be told apart on Linux only; elsewhere an ICMP
/// error that says "refused" counts as RST.
async fn dial(local: Endpoint, to: Endpoint) -> DialBackOutcome {
    let dialled = async {
        let stream = socket::dial(local, to, Hops::Default)?;
        let up = std::future::poll_fn(|cx| socket::poll_connected(&stream, cx)).await;
        // Whether it came up or not, nothing is to stay of it.
        socket::reset(stream);
        up
    };
    match timeout(DEADLINE, dialled).await {
        Ok(Ok(())) => DialBackOutcome::Connected,
        Err(_) => DialBackOutcome::Silence,
        Ok(Err(error)) => match error.failure() {
            Failure::Refused | Failure::Reset => DialBackOutcome::Refused,
            Failure::Unreachable => DialBackOutcome::Unreachable,
            Failure::TimedOut => DialBackOutcome::Silence,
            // Something here failed, which says nothing of the peer's NAT.
            Failure::AddressInUse
            | Failure::AddressNotAvailable
            | Failure::Exhausted
            | Failure::Forbidden
            | Failure::Other
            | _ => DialBackOutcome::NotTried,
        },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::testnet::{FAR, Net, end};

    #[tokio::test]
    async fn each_answer_of_a_nat_has_its_name() {
        let Some(net) = Net::new() else { return };
        net.router.sh(
            "nft 'add table inet fw; add chain inet fw forward { type filter hook forward priority 0; }
                  add rule inet fw forward tcp dport 11 reject with icmpx port-unreachable
                  add rule inet fw forward tcp dport 12 drop'",
        );
        let far = net
            .far
            .run(|| socket::listen_alone(Endpoint::unspecified(proto::Family::V4, 10)).unwrap());
        for (port, expected) in [
            (9, DialBackOutcome::Refused),
            (10, DialBackOutcome::Connected),
            (11, DialBackOutcome::Unreachable),
            (12, DialBackOutcome::Silence),
        ] {
            let to = end(FAR, port);
            let any = Endpoint::unspecified(to.family(), 0);
            // The socket is made when the future is first polled.
            let dialling = net.near.run(move || {
                let mut dialling = Box::pin(dial(any, to));
                let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
                assert!(dialling.as_mut().poll(cx).is_pending());
                dialling
            });
            let outcome = dialling.await;
            assert_eq!(outcome, expected, "{port}");
        }
        drop(far);
    }
}
