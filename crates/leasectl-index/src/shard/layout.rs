//! The frame around the segments: magic, table, checksum.

use std::io::{self, Write};

/// Begins and ends a shard. Its last digit is the version of the layout.
const MAGIC: [u8; 8] = *b"lctlshd1";
/// Offset and length of a segment.
const ENTRY_BYTES: usize = 16;
/// Number of segments, checksum, magic.
const TRAILER_BYTES: usize = 16;

/// Why bytes are not a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// No shard, or of another version.
    #[error("the bytes are not a search shard of this version")]
    Format,
    /// Not the bytes that were written.
    #[error("the search shard is damaged: its checksum differs")]
    Checksum,
    /// Its parts contradict each other.
    #[error("the search shard is damaged: its parts contradict each other")]
    Damaged,
}

/// Where a segment lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Extent {
    /// What it covers of `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.offset).ok()?;
        let length = usize::try_from(self.length).ok()?;
        bytes.get(start..start.checked_add(length)?)
    }
}

/// Checks the frame of a whole shard and finds its segments.
pub(super) fn check(bytes: &[u8]) -> Result<Vec<Extent>, ShardError> {
    if bytes.len() < MAGIC.len() + TRAILER_BYTES || !bytes.starts_with(&MAGIC) {
        return Err(ShardError::Format);
    }
    let Some((rest, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
        return Err(ShardError::Format);
    };
    let (numbers, magic) = trailer.split_at(TRAILER_BYTES - MAGIC.len());
    if magic != MAGIC {
        return Err(ShardError::Format);
    }
    let (numbers, _) = numbers.as_chunks::<4>();
    let (count, checksum) = (u32::from_le_bytes(numbers[0]), numbers[1]);
    let counted = bytes.len() - MAGIC.len() - checksum.len();
    if checksum != crc32fast::hash(&bytes[..counted]).to_le_bytes() {
        return Err(ShardError::Checksum);
    }
    let table = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(ENTRY_BYTES))
        .and_then(|length| rest.len().checked_sub(length))
        .ok_or(ShardError::Damaged)?;
    let (entries, _) = rest[table..].as_chunks::<ENTRY_BYTES>();
    Ok(entries.iter().map(read_entry).collect())
}

fn read_entry(entry: &[u8; ENTRY_BYTES]) -> Extent {
    let (halves, _) = entry.as_chunks::<8>();
    Extent {
        offset: u64::from_le_bytes(halves[0]),
        length: u64::from_le_bytes(halves[1]),
    }
}

/// Writes the frame and remembers what is in it.
#[derive(Debug)]
pub(super) struct FrameWriter<W> {
    output: W,
    checksum: crc32fast::Hasher,
    written: u64,
    extents: Vec<Extent>,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            checksum: crc32fast::Hasher::new(),
            written: 0,
            extents: Vec::new(),
        }
    }

    pub(super) fn segment(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        if self.written == 0 {
            self.put(&MAGIC)?;
        }
        let offset = self.written;
        for part in parts {
            self.put(part)?;
        }
        let length = self.written - offset;
        self.extents.push(Extent { offset, length });
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        if self.written == 0 {
            self.put(&MAGIC)?;
        }
        let mut table = Vec::with_capacity(self.extents.len() * ENTRY_BYTES + 4);
        for extent in &self.extents {
            table.extend(extent.offset.to_le_bytes());
            table.extend(extent.length.to_le_bytes());
        }
        let count = u32::try_from(self.extents.len()).map_err(io::Error::other)?;
        table.extend(count.to_le_bytes());
        self.put(&table)?;
        let checksum = self.checksum.clone().finalize();
        self.output.write_all(&checksum.to_le_bytes())?;
        self.output.write_all(&MAGIC)?;
        Ok(self.output)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        self.output.write_all(bytes)
    }
}
