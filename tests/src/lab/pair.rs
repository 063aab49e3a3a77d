//! A server and a listener that stay, and sessions between two peers one after the other.

use std::io;
use std::time::{Duration, Instant};

use tcp_punch_proto::noise::Role;

use super::events::{Event, Log};
use super::load::{self, Load};
use super::procs::Running;
use super::service::{ANSWER, GREETING, Service};
use super::stage::{Server, Stage};
use super::standing::{self, Standing};
use super::wan::Crossing;

/// What the requester says.
pub const HELLO: &[u8] = b"hello from A\n";

/// More than the punch deadline (15 s) and registering on a bad path together.
pub(super) const SESSION: Duration = Duration::from_secs(40);
/// What the one side has said, the other says a few round trips later.
const SAID: Duration = Duration::from_secs(10);
/// A first registration may lose some SYNs.
const REGISTER: Duration = Duration::from_secs(20);

/// When the responder agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consent {
    /// It is asked for every session.
    #[default]
    Ask,
    /// It agreed in advance.
    Open,
}

impl Consent {
    /// The word of the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Open => "open",
        }
    }
}

/// How the two peers are started.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// When the responder agrees.
    pub consent: Consent,
    /// A strategy to force.
    pub strategy: Option<String>,
    /// `records` or `bare`.
    pub stream: Option<String>,
    /// Whether both may make segments by themselves.
    pub raw: bool,
    /// The hop limit that passes the requester's and the responder's NATs, where they are told and do not find out.
    pub hops: [Option<u8>; 2],
    /// Whether the server may send SYN-ACKs in their names.
    pub spoof: bool,
    /// How long the requester tries, in whole seconds, where that is not left to it.
    pub patience: Option<Duration>,
    /// Whether the requester stays registered too, so that both know their NATs before the first session; else it is
    /// started for each session, and what it has not found out by then is planned for as the worse case.
    pub standing: bool,
    /// Further arguments of the requester and of the responder.
    pub more: [Vec<String>; 2],
}

/// What came of one session.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// At the requester, from its request.
    pub a: Times,
    /// At the responder, from the same moment.
    pub b: Times,
    /// What won.
    pub strategy: Option<String>,
    /// SYNs that the requester's and the responder's site sent towards the other.
    pub syns: [usize; 2],
    /// What that was for the NATs.
    pub loads: [Load; 2],
}

/// The milestones at one end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// The first TCP connection was up.
    pub up: Option<Duration>,
    /// The stream was verified.
    pub verified: Option<Duration>,
}

/// The running pair.
#[derive(Debug)]
pub struct Pair {
    standing: Option<Standing>,
    pub(super) listener: Running,
    // Ends after the listener, which would lose its link otherwise.
    pub(super) server: Server,
    _service: Service,
    /// Where it runs.
    pub stage: Stage,
    pub(super) terms: Terms,
}

impl Pair {
    /// Starts server, service and listener, and waits until the listener is registered.
    ///
    /// # Errors
    /// When one of them does not come up; the error carries what it said.
    pub fn start(stage: Stage, terms: Terms) -> io::Result<Self> {
        let service = Service::greeter(&stage.network.b.namespace)?;
        Self::with_service(stage, terms, service)
    }

    /// The same with a service of the caller's choice, in B's namespace.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn with_service(stage: Stage, terms: Terms, service: Service) -> io::Result<Self> {
        let spoof = terms.spoof.then_some("--spoof");
        let server = stage.server(spoof.as_slice())?;
        let forward = service.address().to_string();
        let mut arguments = vec![
            "--allow",
            &stage.a.id,
            "--consent",
            terms.consent.word(),
            "--forward",
            forward.as_str(),
        ];
        let common = terms.common(Role::Responder);
        arguments.extend(common.iter().map(String::as_str));
        let listener = stage.listen(&server.address, &arguments)?;
        registered(&listener)?;
        let standing = match terms.standing {
            true => {
                let common = terms.common(Role::Requester);
                let common: Vec<&str> = common.iter().map(String::as_str).collect();
                let standing = Standing::start(&stage, &server.address, &common)?;
                standing::learnt(&listener)?;
                Some(standing)
            }
            false => None,
        };
        Ok(Self {
            standing,
            listener,
            server,
            _service: service,
            stage,
            terms,
        })
    }

    /// Starts `connect`, reading its standard output being the caller's job.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn connect_raw(&self) -> io::Result<Running> {
        let common = self.terms.requester();
        let common: Vec<&str> = common.iter().map(String::as_str).collect();
        self.stage.connect_raw(&self.server.address, &common)
    }

    /// Runs one session: request, stream, a greeting each way, an end in order.
    ///
    /// Returns it with the events of both peers, for the ladder, and what crossed the WAN.
    ///
    /// # Errors
    /// When `connect` cannot be started; what goes wrong later is the session's failure.
    pub fn session(&mut self) -> io::Result<(Session, Story)> {
        let before = self.listener.log().len();
        self.stage.network.wan().capture().start();
        let (failure, a) = match &self.standing {
            Some(standing) => standing.session(|| self.responder_has(before, "verified")),
            None => {
                let common = self.terms.requester();
                let arguments: Vec<&str> = common.iter().map(String::as_str).collect();
                let mut connector = self.stage.connect(&self.server.address, &arguments)?;
                let failure = self.play(&mut connector, before).err();
                let log = connector.log();
                (failure, timed(log, log.since(0)))
            }
        };
        let failure = failure.or_else(|| self.responder_has(before, "closed").err());
        let mut crossings = self.stage.network.wan().capture().take();
        let loads = load::of(&crossings);
        crossings.retain(|crossing| !load::is_of_others(crossing));
        let mut session = Session {
            failure,
            syns: loads.map(|load| load.syns),
            loads,
            ..Session::default()
        };
        let story = Story {
            a,
            b: timed(self.listener.log(), self.listener.log().since(before)),
            crossings,
        };
        if let Some(requested) = story.requested() {
            let after = |events: &[(Instant, Event)], name: &str| {
                first(events, name).map(|(at, _)| at.saturating_duration_since(requested))
            };
            session.a = Times {
                up: after(&story.a, "connected"),
                verified: after(&story.a, "verified"),
            };
            session.b = Times {
                up: after(&story.b, "connected"),
                verified: after(&story.b, "verified"),
            };
        }
        session.strategy =
            first(&story.a, "verified").and_then(|(_, event)| event.text("strategy"));
        Ok((session, story))
    }

    /// The session itself but for its end at the responder; the error is the reason of its failure.
    fn play(&self, connector: &mut Running, before: usize) -> Result<(), String> {
        let deadline = Instant::now() + SESSION;
        greet(connector, deadline)?;
        self.responder_has(before, "verified")?;
        finish(connector, deadline)
    }

    /// Waits until the responder says that the stream is verified, or closed.
    fn responder_has(&self, before: usize, what: &str) -> Result<(), String> {
        let deadline = Instant::now() + SAID;
        match self.listener.log().wait(before, &[what], deadline) {
            Some(_) => Ok(()),
            None => Err(format!(
                "the responder did not say that the stream is {what}"
            )),
        }
    }
}

