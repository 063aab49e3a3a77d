//! The gate has an entry point of its own, because the usual one comes with std.

fn main() {
    println!("cargo:rustc-link-arg=-nostartfiles");
}
