//! What the program says about strategies.
#![cfg(feature = "cli")]

mod program;

use program::*;

/// What the side that is asked says of a session. On loopback the one that asks
/// may have its stream before it has heard of the plan.
fn told(name: &str, args: &[&str]) -> String {
    let scratch = Scratch::new(name);
    let server = server(&scratch, &[]);
    let (a, a_id) = scratch.key("a");
    let (b, b_id) = scratch.key("b");
    let listener = Running::start(
        program()
            .args(["listen", "--server", &server.addr, "--allow", &a_id])
            .args(args)
            .arg("--key")
            .arg(b),
    );
    // It may not be registered yet.
    while !Running::start(peer("connect", &server.addr, &a).arg(&b_id))
        .end()
        .status
        .success()
    {}
    String::from_utf8(listener.end().stderr).unwrap()
}

#[test]
fn the_plan_and_what_came_of_it_are_told() {
    let told = told("explain", &["--explain"]);
    for part in [
        "NAT here: ",
        "NAT there: ",
        "step  strategy",
        "simultaneous-open",
        "trying ",
        "What came of it:",
        "round  strategy",
        "won",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
}

#[test]
fn scripts_get_the_same_as_events() {
    let told = told("explain-json", &["--json"]);
    let events: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let planned = find(&events, "planned");
    assert!(planned["own"]["mapping"].is_string() && planned["other"]["seen"].is_u64());
    let step = &planned["steps"][0];
    for name in ["strategy", "first", "reason", "why"] {
        assert!(step[name].is_string(), "{name}: {step}");
    }
    let begun = find(&events, "step-begun");
    assert_eq!(begun["round"], 0);
    assert_eq!(begun["session"], planned["session"]);
    let ended = find(&events, "step-ended");
    assert_eq!(ended["strategy"], begun["strategy"]);
    assert!(ended["tried"]["dials"].is_u64());
}

#[test]
fn the_doctor_says_what_this_allows_with_whom() {
    let scratch = Scratch::new("doctor");
    let server = server(&scratch, &[]);
    let doctor = |more: &[&str]| {
        let output = Running::start(
            program()
                .args(["doctor", "--server", &server.addr])
                .args(more),
        )
        .end();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = doctor(&[]);
    for part in [
        "levels of NAT",
        "how sure",
        "the other side's NAT",
        "symmetric, ports at random",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    let against = json["against"].as_array().unwrap();
    assert_eq!(against.len(), 6);
    assert!(
        against[0]["strategies"]
            .as_array()
            .unwrap()
            .contains(&"dial".into())
    );
}

#[cfg(not(feature = "raw"))]
#[test]
fn raw_without_the_feature_says_what_is_missing() {
    let told = told("raw", &["--raw"]);
    assert!(
        told.contains("--raw has no effect") && told.contains("feature `raw`"),
        "{told}"
    );
}
