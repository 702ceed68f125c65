//! A TCP relay on the loopback that makes a link worse than it is: delay one way or both, a cut or a stall after so
//! many bytes or on command. For tests of what a bad link does, and for benchmarks at a distance (the kernels of
//! test machines often lack netem).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A way through the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From whoever connected to the relay.
    ToServer,
    /// From the server behind it.
    ToClient,
}

/// What happens to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Both ends see their connection closed; new connections are closed at once.
    Cut,
    /// Nothing gets through any more, and neither end is told; new connections are accepted and stay silent.
    Stall,
}

/// A relay, which ends with its connections when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    ended: AtomicBool,
    bytes: [AtomicU64; 2],
    connections: AtomicU64,
    turns: AtomicU64,
    last_direction: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    armed: Option<(Fault, Direction, u64)>,
    streams: Vec<TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole at every moment, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: &mut State, fault: Option<Fault>) {
        state.fault = fault;
        if fault == Some(Fault::Cut) {
            for stream in state.streams.drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        &self.bytes[direction as usize]
    }

    /// How many of `wanted` bytes may pass now; counts them. `None`: the connection is to be cut. Blocks in a stall.
    fn pass(&self, direction: Direction, wanted: usize) -> Option<usize> {
        let mut state = self.state();
        loop {
            if self.ended.load(Ordering::Relaxed) {
                return None;
            }
            match state.fault {
                Some(Fault::Cut) => return None,
                Some(Fault::Stall) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        let counter = self.counter(direction);
        let passed = counter.load(Ordering::Relaxed);
        let mut allowed = wanted;
        if let Some((fault, armed, limit)) = state.armed
            && armed == direction
            && passed.saturating_add(wanted as u64) >= limit
        {
            allowed = usize::try_from(limit.saturating_sub(passed)).unwrap_or(wanted);
            // The allowed bytes still pass; what comes after them meets the fault.
            if allowed == 0 {
                state.armed = None;
                self.set(&mut state, Some(fault));
                drop(state);
                return self.pass(direction, wanted);
            }
        }
        counter.fetch_add(allowed as u64, Ordering::Relaxed);
        Some(allowed)
    }

    /// Called when all that may pass was written: an armed fault whose limit is reached takes effect.
    fn settle(&self, direction: Direction) {
        let mut state = self.state();
        if let Some((fault, armed, limit)) = state.armed
            && armed == direction
            && self.counter(direction).load(Ordering::Relaxed) >= limit
        {
            state.armed = None;
            self.set(&mut state, Some(fault));
        }
    }

    fn count_turn(&self, direction: Direction) {
        let mark = direction as u64 + 1;
        if self.last_direction.swap(mark, Ordering::Relaxed) != mark && direction == Direction::ToServer {
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Relay {
    /// Listens on a free port of 127.0.0.1 and relays to `server`, each way later by `delay` (a round trip takes
    /// twice that longer). Errors: no port is free.
    pub fn start(server: SocketAddr, delay: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, server, delay, &accepting));
        Ok(Self { address, shared })
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Does `fault` now, to every connection.
    pub fn inflict(&self, fault: Fault) {
        let mut state = self.shared.state();
        self.shared.set(&mut state, Some(fault));
    }

    /// Does `fault` as soon as `bytes` more have passed in `direction`, counted over all connections.
    pub fn inflict_after(&self, fault: Fault, direction: Direction, bytes: u64) {
        let mut state = self.shared.state();
        let passed = self.shared.counter(direction).load(Ordering::Relaxed);
        state.armed = Some((fault, direction, passed.saturating_add(bytes)));
    }

    /// Mends the link: stalled connections go on where they were, and new ones pass.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.armed = None;
        self.shared.set(&mut state, None);
    }

    /// Whether a fault is in effect.
    pub fn fault(&self) -> Option<Fault> {
        self.shared.state().fault
    }

    /// How many bytes have passed in `direction`.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.counter(direction).load(Ordering::Relaxed)
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How often the client spoke after the server had: a lower bound on the round trips, when there is one connection.
    pub fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.inflict(Fault::Cut);
        // Wakes the thread that waits for a connection, so that it sees the end.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, delay: Duration, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A server that refuses is shown to the client as a connection that closes.
            let _ = relay(client, server, delay, &shared);
        });
    }
}

