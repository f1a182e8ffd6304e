//! A block of loopback addresses, 127.N.0.0/16, that belongs to one stack at a time.
//!
//! The lock is a listening socket on an address at the block's end: the kernel gives it to one process only, takes it
//! back when that process ends in whatever way, and keeps one such lock for each network namespace, as there is one
//! such block. A lock file would be per machine, could have the wrong owner, and could go stale.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};

/// The first block.
const FIRST: u8 = 20;
/// The last block.
const LAST: u8 = 250;
/// The lock's port, on 127.N.255.254.
const LOCK_PORT: u16 = 16_378;

/// A taken block; it is free again when this is dropped.
#[derive(Debug)]
pub struct Block {
    number: u8,
    lock: TcpListener,
}

impl Block {
    /// Takes the first block that nobody holds and in which nobody listens.
    ///
    /// # Errors
    /// All are taken.
    pub fn take() -> Result<Self> {
        (FIRST..=LAST)
            .find_map(Self::try_take)
            .with_context(|| format!("all blocks 127.{FIRST} to 127.{LAST} are taken"))
    }

    /// Takes this block if it is free. Processes that outlived a killed holder keep it from being free.
    pub fn try_take(number: u8) -> Option<Self> {
        let lock = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::new(127, number, 255, 254), LOCK_PORT)).ok()?;
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let others = listeners(&table).any(|at| at.ip().octets()[..2] == [127, number] && at.port() != LOCK_PORT);
        (!others).then_some(Self { number, lock })
    }

    /// N of 127.N.0.0/16.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The block as configuration files name it.
    pub fn cidr(&self) -> String {
        format!("127.{}.0.0/16", self.number)
    }

    /// The address of the stack's own servers: API, metrics, broker. Guests have the later ones.
    pub fn services(&self) -> Ipv4Addr {
        services(self.number)
    }

    /// A copy of the lock to be inherited by another process as its standard input: the block stays taken until both
    /// have ended.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn share(&self) -> Result<Stdio> {
        let copy: OwnedFd = self.lock.try_clone().context("cannot share the lock of the address block")?.into();
        Ok(Stdio::from(File::from(copy)))
    }
}

/// The address of a block's own servers.
pub fn services(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, number, 0, 1)
}

/// A port on an address of ours that nothing uses: the wanted one if it is free.
///
/// # Errors
/// The address cannot be bound at all.
pub fn free_port(address: Ipv4Addr, wanted: u16) -> Result<u16> {
    let bound = TcpListener::bind((address, wanted)).or_else(|_| TcpListener::bind((address, 0)));
    match bound.and_then(|listener| listener.local_addr()) {
        Ok(at) => Ok(at.port()),
        Err(error) => bail!("no port of {address} can be used: {error}"),
    }
}

/// The listening sockets in /proc/net/tcp. Addresses stand there as a hexadecimal number in the machine's byte order.
fn listeners(table: &str) -> impl Iterator<Item = SocketAddrV4> + '_ {
    table.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (address, port) = fields.next()?.split_once(':')?;
        (fields.nth(1)? == "0A").then_some(())?;
        let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
        Some(SocketAddrV4::new(Ipv4Addr::from(address), u16::from_str_radix(port, 16).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

    use super::{Block, free_port, listeners};

    // Blocks beyond the last one, so that stacks of other tests do not take them in between.

    #[test]
    fn a_block_has_one_holder_and_is_free_after_him() {
        let number = 251;
        let block = Block::try_take(number).expect("a free block");
        assert!(Block::try_take(number).is_none(), "taken twice");
        assert_eq!(block.cidr(), "127.251.0.0/16");

        let (one, two) = (Block::take().expect("a block"), Block::take().expect("another block"));
        assert_ne!(one.number(), two.number());
        drop(block);
        assert!(Block::try_take(number).is_some());
    }

    #[test]
    fn a_shared_lock_outlives_the_first_holder() {
        let number = 252;
        let block = Block::try_take(number).expect("a free block");
        let mut command = std::process::Command::new("sleep");
        let mut heir = command.arg("600").stdin(block.share().expect("a copy")).spawn().expect("sleep starts");
        drop((block, command));
        assert!(Block::try_take(number).is_none(), "the heir holds it");
        heir.kill().expect("killed");
        heir.wait().expect("gone");
        assert!(Block::try_take(number).is_some(), "a killed holder leaves nothing behind");
    }

    #[test]
    fn a_block_in_which_a_stray_process_listens_is_not_free() {
        let number = 253;
        let block = Block::try_take(number).expect("a free block");
        let stray = TcpListener::bind((Ipv4Addr::new(127, number, 0, 9), 0)).expect("a port");
        drop(block);
        assert!(Block::try_take(number).is_none());
        drop(stray);
        assert!(Block::try_take(number).is_some());
    }

    #[test]
    fn a_used_port_is_avoided() {
        let block = Block::take().expect("a free block");
        let port = free_port(block.services(), 8779).expect("a port");
        let _used = TcpListener::bind((block.services(), port)).expect("it was free");
        assert_ne!(free_port(block.services(), port).expect("another"), port);
    }

    #[test]
    fn only_listening_sockets_count() {
        let address = u32::from_ne_bytes([127, 20, 0, 2]);
        let line =
            |state: &str| format!("   0: {address:08X}:18EB 00000000:0000 {state} 00000000:00000000 00:00000000\n");
        let table = format!("  sl  local_address rem_address   st\n{}{}", line("01"), line("0A"));
        let found: Vec<SocketAddrV4> = listeners(&table).collect();
        assert_eq!(found, vec![SocketAddrV4::new(Ipv4Addr::new(127, 20, 0, 2), 6379)]);
    }
}
