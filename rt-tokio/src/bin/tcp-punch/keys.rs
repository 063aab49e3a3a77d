//! `keygen` and `id`.

use std::io::Write as _;

use tcp_punch_tokio::{PeerId, keyfile};

use crate::args::{IdArgs, KeygenArgs};
use crate::outcome::{Outcome, Trouble};

pub(crate) fn keygen(args: &KeygenArgs) -> Outcome {
    let secret = keyfile::generate().map_err(Trouble::failed)?;
    keyfile::create(&args.out, &secret).map_err(Trouble::usage)?;
    print(PeerId::from(secret.public()))
}

pub(crate) fn id(args: &IdArgs) -> Outcome {
    let secret = keyfile::read(&args.key).map_err(Trouble::usage)?;
    print(PeerId::from(secret.public()))
}

fn print(id: PeerId) -> Outcome {
    writeln!(std::io::stdout(), "{id}").map_err(Trouble::failed)
}