/// What the two peers and the WAN did during a session.
#[derive(Debug)]
pub struct Story {
    /// The requester's events, each with its time on the lab's clock.
    pub a: Vec<(Instant, Event)>,
    /// The responder's.
    pub b: Vec<(Instant, Event)>,
    /// The packets.
    pub crossings: Vec<Crossing>,
}

impl Story {
    /// The moment of the request.
    #[must_use]
    pub fn requested(&self) -> Option<Instant> {
        first(&self.a, "requested").map(|(at, _)| *at)
    }
}

fn first<'e>(events: &'e [(Instant, Event)], name: &str) -> Option<&'e (Instant, Event)> {
    events.iter().find(|(_, event)| event.name == name)
}

/// Waits for the stream, and exchanges greetings with the greeter service at its other end.
///
/// # Errors
/// With the reason, when there is no stream, or other bytes than the greeting come.
pub fn greet(connector: &mut Running, deadline: Instant) -> Result<(), String> {
    let event = connector.log().wait(0, &["verified", "failed"], deadline);
    if event.as_ref().is_none_or(|event| event.name != "verified") {
        return Err(failure(connector, event.as_ref()));
    }
    say_hello(connector, 1, deadline)
}

/// Says hello, and waits for all answers since the start, of which this is the `number`-th.
///
/// # Errors
/// When other bytes come, or none until the deadline.
pub fn say_hello(connector: &mut Running, number: usize, deadline: Instant) -> Result<(), String> {
    connector
        .write(HELLO)
        .map_err(|e| format!("the stream takes no bytes: {e}"))?;
    let expected = [GREETING, &ANSWER.repeat(number)].concat();
    let got = connector.stdout(expected.len(), deadline);
    if got == expected {
        return Ok(());
    }
    Err(format!(
        "instead of the greeting came {:?}",
        String::from_utf8_lossy(&got)
    ))
}

/// Ends the requester's input, and waits until it has ended in order.
///
/// # Errors
/// When it ends in another way, or not until the deadline.
pub fn finish(connector: &mut Running, deadline: Instant) -> Result<(), String> {
    drop(connector.take_stdin());
    match connector.exit(deadline) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!(
            "it ended with {status}: {}",
            connector.log().words()
        )),
        None => Err("it did not end after its input had".to_owned()),
    }
}

/// Waits until a listener is registered.
///
/// # Errors
/// With its words, when it does not register.
pub fn registered(listener: &Running) -> io::Result<()> {
    let event = listener
        .log()
        .wait(0, &["registered", "failed"], Instant::now() + REGISTER);
    match event {
        Some(event) if event.name == "registered" => Ok(()),
        event => Err(io::Error::other(format!(
            "the listener does not register: {}",
            failure(listener, event.as_ref())
        ))),
    }
}

/// Why a peer failed, in its own words.
#[must_use]
pub fn failure(peer: &Running, event: Option<&Event>) -> String {
    match event.and_then(|event| event.text("reason")) {
        Some(reason) => reason,
        None => match peer.log().words() {
            words if words.is_empty() => "it said nothing until the deadline".to_owned(),
            words => words,
        },
    }
}

impl Terms {
    /// The arguments of a `connect` that is started for one session.
    pub(super) fn requester(&self) -> Vec<String> {
        let mut arguments = self.common(Role::Requester);
        if let Some(patience) = self.patience {
            arguments.extend(["--timeout".to_owned(), patience.as_secs().to_string()]);
        }
        arguments
    }

    /// The arguments that `listen` and `connect` have in common, of one of them.
    fn common(&self, role: Role) -> Vec<String> {
        let hops = self.hops[role as usize];
        let mut arguments = Vec::new();
        let hops = hops.map(|hops| hops.to_string());
        for (name, value) in [
            ("--strategy", &self.strategy),
            ("--stream", &self.stream),
            ("--hops", &hops),
        ] {
            if let Some(value) = value {
                arguments.extend([name.to_owned(), value.clone()]);
            }
        }
        if self.raw {
            arguments.push("--raw".to_owned());
        }
        arguments.extend(self.more[role as usize].iter().cloned());
        arguments
    }
}

pub(super) fn timed(log: &Log, events: Vec<Event>) -> Vec<(Instant, Event)> {
    events
        .into_iter()
        .map(|event| (log.time(&event), event))
        .collect()
}
