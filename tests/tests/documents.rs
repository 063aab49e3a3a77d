//! What the documents say, held against what is.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--all-features",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn version(text: &str) -> (u32, u32) {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[test]
fn the_stated_rust_version_is_enough_for_every_dependency_and_stands_in_the_readme() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages
        .iter()
        .find(|package| package["name"] == "tcp-punch-proto")
        .expect("our package");
    let stated = ours["rust_version"].as_str().expect("rust-version");
    for package in packages {
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(
                version(needed) <= version(stated),
                "{} wants Rust {needed}, we state {stated}",
                package["name"]
            );
        }
    }
    assert!(
        read("README.md").contains(&format!("\n{stated}, ")),
        "README.md states another Rust version"
    );
}

#[test]
fn the_readme_lists_every_crate_and_every_feature() {
    let readme = read("README.md");
    let metadata = metadata();
    let members = metadata["workspace_members"].as_array().expect("members");
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("name");
        if !members.contains(&package["id"])
            || package["publish"].as_array().is_some_and(Vec::is_empty)
        {
            continue;
        }
        let folder = Path::new(package["manifest_path"].as_str().expect("path"))
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .expect("a folder");
        assert!(
            readme.contains(&format!("| `{name}` | `{folder}/` |")),
            "README.md lacks {name} in {folder}/"
        );
        for feature in package["features"]
            .as_object()
            .expect("features")
            .keys()
            .filter(|name| *name != "default")
        {
            assert!(
                readme.contains(&format!("| `{name}` | `{feature}` |")),
                "README.md lacks {name}/{feature}"
            );
        }
    }
}

#[test]
fn the_test_command_of_the_readme_is_what_ci_calls() {
    let ci = read(".ci/run");
    let readme = read("README.md");
    let mut commands = readme.lines().filter(|line| line.starts_with("cargo "));
    assert_eq!(commands.next(), Some("cargo lab"), "the first command");
    let test = commands.next().expect("the second command");
    assert!(ci.contains(test), ".ci/run does not call {test:?}");
}

#[test]
fn sizes_in_the_readme_are_true() {
    use tcp_punch_proto::{NoAccess, Peer, session_size};
    let readme: String = read("README.md")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let said = format!(
        "One punch session takes {} bytes, a peer with one session, its main port and two spare ones {},",
        session_size(),
        size_of::<Peer<NoAccess, 1, 3>>()
    );
    assert!(readme.contains(&said), "README.md should say: {said}");
}

#[test]
fn the_tests_that_the_strategies_name_are_there() {
    let document = read("proto/docs/strategies.md");
    let tests = read("tests/tests/lab_methods.rs");
    let rows = document.lines().filter(|line| line.starts_with("| "));
    // What is in backticks in the last column of the table of tests.
    let named: Vec<&str> = rows
        .filter_map(|row| row.strip_suffix("` |")?.rsplit('`').next())
        .collect();
    assert_eq!(named.len(), tests.matches("#[test]").count(), "{named:?}");
    for name in named {
        assert!(tests.contains(&format!("fn {name}()")), "{name}");
    }
}
