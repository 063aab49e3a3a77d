//! Every TCP segment and ICMP error at every point of the network, for assertions about single packets.
//!
//! ```text
//!   A ─── nat-a ─── WAN ─── nat-b ─── B      A, B, S: what the host's own devices see
//!         outside   │ S     outside          a NAT: what is on its outer device, translated
//! ```
//!
//! ```no_run
//! # use tcp_punch_tests::lab::network::{Network, Plan};
//! # use tcp_punch_tests::lab::trace::{Point, Recorder};
//! # fn dial_with_a_low_ttl() {}
//! # fn run(plan: &Plan) -> std::io::Result<()> {
//! let network = Network::build(plan)?;
//! let recorder = Recorder::start(&network)?;
//! dial_with_a_low_ttl();
//! let trace = recorder.finish(&network);
//! assert!(trace.at(&Point::outside("nat-a")).any(|seen| seen.is_syn()), "{trace}");
//! assert!(!trace.at(&Point::outside("nat-b")).any(|seen| seen.is_syn()), "{trace}");
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::network::{Network, Recording};
use super::packet::{Body, Segment, Summary};
use super::tap::{Seen, Tap};
use super::wan::{Crossing, Fate};

/// Where packets are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// The requester's host.
    A,
    /// The responder's host.
    B,
    /// The server's host.
    S,
    /// The outer side of the NAT of that name, as [`Network::router`] knows it.
    Outside(String),
    /// The WAN's router.
    Wan,
}

impl Point {
    /// The outer side of a NAT.
    #[must_use]
    pub fn outside(nat: &str) -> Self {
        Self::Outside(nat.to_owned())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A => f.write_str("A"),
            Self::B => f.write_str("B"),
            Self::S => f.write_str("S"),
            Self::Outside(nat) => f.write_str(nat),
            Self::Wan => f.write_str("WAN"),
        }
    }
}

/// One packet at one point. A packet that passes a router is seen twice there on the WAN: as it comes, and as it goes.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// When. Points are read by different threads: between two of them times may be wrong by a few milliseconds.
    pub at: Instant,
    /// Where.
    pub point: Point,
    /// Whether it left there: sent by the host, by the NAT towards the outside, or by the WAN towards a site.
    pub outgoing: bool,
    /// Addresses, TTL or hop limit, and what it carries.
    pub packet: Summary,
}

impl Sighting {
    /// Source, destination, and the segment's ports, flags and numbers, where it is TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<(SocketAddr, SocketAddr, &Segment)> {
        self.packet.tcp()
    }

    /// What an ICMP error says, and the endpoints of the segment that it quotes, where it is one.
    #[must_use]
    pub fn icmp_error(&self) -> Option<(&'static str, Option<(SocketAddr, SocketAddr)>)> {
        if let Body::IcmpError { what, quoted } = &self.packet.body {
            Some((what, *quoted))
        } else {
            None
        }
    }

    /// Whether it asks for a connection.
    #[must_use]
    pub fn is_syn(&self) -> bool {
        self.tcp()
            .is_some_and(|(_, _, segment)| segment.flags.syn() && !segment.flags.ack())
    }

    /// Whether it is a SYN-ACK.
    #[must_use]
    pub fn is_syn_ack(&self) -> bool {
        self.tcp()
            .is_some_and(|(_, _, segment)| segment.flags.syn() && segment.flags.ack())
    }
}

/// A trace that is being made. It disturbs neither sessions nor ladders.
#[derive(Debug)]
pub struct Recorder {
    hosts: [(Point, Tap); 3],
    nats: Vec<(Point, Recording)>,
    start: Instant,
    /// What the WAN's router takes off a packet's TTL.
    hops: u8,
}

impl Recorder {
    /// Starts to record at every point of a network.
    ///
    /// # Errors
    /// When a packet socket may not be opened.
    pub fn start(network: &Network) -> io::Result<Self> {
        let tap = |point, host: &super::network::Host| {
            Tap::start(&host.namespace).map(|tap| (point, tap))
        };
        let hosts = [
            tap(Point::A, &network.a)?,
            tap(Point::B, &network.b)?,
            tap(Point::S, &network.s)?,
        ];
        let nats = network
            .routers
            .iter()
            .map(|nat| Ok((Point::outside(&nat.name), nat.record()?)))
            .collect::<io::Result<_>>()?;
        network.wan().traced().start();
        Ok(Self {
            hosts,
            nats,
            start: Instant::now(),
            hops: network.plan().conditions.hops,
        })
    }

