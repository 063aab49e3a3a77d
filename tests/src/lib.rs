//! The lab and the world: where tcp-punch is tested.

#[cfg(target_os = "linux")]
pub mod lab;
pub mod natbox;
pub mod oracle;
pub mod world;
