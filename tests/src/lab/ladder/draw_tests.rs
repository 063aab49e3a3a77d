use super::*;
use crate::lab::nat::NatKind;
use crate::lab::topology::Layout;

fn apart() -> Lanes {
    Lanes::new(&Layout::apart(NatKind::DROP, NatKind::DROP))
}

fn drawn(what: What) -> String {
    draw(&apart(), &[Row { at: 1.0, what }])
        .lines()
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn an_arrow_goes_from_sender_to_receiver_over_what_lies_between() {
    let what = What::Arrow {
        from: Role::A,
        to: Role::B,
        label: "SYN".to_owned(),
        end: End::Arrived(41.0),
    };
    let line = drawn(what);
    assert!(
        line.contains('├')
            && line.contains('▶')
            && line.contains(" SYN ")
            && line.ends_with("41.0"),
        "{line}"
    );
    assert_eq!(line.matches('┼').count(), 3, "{line}");
}

#[test]
fn a_dropped_packet_ends_at_the_nat() {
    let what = What::Arrow {
        from: Role::B,
        to: Role::NatA,
        label: "SYN".to_owned(),
        end: End::Dropped(41.0),
    };
    let line = drawn(what);
    let nat = 10 + apart().x(Role::NatA);
    assert_eq!(line.chars().nth(nat), Some('✕'), "{line}");
    assert!(line.ends_with("41.0 dropped"), "{line}");
}

#[test]
fn no_line_is_too_wide() {
    let label = "main link 1024 bytes and then some more than anybody would write".to_owned();
    let layouts = [
        Layout::default(),
        Layout {
            shared: vec![NatKind::DROP],
            ..Layout::default()
        },
    ];
    for lanes in layouts.iter().map(Lanes::new).chain([apart()]) {
        for (from, to) in [
            (Role::A, Role::S),
            (Role::S, Role::B),
            (Role::A, Role::NatA),
            (Role::B, Role::NatB),
        ] {
            for end in [
                End::Arrived(12345.6),
                End::Dropped(12345.6),
                End::Lost,
                End::Expired(4),
                End::NoRoute,
            ] {
                let what = What::Arrow {
                    from,
                    to,
                    label: label.clone(),
                    end,
                };
                let event = What::Event {
                    who: from,
                    text: label.clone(),
                };
                let rows = [
                    Row { at: 12345.6, what },
                    Row {
                        at: 12345.6,
                        what: event,
                    },
                ];
                for line in draw(&lanes, &rows).lines() {
                    assert!(line.chars().count() <= 110, "{line}");
                }
            }
        }
    }
}

#[test]
fn events_stand_at_their_lane() {
    let line = drawn(What::Event {
        who: Role::A,
        text: "requested".to_owned(),
    });
    assert!(line.contains("● requested"), "{line}");
    let line = drawn(What::Event {
        who: Role::B,
        text: "notified".to_owned(),
    });
    assert!(line.contains("notified ●"), "{line}");
}

#[test]
fn the_middle_of_a_long_story_is_left_out() {
    let rows: Vec<Row> = (0..100)
        .map(|n| Row {
            at: f64::from(n),
            what: What::Event {
                who: Role::A,
                text: format!("event {n}"),
            },
        })
        .collect();
    let text = draw(&apart(), &rows);
    assert_eq!(text.lines().count(), 1 + HEAD + 1 + TAIL);
    assert!(text.contains("... 20 lines left out ..."), "{text}");
    assert!(
        text.contains("event 59 ") && !text.contains("event 60 ") && text.contains("event 80 "),
        "{text}"
    );
}