fn relay(client: TcpStream, server: SocketAddr, delay: Duration, shared: &Arc<Shared>) -> io::Result<()> {
    // Not even the handshake of a new connection gets through a broken link.
    if shared.pass(Direction::ToServer, 0).is_none() {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect_timeout(&server, Duration::from_secs(10))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    {
        let mut state = shared.state();
        if state.fault == Some(Fault::Cut) {
            return client.shutdown(Shutdown::Both);
        }
        state.streams.push(client.try_clone()?);
        state.streams.push(server.try_clone()?);
    }
    for (from, to, direction) in
        [(client.try_clone()?, server.try_clone()?, Direction::ToServer), (server, client, Direction::ToClient)]
    {
        let line = Arc::new(Line::default());
        let (filling, shared) = (Arc::clone(&line), Arc::clone(shared));
        let reading = Arc::clone(&shared);
        thread::spawn(move || filling.fill(from, delay, direction, &reading));
        thread::spawn(move || line.drain(to, direction, &shared));
    }
    Ok(())
}

/// What is under way in one direction, with the time when each piece is due. `None` in the queue is the end.
#[derive(Default)]
struct Line {
    queue: Mutex<VecDeque<(Instant, Option<Vec<u8>>)>>,
    changed: Condvar,
}

/// The most pieces under way: a sender that outruns the line is held back, as by a real one.
const UNDER_WAY: usize = 1024;

impl Line {
    fn queue(&self) -> MutexGuard<'_, VecDeque<(Instant, Option<Vec<u8>>)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, mut from: TcpStream, delay: Duration, direction: Direction, shared: &Shared) {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            if read > 0 {
                shared.count_turn(direction);
            }
            let piece = (read > 0).then(|| buffer[..read].to_vec());
            let mut queue = self.queue();
            while queue.len() >= UNDER_WAY {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let waited = self.changed.wait_timeout(queue, Duration::from_millis(200));
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            queue.push_back((Instant::now() + delay, piece));
            self.changed.notify_all();
            if read == 0 {
                return;
            }
        }
    }

    fn drain(&self, mut to: TcpStream, direction: Direction, shared: &Shared) {
        loop {
            let (due, piece) = {
                let mut queue = self.queue();
                loop {
                    if let Some(next) = queue.pop_front() {
                        self.changed.notify_all();
                        break next;
                    }
                    queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let Some(piece) = piece else {
                // The end passes like bytes do: a stalled link does not tell of a close.
                if shared.pass(direction, 0).is_some() {
                    let _ = to.shutdown(Shutdown::Write);
                }
                return;
            };
            if !deliver(&mut to, &piece, direction, shared) {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

fn deliver(to: &mut TcpStream, piece: &[u8], direction: Direction, shared: &Shared) -> bool {
    let mut rest = piece;
    while !rest.is_empty() {
        let Some(allowed) = shared.pass(direction, rest.len()) else { return false };
        let (now, later) = rest.split_at(allowed.min(rest.len()));
        if to.write_all(now).is_err() {
            return false;
        }
        rest = later;
        shared.settle(direction);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends everything back, until its client ends.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().take(4) {
                let mut stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut stream));
            }
        });
        address
    }

    fn connect(relay: &Relay) -> TcpStream {
        let stream = TcpStream::connect(relay.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        stream
    }

    #[test]
    fn a_round_trip_takes_twice_the_delay_and_bytes_are_whole() {
        let relay = Relay::start(echo(), Duration::from_millis(30)).unwrap();
        let mut stream = connect(&relay);
        let begun = Instant::now();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        assert!(begun.elapsed() >= Duration::from_millis(60), "{:?}", begun.elapsed());
        assert_eq!((relay.bytes(Direction::ToServer), relay.bytes(Direction::ToClient)), (5, 5));
        assert_eq!((relay.connections(), relay.turns()), (1, 1));
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut answer).unwrap(), 0, "the end passes too");
    }

    #[test]
    fn a_cut_comes_after_exactly_so_many_bytes() {
        let relay = Relay::start(echo(), Duration::ZERO).unwrap();
        relay.inflict_after(Fault::Cut, Direction::ToServer, 3);
        let mut stream = connect(&relay);
        stream.write_all(b"hello").unwrap();
        let mut answer = Vec::new();
        // A reset is as much of an end as a close is.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(relay.bytes(Direction::ToServer), 3);
        assert_eq!(relay.fault(), Some(Fault::Cut));
        let mut refused = connect(&relay);
        assert!(!matches!(refused.read(&mut [0; 1]), Ok(1)), "a new connection gets nothing");
        relay.mend();
        let mut stream = connect(&relay);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
    }

    #[test]
    fn a_stall_is_silent_and_ends_where_it_began() {
        let relay = Relay::start(echo(), Duration::ZERO).unwrap();
        let mut stream = connect(&relay);
        relay.inflict_after(Fault::Stall, Direction::ToClient, 2);
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer[..2]).unwrap();
        let error = stream.read(&mut answer[2..]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
        relay.mend();
        stream.read_exact(&mut answer[2..]).unwrap();
        assert_eq!(&answer, b"hello");
    }

    #[test]
    fn a_dropped_relay_closes_its_connections() {
        let relay = Relay::start(echo(), Duration::ZERO).unwrap();
        let mut stream = connect(&relay);
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
        drop(relay);
        assert!(!matches!(stream.read(&mut [0; 1]), Ok(1)));
    }
}
