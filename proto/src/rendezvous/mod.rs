//! The server side: one [`Link`] per main link, one [`Assist`] per assist link.

mod assist;
mod config;
mod introductions;
mod io;
mod link;
mod ports;

pub use assist::Assist;
pub use config::{MAX_ASSISTS, ServerConfig, ServerConfigError};
pub use io::{
    AssistInput, AssistOutput, Foretold, LinkEvent, LinkInput, LinkOutput, Observation, Rejection,
    RoundHalf, RouteMessage, Routed, SideInfo,
};
pub use link::Link;
