//! What the items share.

use std::io;
use std::time::{Duration, Instant};

use super::{Context, Verdict};
use crate::lab::nat::NatKind;
use crate::lab::network::{Network, Plan};
use crate::lab::pair::{self, failure};
use crate::lab::procs::Running;
use crate::lab::service::Service;
use crate::lab::stage::{Server, Stage};
use crate::lab::topology::{Family, Layout};
use crate::lab::wan::Conditions;

const MS: Duration = Duration::from_millis(1);
/// A session on a good path takes far less; more than that is a hang.
pub(super) const SOON: Duration = Duration::from_secs(20);

/// The default network: both NATs drop.
pub(super) fn usual(context: &Context<'_>) -> io::Result<Stage> {
    stage(context, Layout::apart(NatKind::DROP, NatKind::DROP))
}

/// A network with short ways, so that deadlines and not distances are what takes time.
pub(super) fn stage(context: &Context<'_>, layout: Layout) -> io::Result<Stage> {
    let plan = Plan {
        layout,
        family: Family::V4,
        conditions: Conditions::from_rtt(10 * MS, 10 * MS, 20 * MS),
    };
    Stage::new(Network::build(&plan)?, context.program)
}

/// Starts a listener for A that forwards to a service, and waits until it is registered.
pub(super) fn listener(stage: &Stage, server: &Server, service: &Service) -> io::Result<Running> {
    let forward = service.address().to_string();
    let listener = stage.listen(
        &server.address,
        &["--allow", &stage.a.id, "--forward", &forward],
    )?;
    pair::registered(&listener)?;
    Ok(listener)
}

/// A whole session of A with a listener that is there.
pub(super) fn session(stage: &Stage, server: &Server) -> Result<(), String> {
    let mut connector = stage
        .connect(&server.address, &[])
        .map_err(|e| e.to_string())?;
    let deadline = Instant::now() + SOON;
    pair::greet(&mut connector, deadline)?;
    pair::finish(&mut connector, deadline)
}

/// The program must end with exit code 1 in time, and give one of these reasons; any, where none is given here.
pub(super) fn must_fail(running: &mut Running, within: Duration, reasons: &[&str]) -> Verdict {
    let start = Instant::now();
    let Some(status) = running.exit(start + within) else {
        return Err(format!(
            "still running after {within:?}; it said: {}",
            failure(running, None)
        )
        .into());
    };
    let event = running.log().wait(0, &["failed"], start + within);
    let Some(reason) = event.and_then(|event| event.text("reason")) else {
        return Err(format!(
            "{status} without a reason; it said: {}",
            running.log().words()
        )
        .into());
    };
    if status.code() != Some(1) || !(reasons.is_empty() || reasons.contains(&reason.as_str())) {
        return Err(format!("{status}, {reason}; it said: {}", running.log().words()).into());
    }
    Ok(format!("exit 1, {reason}"))
}
