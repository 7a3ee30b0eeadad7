//! A plain pcapng file: for exports of slices of a capture.

use super::{InterfaceDesc, SectionInfo, push_interface, push_names, push_packet, push_section, push_statistics};
use std::io::{self, Write};
use std::net::IpAddr;

/// Writes one section: header, then interfaces and packets in any order that declares an interface before its use.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: W,
    block: Vec<u8>,
    interfaces: u32,
}

impl<W: Write> Writer<W> {
    /// Writes the section header. `out` should be buffered: every block is one write.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, info: &SectionInfo) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::new(), interfaces: 0 };
        push_section(&mut writer.block, info);
        writer.flush_block()?;
        Ok(writer)
    }

    fn flush_block(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.block);
        self.block.clear();
        written
    }

    /// Declares an interface and returns its number.
    ///
    /// # Errors
    /// Those of the output.
    pub fn interface(&mut self, interface: &InterfaceDesc) -> io::Result<u32> {
        push_interface(&mut self.block, interface);
        self.flush_block()?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet; `parts` joined are its captured bytes, `direction` as in [`crate::event::direction`] or 0,
    /// `comment` may be empty.
    ///
    /// # Errors
    /// Those of the output, and `InvalidInput` if the interface was not declared.
    pub fn packet(
        &mut self,
        interface: u32,
        ts_utc_ns: u64,
        direction: u8,
        wire_len: u32,
        parts: &[&[u8]],
        comment: &str,
    ) -> io::Result<()> {
        if interface >= self.interfaces {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("packet of interface {interface}, but only {} are declared", self.interfaces),
            ));
        }
        push_packet(&mut self.block, interface, ts_utc_ns, direction, wire_len, parts, comment);
        self.flush_block()
    }

    /// Writes what addresses are called; nothing if there are no names.
    ///
    /// # Errors
    /// Those of the output.
    pub fn names(&mut self, names: &[(IpAddr, String)]) -> io::Result<()> {
        // A block of some hundred KB is what every reader takes.
        for names in names.chunks(2000) {
            push_names(&mut self.block, names);
            self.flush_block()?;
        }
        Ok(())
    }

    /// Writes what an interface received and dropped.
    ///
    /// # Errors
    /// Those of the output.
    pub fn interface_statistics(
        &mut self,
        interface: u32,
        ts_utc_ns: u64,
        received: u64,
        dropped: u64,
    ) -> io::Result<()> {
        push_statistics(&mut self.block, interface, ts_utc_ns, received, dropped);
        self.flush_block()
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