    /// Stops, and puts together what was seen; of the same network.
    #[must_use]
    pub fn finish(self, network: &Network) -> Trace {
        let crossings = network.wan().traced().take();
        let hops = self.hops;
        let mut seen: Vec<Sighting> = crossings
            .into_iter()
            .flat_map(|crossing| on_the_wan(crossing, hops))
            .collect();
        let hosts = self.hosts.into_iter().map(|(at, tap)| (at, tap.take()));
        let nats = self
            .nats
            .into_iter()
            .map(|(at, record)| (at, record.take()));
        for (point, packets) in hosts.chain(nats) {
            seen.extend(packets.into_iter().map(|packet| sighting(&point, packet)));
        }
        // What the WAN has not delivered yet, nobody has seen.
        let now = Instant::now();
        seen.retain(|sighting| sighting.at <= now);
        seen.sort_by_key(|sighting| sighting.at);
        Trace {
            start: self.start,
            seen,
        }
    }
}

fn sighting(point: &Point, seen: Seen) -> Sighting {
    Sighting {
        at: seen.at,
        point: point.clone(),
        outgoing: seen.outgoing,
        packet: seen.packet,
    }
}

/// A packet as it comes, and what leaves because of it: itself, or the router's answer.
fn on_the_wan(crossing: Crossing, hops: u8) -> impl Iterator<Item = Sighting> {
    let on_the_wan = |at, outgoing, packet| Sighting {
        at,
        point: Point::Wan,
        outgoing,
        packet,
    };
    let left = match crossing.fate {
        Fate::Arrives(at) => {
            let mut packet = crossing.packet.clone();
            packet.hop_limit = packet.hop_limit.saturating_sub(hops);
            Some((at, packet))
        }
        Fate::Expired(_) => crossing.answer,
        Fate::Lost | Fate::NoRoute => None,
    };
    let came = on_the_wan(crossing.at, false, crossing.packet);
    let left = left.map(|(at, packet)| on_the_wan(at, true, packet));
    std::iter::once(came).chain(left)
}

/// All that was seen, in order of time.
#[derive(Debug, Clone)]
pub struct Trace {
    start: Instant,
    seen: Vec<Sighting>,
}

impl Trace {
    /// Everything, everywhere.
    #[must_use]
    pub fn all(&self) -> &[Sighting] {
        &self.seen
    }

    /// What was seen at one point.
    pub fn at<'t>(&'t self, point: &'t Point) -> impl Iterator<Item = &'t Sighting> {
        self.seen.iter().filter(move |seen| seen.point == *point)
    }

    /// When something was seen, from the start of the record.
    #[must_use]
    pub fn since_start(&self, seen: &Sighting) -> Duration {
        seen.at.saturating_duration_since(self.start)
    }
}

impl fmt::Display for Trace {
    /// A line a packet, for messages of failed assertions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "      ms  where")?;
        for seen in &self.seen {
            let ms = self.since_start(seen).as_secs_f64() * 1000.0;
            let (point, packet) = (seen.point.to_string(), &seen.packet);
            let way = if seen.outgoing { "out" } else { "in" };
            write!(f, "{ms:>8.1}  {point:<10}{way:<4}")?;
            if let Some((from, to, segment)) = seen.tcp() {
                let Segment {
                    flags,
                    seq,
                    ack,
                    len,
                    ..
                } = segment;
                write!(f, "{from} > {to} {flags} seq {seq} ack {ack} len {len}")?;
            } else if let Some((what, quoted)) = seen.icmp_error() {
                let (from, to) = (packet.source, packet.destination);
                write!(f, "{from} > {to} ICMP {what}")?;
                if let Some((from, to)) = quoted {
                    write!(f, " about {from} > {to}")?;
                }
            }
            writeln!(f, " ttl {}", packet.hop_limit)?;
        }
        Ok(())
    }
}
