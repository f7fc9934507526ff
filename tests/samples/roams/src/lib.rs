//! Requests files, sockets, names, variables, clocks and random numbers from
//! WASI, and reports the results, which must be derived from the job only.
//!
//! `settings.address` is the address of a listener that must receive nothing.

use std::fs;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::io::Read as _;
use std::net::TcpListener;
use std::net::TcpStream;
use std::net::ToSocketAddrs as _;
use std::net::UdpSocket;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use hoth_adapter::prelude::*;

struct Roams;

hoth_adapter::export!(Roams);

impl Adapter for Roams {
    const NAME: &'static str = "roams";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = &[operation::GET_PORTFOLIO];
    type State = ();

    fn begin(job: &Job) -> Next<Self> {
        let address = job.setting("address")?.unwrap_or("127.0.0.1:9").to_owned();
        let report = files(Object::new());
        let report = network(report, &address);
        Ok(Step::done(Object::new().with("got", surroundings(report))))
    }

    fn resume(_: &Job, (): (), _: Event) -> Next<Self> {
        Err(Failure::broken("it never waits"))
    }
}

/// Returns `nothing` for an error, otherwise the result.
fn got<T, E>(result: Result<T, E>, describe: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|_| "nothing".to_owned(), describe)
}

fn files(report: Object) -> Object {
    report
        .with("readsRoot", got(fs::read_dir("/"), |entries| entries.count().to_string()))
        .with("readsHere", got(fs::read_dir("."), |entries| entries.count().to_string()))
        .with("readsFile", got(fs::read_to_string("/etc/passwd"), |text| text))
        .with("writesFile", got(fs::write("/tmp/roams", "was here"), |()| "wrote".to_owned()))
        .with("makesFolder", got(fs::create_dir("/tmp/roams.d"), |()| "made".to_owned()))
        .with("readsInput", got(read_input(), |count| count.to_string()))
}

fn read_input() -> std::io::Result<usize> {
    let mut input = Vec::new();
    std::io::stdin().read_to_end(&mut input)
}

fn network(report: Object, address: &str) -> Object {
    report
        .with("connects", got(TcpStream::connect(address), |_| "connected".to_owned()))
        .with("listens", got(TcpListener::bind("127.0.0.1:0"), |_| "listening".to_owned()))
        .with("sendsDatagram", got(send_datagram(address), |count| count.to_string()))
        .with(
            "resolvesName",
            got("localhost:80".to_socket_addrs(), |found| {
                found.map(|address| address.to_string()).collect()
            }),
        )
}

fn send_datagram(address: &str) -> std::io::Result<usize> {
    UdpSocket::bind("127.0.0.1:0")?.send_to(b"was here", address)
}

#[expect(clippy::disallowed_methods, reason = "it must not get the machine's clock")]
fn surroundings(report: Object) -> Object {
    let started_at = Instant::now();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    report
        .with("variables", std::env::vars().count().to_string())
        .with("arguments", std::env::args().count().to_string())
        .with(
            "startsThread",
            got(std::thread::Builder::new().spawn(|| ()), |_| "started".to_owned()),
        )
        .with("clockMs", got(clock, |since| since.as_millis().to_string()))
        .with("elapsedNs", started_at.elapsed().as_nanos().to_string())
        .with("random", format!("{:016x}", RandomState::new().hash_one("seed")))
}
