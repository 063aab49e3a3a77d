//! Without translation: IPv6 (RFC 6092), and IPv4 behind a firewall.

use super::bench::{
    A, A6, B, B6, Bench, INNER6, OURS, OUTER6, SECOND, Seen, THEIRS, ack, at, ip, rst, seen, syn,
    syn_ack,
};
use crate::natbox::{Config, Filtering, Reason, Side, Verdict};

const OTHER: u32 = 0x4000_0000;

#[test]
fn nothing_is_translated_and_the_unsolicited_is_kept_out() {
    for name in ["fw6-drop", "drop", "symmetric", "full-cone"] {
        let mut bench = Bench::named(name);
        assert_eq!(
            bench.kept_out(B6, at(A6), syn(THEIRS)),
            Err(Reason::Unsolicited)
        );
        assert_eq!(bench.out(A6, B6, syn(OURS)), at(A6));
        assert_eq!(bench.enters(B6, at(A6), syn(THEIRS)), at(A6), "{name}");
    }
}

#[test]
fn a_firewall_for_ipv4_does_the_same() {
    let mut bench = Bench::named("fw6-rst");
    assert_eq!(
        bench.kept_out(B, at(A), syn(THEIRS)),
        Ok(Seen::Tcp(at(A), at(B), "RST"))
    );
    assert_eq!(bench.out(A, B, syn(OURS)), at(A));
    bench.enters(B, at(A), syn(THEIRS));
}

#[test]
fn the_answers_are_rst_in_the_hosts_name_and_icmp_in_the_own() {
    let mut bench = Bench::named("fw6-rst");
    assert_eq!(
        bench.kept_out(B6, at(A6), syn(THEIRS)),
        Ok(Seen::Tcp(at(A6), at(B6), "RST"))
    );
    for (name, code) in [("fw6-icmp", 4), ("fw6-icmp-admin", 1)] {
        let mut bench = Bench::named(name);
        assert_eq!(
            bench.kept_out(B6, at(A6), syn(THEIRS)),
            Ok(Seen::Icmp(
                ip(OUTER6),
                at(B6).ip(),
                (1, code),
                (at(B6), at(A6))
            ))
        );
    }
}

#[test]
fn trap_1_does_not_hold_where_the_untranslated_is_right() {
    // What tracking refuses leaves as it came, and that is what the peer expects: "seq close" is mixed on IPv6.
    let mut bench = Bench::named("fw6-drop");
    bench.out(A6, B6, syn(OURS));
    bench.enters(B6, at(A6), syn(THEIRS));
    bench.leaks(A6, B6, syn_ack(OTHER, THEIRS + 1));
}

#[test]
fn a_rst_deletes_the_entry_here_too() {
    let mut bench = Bench::named("fw6-drop");
    bench.out(A6, B6, syn(OURS));
    bench.enters(B6, at(A6), rst(0, Some(OURS.wrapping_add(1))));
    assert_eq!(
        bench.kept_out(B6, at(A6), syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
}

#[test]
fn strict_firewalls_let_no_syn_in() {
    let mut bench = Bench::named("fw6-strict");
    bench.out(A6, B6, syn(OURS));
    assert_eq!(
        bench.kept_out(B6, at(A6), syn(THEIRS)),
        Err(Reason::StrictSyn)
    );
}

#[test]
fn an_open_firewall_lets_in_to_whoever_has_sent() {
    let mut bench = Bench::with(Config {
        firewall: Filtering::Open,
        ..Config::MASQUERADE
    });
    let other = "[2001:db8:5::1]:7000";
    assert_eq!(
        bench.kept_out(B6, at(A6), syn(THEIRS)),
        Err(Reason::Unsolicited)
    );
    bench.out(A6, other, syn(OURS));
    bench.enters(B6, at(A6), syn(THEIRS));
    bench.out(A6, B6, syn_ack(OURS, THEIRS + 1));
    bench.enters(B6, at(A6), ack(THEIRS + 1, OURS.wrapping_add(1)));
}

#[test]
fn hop_limits_end_and_are_told() {
    let mut bench = Bench::named("fw6-drop");
    match bench.send(Side::Inside, A6, at(B6), syn(OURS).hops(1)) {
        Verdict::Answer(packet) => assert_eq!(
            seen(&packet),
            Seen::Icmp(ip(INNER6), at(A6).ip(), (3, 0), (at(A6), at(B6)))
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.nat.connections(), 0);
}

#[test]
fn an_error_about_a_connection_passes_as_it_is() {
    let mut near = Bench::named("fw6-drop");
    let packet = syn(OURS).packet(at(A6), at(B6));
    let (_, sent) = near
        .judge(Side::Inside, &packet)
        .emitted(Side::Inside)
        .unwrap();
    // The far firewall refuses it by ICMP.
    let mut far = Bench::named("fw6-icmp");
    let (_, answer) = far
        .judge(Side::Outside, &sent)
        .emitted(Side::Outside)
        .unwrap();
    let Verdict::Forward(passed) = near.judge(Side::Outside, &answer) else {
        panic!("the error does not get in");
    };
    assert_eq!(
        seen(&passed),
        Seen::Icmp(ip(OUTER6), at(A6).ip(), (1, 4), (at(A6), at(B6)))
    );
    near.wait(SECOND);
    near.enters(B6, at(A6), syn(THEIRS));
}

#[test]
fn the_own_address_is_not_behind_the_firewall() {
    let mut bench = Bench::named("fw6-drop");
    let own = format!("[{OUTER6}]:1");
    assert_eq!(
        bench.kept_out(B6, at(&own), syn(THEIRS)),
        Err(Reason::NotForMe)
    );
}
